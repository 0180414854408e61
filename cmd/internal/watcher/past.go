package watcher

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"chatfeed/feed"
)

const (
	// prefix begins the ids of the watcher's items.
	prefix = "temporal:"
	// pastItems is how many of a workflow's newest progress items are looked at.
	pastItems = 8
	pastBytes = 64 << 10
	// skew is how far the clocks of Temporal and PostgreSQL may be apart.
	skew = 5 * time.Second
)

// entry is a progress item of a workflow.
type entry struct {
	progress float64
	status   string
	at       feed.Cursor
	note     note // zero if the item is not the watcher's
}

// note is what an item of the watcher says, as its id has it.
type note struct {
	runID string
	what  string // started, progress, running, stalled, unknown, or how the run has ended
}

// id returns the item's id. What may be said again is followed by the stamp of the item before it.
func (n note) id(after feed.Cursor) string {
	if n.what == started || Status(n.what).ended() {
		return prefix + n.runID + ":" + n.what
	}
	return fmt.Sprintf("%s%s:%s-%d", prefix, n.runID, n.what, after)
}

// What notes say of running workflows.
const (
	started  = "started"
	progress = "progress" // the answer to a query
	resumed  = "running"  // as before, after trouble
)

func parseNote(id string) note {
	rest, ours := strings.CutPrefix(id, prefix)
	runID, what, ok := strings.Cut(rest, ":")
	if !ours || !ok {
		return note{}
	}
	what, _, _ = strings.Cut(what, "-")
	return note{runID, what}
}

func (n note) isOurs() bool { return n.what != "" }

// isEndOf reports whether a note says how a run has ended.
func (n note) isEndOf(runID string) bool { return n.runID == runID && Status(n.what).ended() }

// isLive reports whether a note says how far a workflow is that runs.
func (n note) isLive() bool { return n.what == started || n.what == progress || n.what == resumed }

// isTrouble reports whether a note says why nothing is known of a workflow that has not ended.
func (n note) isTrouble() bool { return n.what == string(stalled) || n.what == string(unknown) }

// past is the newest progress items of a workflow, newest first.
type past struct {
	entries []entry
	final   bool // nothing can be written to the workflow any more
}

// latest returns the newest item; it has no stamp if there is none.
func (p *past) latest() entry {
	if len(p.entries) == 0 {
		return entry{}
	}
	return p.entries[0]
}

// before returns the newest item that is not about trouble.
func (p *past) before() entry {
	for _, e := range p.entries {
		if !e.note.isTrouble() {
			return e
		}
	}
	return entry{}
}

// isOlder reports whether an item is from before the chain of runs began. For a chain that has gone on, nothing tells; then it is not.
func (e entry) isOlder(of Execution) bool {
	switch {
	case e.at == 0:
		return true
	case !of.isFirst():
		return false
	case e.note.isOurs():
		return e.note.runID != of.RunID
	}
	return int64(e.at) < of.Started.Add(-skew).UnixMicro()
}

// recordsItself reports whether the workflow records progress without the watcher.
func (p *past) recordsItself(e Execution) bool {
	for _, entry := range p.entries {
		if !entry.note.isOurs() && !entry.isOlder(e) {
			return true
		}
	}
	return false
}

// readPast reads the newest progress items of a workflow.
func (w *Watcher) readPast(ctx context.Context, workflowID string) (*past, error) {
	if !w.limits.reads.take(ctx) {
		return nil, context.Cause(ctx)
	}
	defer w.limits.reads.give()
	pages, err := w.cfg.History.Before(ctx, []feed.Position{{WorkflowID: workflowID, Cursor: feed.End}},
		feed.Window{Items: pastItems, Bytes: pastBytes, Types: []string{"progress"}})
	if err != nil {
		return nil, fmt.Errorf("read the progress of workflow %q: %w", workflowID, err)
	}
	p := new(past)
	for _, page := range pages {
		for i := len(page.Items) - 1; i >= 0; i-- {
			item := page.Items[i]
			var body struct {
				Progress float64 `json:"progress"`
				Status   string  `json:"status"`
			}
			if err := json.Unmarshal(item.Body, &body); err != nil {
				return nil, fmt.Errorf("read the progress of workflow %q: %w", workflowID, err)
			}
			p.entries = append(p.entries, entry{body.Progress, body.Status, item.CreatedAt, parseNote(item.ID)})
			p.final = p.final || item.Final
		}
	}
	return p, nil
}
