// Package activities records items from workflows: Temporal activities that append to the feed of the workflow that
// calls them.
//
// They are called by name with JSON, so a workflow in any language can use them; [Register] puts them on a worker, the
// user's own or that of "chatfeed worker". Temporal runs an activity at least once, but the rows are written only
// once: an item without an id gets one that is derived from the workflow, the run, the activity and the item's index, and is
// the same in every attempt. There is one exception: a local activity whose next attempt comes after its workflow task has
// ended is a new activity to the SDK, and writes its items again. Give such items ids.
//
// Input that can never be recorded fails with a non-retryable application error of type [InvalidItem] that names the
// field. Any other error, such as an unavailable database or one that refuses the worker's role, is left to the activity's
// retry policy; its text says what has to be done.
package activities

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

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

// TaskQueue is the default task queue of "chatfeed worker".
const TaskQueue = "chatfeed"

// InvalidItem is the type of the application error for input that can never be recorded.
const InvalidItem = "InvalidItem"

// Recorded says which items an activity has recorded.
type Recorded struct {
	IDs []string `json:"ids"` // in the order of the input
	// Already lists those of the ids that the workflow already had; their items were left unchanged. That is normal when an
	// activity is retried.
	Already []string `json:"already,omitempty"`
	// Warning says that a first attempt found its ids in use, so that items may be missing, or that fields were left out
	// that this version does not know: the workflow may be newer than its worker.
	Warning string `json:"warning,omitempty"`
}

// Writer appends items, all or none, and returns the result for each, in their order, when they are durable; [db.Writer]
// implements it.
type Writer interface {
	Write(ctx context.Context, items ...db.Item) ([]db.Written, error)
}

// Register puts the activities on a worker. They write through w, which must outlive the worker.
func Register(registry worker.ActivityRegistry, w Writer) {
	r := &recorder{writer: w}
	for name, record := range map[string]any{
		RecordMessage:  func(ctx context.Context, in Message) (Recorded, error) { return r.writeOne(ctx, in) },
		RecordLog:      func(ctx context.Context, in Log) (Recorded, error) { return r.writeOne(ctx, in) },
		RecordStat:     func(ctx context.Context, in Stat) (Recorded, error) { return r.writeOne(ctx, in) },
		RecordProgress: func(ctx context.Context, in Progress) (Recorded, error) { return r.writeOne(ctx, in) },
		RecordItems:    r.writeAll,
	} {
		registry.RegisterActivityWithOptions(record, activity.RegisterOptions{Name: name})
	}
}

type recorder struct {
	writer   Writer
	problems logLimiter
}

func (r *recorder) writeOne(ctx context.Context, item Item) (Recorded, error) {
	// Decoded JSON is never zero; the argument of a local activity may be.
	if reflect.ValueOf(item).IsZero() && !activity.GetInfo(ctx).IsLocalActivity {
		return Recorded{}, refuse(errors.New("input: is missing; accepted is an object"))
	}
	recorded, err := r.record(ctx, []Item{item})
	var bad *db.InvalidItemError
	if errors.As(err, &bad) {
		return Recorded{}, refuse(fmt.Errorf("%s: %s", bad.Field, bad.Reason))
	}
	return recorded, err
}

func (r *recorder) writeAll(ctx context.Context, list List) (Recorded, error) {
	switch {
	case list.err != nil:
		return Recorded{}, refuse(list.err)
	case list.items == nil:
		return Recorded{}, refuse(errNotAList("is missing"))
	}
	recorded, err := r.record(ctx, list.items)
	var bad *db.InvalidItemError
	if errors.As(err, &bad) {
		at := fmt.Sprintf("items[%d].item.", bad.Index)
		if bad.Index < 0 { // the call as a whole
			at = ""
		}
		return Recorded{}, refuse(fmt.Errorf("%s%s: %s", at, bad.Field, bad.Reason))
	}
	return recorded, err
}

// record writes items, all or none.
func (r *recorder) record(ctx context.Context, items []Item) (Recorded, error) {
	info := activity.GetInfo(ctx)
	recorded := Recorded{IDs: make([]string, len(items))}
	complete := make([]db.Item, len(items))
	for i, item := range items {
		if isNil(item) { // only in a local activity, whose arguments are not decoded
			return Recorded{}, &db.InvalidItemError{Index: i, Field: "item", Reason: "is nil; a Message, Log, Stat or Progress is accepted"}
		}
		if err := item.state().invalid(i); err != nil {
			return Recorded{}, err
		}
		complete[i], recorded.IDs[i] = db.WithDefaults(item.item(), info.WorkflowExecution.ID, func() string { return deriveID(info, i) })
	}
	written, err := r.writer.Write(ctx, complete...)
	var bad *db.InvalidItemError
	switch {
	case errors.As(err, &bad):
		return Recorded{}, err
	case db.Refused(err):
		return Recorded{}, refuse(err)
	case err != nil:
		return Recorded{}, r.retryable(ctx, len(items), err)
	}
	for _, w := range written {
		if w.Already {
			recorded.Already = append(recorded.Already, w.ID)
		}
	}
	// A local activity may have run before, in a workflow task that was lost; such attempts are not counted.
	if len(recorded.Already) > 0 && info.Attempt == 1 && !info.IsLocalActivity {
		recorded.Warning = fmt.Sprintf("%d of %d items were not written: their ids existed before the first attempt. "+
			"Either something else has used these ids, or the activity was reset.", len(recorded.Already), len(items))
		activity.GetLogger(ctx).Warn(recorded.Warning, "ids", recorded.Already)
	}
	if ignored := r.ignored(ctx, items); ignored != "" {
		recorded.Warning = strings.TrimSpace(recorded.Warning + " " + ignored)
	}
	return recorded, nil
}

// ignored returns a text with the fields of the items that were left out, and logs it.
func (r *recorder) ignored(ctx context.Context, items []Item) string {
	var fields []string
	for _, item := range items {
		fields = append(fields, item.state().ignored...)
	}
	if len(fields) == 0 {
		return ""
	}
	slices.Sort(fields)
	message := fmt.Sprintf("Fields that this version does not know were left out: %s.", strings.Join(slices.Compact(fields), ", "))
	if r.problems.due("unknown fields", time.Now()) {
		activity.GetLogger(ctx).Warn(message + " The workflow may be newer than this worker.")
	}
	return message
}

func refuse(err error) error {
	return temporal.NewNonRetryableApplicationError(err.Error(), InvalidItem, err)
}
