package audit

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"sync"
)

// Kind is what is wrong.
type Kind string

// The kinds of findings.
const (
	Lost       Kind = "lost"       // the table has an item that the client was not given
	Repeated   Kind = "repeated"   // the client was given an item that it had
	Disorder   Kind = "disorder"   // the client was given an item after a later one, and had not had it
	Unknown    Kind = "unknown"    // the client was given an item that the table does not have; or one rolled back is there
	Different  Kind = "different"  // the client was given other contents than the table has; or the table has others than were written
	Unanswered Kind = "unanswered" // the client was never given a frame, not even an empty one: nothing is known of it
	Unwritten  Kind = "unwritten"  // a writer was told that an item is written, and the table does not have it
	Twice      Kind = "twice"      // the table has an item twice that was written once
	Gone       Kind = "gone"       // the client was told that an item is gone that the table has
)

// Finding is one thing that is wrong. One about the table has no transport.
type Finding struct {
	Kind      Kind   `json:"kind"`
	Transport string `json:"transport,omitempty"`
	Client    int    `json:"client"` // its number among those of its transport
	Workflow  string `json:"workflow"`
	Type      string `json:"type,omitempty"`
	ID        string `json:"id,omitempty"`
	CreatedAt string `json:"createdAt,omitempty"` // of the item, in Unix seconds with six decimals
	Cursor    string `json:"cursor,omitempty"`    // of the client where it happened; a chatData request takes it as afterTimestamp
}

// Report is what an audit has found, and the work that this rests on.
type Report struct {
	Progress              // when the clients were ended
	Items      int        `json:"items"` // that the table holds of these workflows
	Clients    int        `json:"clients"`
	Transports []Coverage `json:"transports"`
	Findings   []Finding  `json:"findings"`           // by workflow, transport, client and time; 10,000 at the most
	More       int        `json:"more,omitempty"`     // findings beyond
	Unproven   []string   `json:"unproven,omitempty"` // what the audit cannot speak of, for want of anything to compare
}

// Coverage is the work that was done on one transport.
type Coverage struct {
	Name      string `json:"name"`
	Clients   int    `json:"clients"`
	Delivered int    `json:"delivered"` // items that they were given
	Compared  int    `json:"compared"`  // of these, those that were compared with the table's
}

// Clean reports whether nothing is wrong, and something was compared: an audit that has seen nothing proves nothing.
func (r *Report) Clean() bool { return len(r.Findings) == 0 && len(r.Unproven) == 0 }

// cover counts what was done on each transport, and says where it was nothing. The clients must have ended.
func (a *Audit) cover(report *Report, rows map[string]int) {
	if a.cfg.Writers > 0 && report.Written == 0 {
		report.Unproven = append(report.Unproven, a.writing.unwritten())
	}
	if report.Items == 0 {
		report.Unproven = append(report.Unproven, "the table has no item of the workflows")
	} else if a.cfg.Writers == 0 { // writers choose at random, and may pass over a workflow
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
				}
			}
		}
		if covered.Compared == 0 {
			report.Unproven = append(report.Unproven, "no item was compared on "+transport.Name)
		}
		report.Transports = append(report.Transports, covered)
	}
}

// maxFindings bounds what a server that does everything wrong can make an audit remember.
const maxFindings = 10_000

// findings collects what goroutines find.
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
