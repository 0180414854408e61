// Package activities records items from workflows: Temporal activities that append to the feed of the workflow that
// calls them.
//
// They are called by name with JSON, so a workflow in any language can use them; [Register] puts them on a worker, the
// user's own or that of "chatfeed worker". Temporal runs an activity at least once; the rows are written once all the
// same, since an item without an id gets one that is made of the workflow, the run, the activity and the item's place,
// and is the same in every attempt.
//
// Input that can never be recorded fails with a non-retryable application error of type [InvalidItem] that names the
// field. Any other error, such as a database that is away, is left to the activity's retry policy.
package activities

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"

	"chatfeed/db"
)

// The names of the activities. The first four take the item; RecordItems takes a [List] of them and writes all or
// none. Each returns [Recorded].
const (
	RecordMessage  = "RecordMessage"
	RecordLog      = "RecordLog"
	RecordStat     = "RecordStat"
	RecordProgress = "RecordProgress"
	RecordItems    = "RecordItems"
)

// TaskQueue is where "chatfeed worker" serves the activities unless it is told otherwise.
const TaskQueue = "chatfeed"

// InvalidItem is the type of the application error for input that can never be recorded.
const InvalidItem = "InvalidItem"

type (
	// Message is the input of RecordMessage. As in all four, an empty WorkflowID means the workflow that calls.
	Message = db.Message
	// Log is the input of RecordLog.
	Log = db.Log
	// Stat is the input of RecordStat.
	Stat = db.Stat
	// Progress is the input of RecordProgress.
	Progress = db.Progress
)

// Recorded says which items an activity has recorded.
type Recorded struct {
	IDs []string `json:"ids"` // in the order of the input
}

// Writer appends items, all or none, and returns when they are durable; [db.Writer] is one.
type Writer interface {
	Write(ctx context.Context, items ...db.Item) error
}

// Register puts the activities on a worker. They write through w, which must outlive the worker.
func Register(registry worker.ActivityRegistry, w Writer) {
	r := recorder{w}
	for name, record := range map[string]any{
		RecordMessage:  func(ctx context.Context, in Message) (Recorded, error) { return r.write(ctx, Items(in)) },
		RecordLog:      func(ctx context.Context, in Log) (Recorded, error) { return r.write(ctx, Items(in)) },
		RecordStat:     func(ctx context.Context, in Stat) (Recorded, error) { return r.write(ctx, Items(in)) },
		RecordProgress: func(ctx context.Context, in Progress) (Recorded, error) { return r.write(ctx, Items(in)) },
		RecordItems:    r.writeAll,
	} {
		registry.RegisterActivityWithOptions(record, activity.RegisterOptions{Name: name})
	}
}

type recorder struct{ writer Writer }

// write records the one item of a list.
func (r recorder) write(ctx context.Context, list List) (Recorded, error) {
	recorded, err := r.record(ctx, list.items)
	var bad *db.InvalidItemError
	if errors.As(err, &bad) {
		return Recorded{}, refuse(fmt.Errorf("%s: %s", bad.Field, bad.Reason))
	}
	return recorded, err
}

func (r recorder) writeAll(ctx context.Context, list List) (Recorded, error) {
	if list.err != nil {
		return Recorded{}, refuse(list.err)
	}
	recorded, err := r.record(ctx, list.items)
	var bad *db.InvalidItemError
	if errors.As(err, &bad) {
		return Recorded{}, refuse(fmt.Errorf("items[%d].item.%s: %s", bad.Index, bad.Field, bad.Reason))
	}
	return recorded, err
}

// record writes items, all or none.
func (r recorder) record(ctx context.Context, items []db.Item) (Recorded, error) {
	info := activity.GetInfo(ctx)
	recorded := Recorded{IDs: make([]string, len(items))}
	complete := make([]db.Item, len(items))
	for i, item := range items {
		complete[i], recorded.IDs[i] = db.WithDefaults(item, info.WorkflowExecution.ID, func() string { return deriveID(info, i) })
	}
	err := r.writer.Write(ctx, complete...)
	switch {
	case db.Refused(err):
		return Recorded{}, refuse(err)
	case err != nil:
		return Recorded{}, fmt.Errorf("record %d items: %w", len(items), err)
	}
	return recorded, nil
}

func refuse(err error) error {
	return temporal.NewNonRetryableApplicationError(err.Error(), InvalidItem, err)
}

// deriveID makes an id that is the same in every attempt of an activity and differs from that of any other: 128 bits of
// a SHA-256. Local activities count their ids apart from the others.
func deriveID(info activity.Info, index int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %t %d",
		info.WorkflowExecution.ID, info.WorkflowExecution.RunID, info.ActivityID, info.IsLocalActivity, index))
	return hex.EncodeToString(sum[:16])
}
