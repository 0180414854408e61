package audit

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"sync"
)

// Kind is the kind of a finding.
type Kind string

// The kinds of findings.
const (
	Lost       Kind = "lost"       // the table has an item that the client did not receive
	Repeated   Kind = "repeated"   // the client received an item again
	Disorder   Kind = "disorder"   // the client received an item after a later one
	Unknown    Kind = "unknown"    // the client received an item that is not in the table; or the table has one that was rolled back
	Different  Kind = "different"  // the contents differ between the client and the table, or between the table and the writer
	Unanswered Kind = "unanswered" // the client never received a frame, not even an empty one
	Unwritten  Kind = "unwritten"  // a write has succeeded, but the table does not have the item
	Twice      Kind = "twice"      // the table has two copies of an item that was written once
	Gone       Kind = "gone"       // the client was told that an item is gone, but the table has it
	Late       Kind = "late"       // the client received a delta after its message, or the table has both
	Gap        Kind = "gap"        // the client received a delta, but not the text before it
	Shown      Kind = "shown"      // what the client shows is not what the table's items show, though it has the same items
)

// Finding is one error. A finding about the table has no transport.
type Finding struct {
	Kind      Kind   `json:"kind"`
	Transport string `json:"transport,omitempty"`
	Client    int    `json:"client"` // its number within its transport
	Workflow  string `json:"workflow"`
	Type      string `json:"type,omitempty"`
	ID        string `json:"id,omitempty"`
	CreatedAt string `json:"createdAt,omitempty"` // of the item, in Unix seconds with six decimals
	Cursor    string `json:"cursor,omitempty"`    // of the client where it happened; chatData accepts it as afterTimestamp
}

// Report is the result of an audit, and the work behind it.
type Report struct {
	Progress              // when the clients were stopped
	Items      int        `json:"items"`              // in the table, of these workflows
	Replaced   int        `json:"replaced,omitempty"` // deltas that the audit has written, and whose messages have replaced them
	Clients    int        `json:"clients"`
	Transports []Coverage `json:"transports"`
	Findings   []Finding  `json:"findings"`           // by workflow, transport, client and time; at most 10,000
	More       int        `json:"more,omitempty"`     // findings beyond
	Unproven   []string   `json:"unproven,omitempty"` // what could not be audited, because there was nothing to compare
}

// Coverage is the work that was done on one transport.
type Coverage struct {
	Name      string `json:"name"`
	Clients   int    `json:"clients"`
	Delivered int    `json:"delivered"`          // items that they received
	Compared  int    `json:"compared"`           // of these, items that were compared with the table
	Replaced  int    `json:"replaced,omitempty"` // and deltas whose message was found in the table instead
}

// Clean reports whether there are no findings and something was compared.
func (r *Report) Clean() bool { return len(r.Findings) == 0 && len(r.Unproven) == 0 }

// cover adds the work on each transport to the report, and what could not be audited. The clients must have ended.
func (a *Audit) cover(report *Report, rows map[string]int) {
	if a.cfg.Writers > 0 && report.Written == 0 {
		report.Unproven = append(report.Unproven, a.writing.whyUnwritten())
	}
	if report.Items == 0 {
		report.Unproven = append(report.Unproven, "the table has no item of the workflows")
	} else if a.cfg.Writers == 0 { // writers choose at random, and may skip a workflow
		for _, workflow := range a.cfg.Workflows {
			if rows[workflow] == 0 {
				report.Unproven = append(report.Unproven, fmt.Sprintf("the table has no item of workflow %q", workflow))
			}
		}
	}
	for _, transport := range a.cfg.Transports {
		covered := Coverage{Name: transport.Name}
		for _, clients := range a.clients {
			for _, c := range clients {
				if c.transport.Name == transport.Name {
					covered.Clients++
					covered.Delivered += c.delivered
					covered.Compared += c.matched
					covered.Replaced += c.replaced
				}
			}
		}
		if covered.Compared == 0 {
			report.Unproven = append(report.Unproven, "no item was compared on "+transport.Name)
		}
		report.Transports = append(report.Transports, covered)
	}
}

// maxFindings bounds the memory for the findings of a completely broken server.
const maxFindings = 10_000

// findings collects the findings of several goroutines.
type findings struct {
	mu   sync.Mutex
	list []Finding
	more int
}

func (f *findings) add(found Finding) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.list) == maxFindings {
		f.more++
		return
	}
	f.list = append(f.list, found)
}

func (f *findings) all() ([]Finding, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	slices.SortStableFunc(f.list, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Workflow, b.Workflow), cmp.Compare(a.Transport, b.Transport),
			cmp.Compare(a.Client, b.Client), cmp.Compare(a.CreatedAt, b.CreatedAt))
	})
	return append([]Finding{}, f.list...), f.more
}

// seconds writes microseconds as Unix seconds, with all six decimals.
func seconds(micros int64) string {
	sign := ""
	if micros < 0 {
		sign, micros = "-", -micros
	}
	return sign + strconv.FormatInt(micros/1_000_000, 10) + "." + strconv.FormatInt(1_000_000+micros%1_000_000, 10)[1:]
}
