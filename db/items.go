package db

import (
	"cmp"
	"context"
	"encoding/json"
	"math"

	"chatfeed/db/internal/dbsqlc"
)

// Item is what can be appended to a workflow's feed: a [Message], [Log], [Stat] or [Progress]. Its JSON names are those
// that clients see.
//
// In each of them WorkflowID is 1 to 1,000 bytes; ID is at most 200 bytes and unique among the workflow's items of the
// type, and an empty one is replaced by a new unique one; Metadata is any JSON value of at most 64 KiB, or nil. Texts
// are UTF-8 without NUL, labels (role, status, level) at most 1,000 bytes and bodies (message, result) at most 1 MiB.
type Item interface {
	key() key
	check(*checker)
	size() int // bytes of its body
	// with returns the item with these in place of what it has.
	with(workflowID, id string) Item
	// insert writes rows that are all of the receiver's type, in order.
	insert(ctx context.Context, q *dbsqlc.Queries, rows []row, set settings) error
}

// WithDefaults returns the item with the given workflow and a made id where it has none, and its id. The made id gets
// the prefix of the item's type.
func WithDefaults(item Item, workflowID string, makeID func() string) (with Item, id string) {
	k := item.key()
	if k.workflowID != "" {
		workflowID = k.workflowID
	}
	if k.id == "" {
		k.id = k.prefix + makeID()
	}
	return item.with(workflowID, k.id), k.id
}

// key is what every type of item has.
type key struct {
	prefix     string // of the id
	workflowID string
	id         string
	metadata   json.RawMessage
}

// row is an item that has passed its checks and has its id.
type row struct {
	Item
	workflowID string
	id         string
	metadata   string // empty means none
	place      int    // among the items of its call or group
}

// bytes is how long the row's body and metadata are.
func (r row) bytes() int { return r.size() + len(r.metadata) }

// Message is something said in the chat. An empty Role means assistant.
type Message struct {
	WorkflowID string          `json:"workflowId,omitempty"`
	ID         string          `json:"id,omitempty"`
	Role       string          `json:"role,omitempty"`
	Message    string          `json:"message"`
	Status     string          `json:"status,omitempty"`
	Metadata   json.RawMessage `json:"metadata,omitempty"`
}

func (m Message) key() key { return key{"msg_", m.WorkflowID, m.ID, m.Metadata} }

func (m Message) size() int { return len(m.Message) }

func (m Message) with(workflowID, id string) Item {
	m.WorkflowID, m.ID = workflowID, id
	return m
}

func (m Message) check(c *checker) {
	c.label("role", m.Role)
	c.body("message", m.Message)
	c.label("status", m.Status)
}

func (Message) insert(ctx context.Context, q *dbsqlc.Queries, rows []row, set settings) error {
	p := dbsqlc.InsertMessagesParams{Lock: set.lock, Patience: set.patience}
	for _, r := range rows {
		m := r.Item.(Message)
		addKey(r, &p.WorkflowIds, &p.Ids, &p.Metadata)
		p.Roles = append(p.Roles, cmp.Or(m.Role, "assistant"))
		p.Messages = append(p.Messages, m.Message)
		p.Statuses = append(p.Statuses, m.Status)
	}
	_, err := q.InsertMessages(ctx, p)
	return err
}

// Log is a line of the workflow's log. An empty Level means info.
type Log struct {
	WorkflowID string          `json:"workflowId,omitempty"`
	ID         string          `json:"id,omitempty"`
	Level      string          `json:"level,omitempty"`
	Message    string          `json:"message"`
	Metadata   json.RawMessage `json:"metadata,omitempty"`
}

func (l Log) key() key { return key{"log_", l.WorkflowID, l.ID, l.Metadata} }

func (l Log) size() int { return len(l.Message) }

func (l Log) with(workflowID, id string) Item {
	l.WorkflowID, l.ID = workflowID, id
	return l
}

func (l Log) check(c *checker) {
	c.label("level", l.Level)
	c.body("message", l.Message)
}

