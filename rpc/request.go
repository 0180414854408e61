package rpc

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"chatfeed/feed"
)

const (
	maxWorkflowID = 1000
	maxCursors    = 1000
	maxLast       = 1000
	maxLimit      = 1000
	maxWait       = time.Minute
)

// request is a client's request in any protocol: for a stream of workflows, or for a run of one workflow's items. A
// transport's parser fills it in, and check is called once, before anything else uses it.
type request struct {
	from    []start // the workflows in the client's order; one, where items are read
	before  *feed.Cursor
	limit   *int // nil: no limit
	onePage bool // without a limit, read one page of the feed; always so backwards
	types   []string
	wait    time.Duration
}

// start is where a request begins in one workflow: after a cursor, a number of items before the end, or at the beginning.
type start struct {
	workflowID string
	after      *feed.Cursor
	last       *int
}

// cursor is the start's cursor, or the beginning.
func (s *start) cursor() feed.Cursor {
	if s.after == nil {
		return 0
	}
	return *s.after
}

// feedStart is the start as the feed takes it.
func (s *start) feedStart() feed.Start {
	if s.last != nil {
		return feed.Last(s.workflowID, *s.last)
	}
	return feed.After(s.workflowID, s.cursor())
}

// form has a protocol's names for the parts of a request, and its limits. "[i]" in a name stands for the index of the
// workflow.
type form struct {
	workflows, workflowID, after, before, last, limit, types, wait string

	maxWorkflows, minLast int
}

var (
	subscribeForm = form{
		workflows: "cursors", workflowID: "cursors[i].workflow_id", after: "cursors[i].after", last: "cursors[i].last",
		types: "types", maxWorkflows: maxCursors,
	}
	getChatDataForm = form{
		workflowID: "workflow_id", after: "after", before: "before", last: "last", limit: "limit", types: "types", wait: "wait",
		maxWorkflows: 1, minLast: 1,
	}
	chatDataForm = form{
		workflowID: "workflow id", after: "afterTimestamp", before: "beforeTimestamp", last: "last", limit: "limit",
		types: "types", wait: "wait", maxWorkflows: 1, minLast: 1,
	}
	// An event id has a position for each workflow, so fewer workflows are accepted than elsewhere.
	eventsForm = form{
		workflows: "workflow", workflowID: "workflow[i]", after: "after", last: "last", types: "types", maxWorkflows: 100,
	}
	durableForm = form{workflowID: "workflow id", after: "offset", types: "types", maxWorkflows: 1}
)

// at returns a part's name for the workflow at index i.
func (form) at(name string, i int) string {
	return strings.ReplaceAll(name, "[i]", "["+strconv.Itoa(i)+"]")
}

// check reports the first invalid part, by the protocol's name for it, and fills in the default types if there are none.
func (q *request) check(f form) error {
	if n := len(q.from); n == 0 || n > f.maxWorkflows {
		return invalid(f.workflows, "has %d entries; 1 to %d are accepted", n, f.maxWorkflows)
	}
	seen := make(map[string]bool, len(q.from))
	for i, s := range q.from {
		if err := checkWorkflowID(f.at(f.workflowID, i), s.workflowID); err != nil {
			return err
		}
		if seen[s.workflowID] {
			return invalid(f.at(f.workflowID, i), "%q is listed twice; each workflow is accepted once", s.workflowID)
		}
		seen[s.workflowID] = true
		if err := checkCount(f.at(f.last, i), s.last, f.minLast, maxLast); err != nil {
			return err
		}
	}
	if err := checkCount(f.limit, q.limit, 1, maxLimit); err != nil {
		return err
	}
	if q.wait < 0 || q.wait > maxWait {
		return invalid(f.wait, "is %v; 0s to %v are accepted", q.wait, maxWait)
	}
	if err := q.checkDirection(f); err != nil {
		return err
	}
	types, err := wanted(f.types, q.types)
	q.types = types
	return err
}

func (q *request) checkDirection(f form) error {
	for i, s := range q.from {
		if s.after != nil && (s.last != nil || q.before != nil) {
			return invalid(f.at(f.after, i), "reads forwards and cannot be combined with what reads backwards")
		}
	}
	if q.wait > 0 && q.backwards() {
		return invalid(f.wait, "waits for new items and cannot be combined with what reads backwards")
	}
	return nil
}

// backwards reports whether the items are read backwards from an end.
func (q *request) backwards() bool { return q.from[0].last != nil || q.before != nil }

func checkWorkflowID(field, id string) error {
	switch {
	case id == "":
		return invalid(field, "is empty; 1 to %d bytes are accepted", maxWorkflowID)
	case len(id) > maxWorkflowID:
		return invalid(field, "is %d bytes long; 1 to %d bytes are accepted", len(id), maxWorkflowID)
	}
	return checkText(field, id)
}

// checkCount checks a count that may be absent.
func checkCount(field string, n *int, least, most int) error {
	if n != nil && (*n < least || *n > most) {
		return invalid(field, "is %d; %d to %d are accepted", *n, least, most)
	}
	return nil
}

// checkText refuses text that PostgreSQL cannot store.
func checkText(field, text string) error {
	switch {
	case strings.ContainsRune(text, 0):
		return invalid(field, "contains a NUL byte; text without NUL is accepted")
	case !utf8.ValidString(text):
		return invalid(field, "is not valid UTF-8; UTF-8 text is accepted")
	}
	return nil
}