func (Log) insert(ctx context.Context, q *dbsqlc.Queries, rows []row, set settings) error {
	p := dbsqlc.InsertLogsParams{Lock: set.lock, Patience: set.patience}
	for _, r := range rows {
		l := r.Item.(Log)
		addKey(r, &p.WorkflowIds, &p.Ids, &p.Metadata)
		p.Levels = append(p.Levels, cmp.Or(l.Level, "info"))
		p.Messages = append(p.Messages, l.Message)
	}
	_, err := q.InsertLogs(ctx, p)
	return err
}

// Stat says what a piece of work has cost.
type Stat struct {
	WorkflowID     string          `json:"workflowId,omitempty"`
	ID             string          `json:"id,omitempty"`
	ProcessingTime float64         `json:"processingTime"` // seconds, zero or more
	TokenCount     int64           `json:"tokenCount"`     // zero to 2,147,483,647
	Metadata       json.RawMessage `json:"metadata,omitempty"`
}

func (s Stat) key() key { return key{"stat_", s.WorkflowID, s.ID, s.Metadata} }

func (Stat) size() int { return 0 }

func (s Stat) with(workflowID, id string) Item {
	s.WorkflowID, s.ID = workflowID, id
	return s
}

func (s Stat) check(c *checker) {
	c.number("processingTime", s.ProcessingTime, 0, math.MaxFloat64, "seconds, zero or more")
	c.number("tokenCount", float64(s.TokenCount), 0, math.MaxInt32, "a whole number from 0 to 2147483647")
}

func (Stat) insert(ctx context.Context, q *dbsqlc.Queries, rows []row, set settings) error {
	p := dbsqlc.InsertStatsParams{Lock: set.lock, Patience: set.patience}
	for _, r := range rows {
		s := r.Item.(Stat)
		addKey(r, &p.WorkflowIds, &p.Ids, &p.Metadata)
		p.ProcessingTimes = append(p.ProcessingTimes, s.ProcessingTime)
		p.TokenCounts = append(p.TokenCounts, int32(s.TokenCount)) //nolint:gosec // check has bounded it
	}
	_, err := q.InsertStats(ctx, p)
	return err
}

// Progress says how far the workflow has come. The status of a workflow is that of its latest progress item.
type Progress struct {
	WorkflowID string          `json:"workflowId,omitempty"`
	ID         string          `json:"id,omitempty"`
	Progress   float64         `json:"progress"` // per cent, 0 to 100
	Status     string          `json:"status,omitempty"`
	Result     string          `json:"result,omitempty"`
	Metadata   json.RawMessage `json:"metadata,omitempty"`
}

func (p Progress) key() key { return key{"prog_", p.WorkflowID, p.ID, p.Metadata} }

func (p Progress) size() int { return len(p.Result) }

func (p Progress) with(workflowID, id string) Item {
	p.WorkflowID, p.ID = workflowID, id
	return p
}

func (p Progress) check(c *checker) {
	c.number("progress", p.Progress, 0, 100, "a number from 0 to 100")
	c.label("status", p.Status)
	c.body("result", p.Result)
}

func (Progress) insert(ctx context.Context, q *dbsqlc.Queries, rows []row, set settings) error {
	p := dbsqlc.InsertProgressParams{Lock: set.lock, Patience: set.patience}
	for _, r := range rows {
		item := r.Item.(Progress)
		addKey(r, &p.WorkflowIds, &p.Ids, &p.Metadata)
		p.Progress = append(p.Progress, item.Progress)
		p.Statuses = append(p.Statuses, item.Status)
		p.Results = append(p.Results, item.Result)
	}
	_, err := q.InsertProgress(ctx, p)
	return err
}

func addKey(r row, workflowIDs, ids, metadata *[]string) {
	*workflowIDs = append(*workflowIDs, r.workflowID)
	*ids = append(*ids, r.id)
	*metadata = append(*metadata, r.metadata)
}
