// Package activities records items from workflows: Temporal activities that append to the feed of the workflow that
// calls them.
//
// They are called by name with JSON, so a workflow in any language can use them; [Register] puts them on a worker, the
// user's own or that of "chatfeed worker". Temporal runs an activity at least once; the rows are written once all the
// same, since an item without an id gets one that is made of the workflow, the run, the activity and the item's place,
// and is the same in every attempt. One case is beyond that: a local activity that waits longer for its next attempt than
// its workflow task lasts is another activity to the SDK from then on, and writes its items again. Give such items ids.
//
// Input that can never be recorded fails with a non-retryable application error of type [InvalidItem] that names the
// field. Any other error, such as a database that is away or that refuses the worker's role, is left to the activity's
// retry policy, and says in words what has to be done.
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

// TaskQueue is where "chatfeed worker" serves the activities unless it is told otherwise.
const TaskQueue = "chatfeed"

// InvalidItem is the type of the application error for input that can never be recorded.
const InvalidItem = "InvalidItem"

// Recorded says which items an activity has recorded.
type Recorded struct {
	IDs []string `json:"ids"` // in the order of the input
	// Already are those of the ids that the workflow had before; their items were left as they were. That is usual when an
	// activity is tried again.
	Already []string `json:"already,omitempty"`
	// Warning says that a first attempt has found ids that were there already, so that items may be missing, or that fields
	// were left out which this version does not know: the workflow may be newer than its worker.
	Warning string `json:"warning,omitempty"`
}

// Writer appends items, all or none, and returns when they are durable what has become of each, in the order of the items;
// [db.Writer] is one.
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
	writer Writer
	alarms alarms
}

func (r *recorder) writeOne(ctx context.Context, item Item) (Recorded, error) {
	// What came as JSON is never zero; what the caller of a local activity gives may be.
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
		return Recorded{}, refuse(errNoList("is missing"))
	}
	recorded, err := r.record(ctx, list.items)
	var bad *db.InvalidItemError
	if errors.As(err, &bad) {
		at := fmt.Sprintf("items[%d].item.", bad.Index)
		if bad.Index < 0 { // it is the call as a whole
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
		if isNil(item) { // as only a local activity's may be, since they are not decoded
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
		return Recorded{}, r.passing(ctx, len(items), err)
	}
	for _, w := range written {
		if w.Already {
			recorded.Already = append(recorded.Already, w.ID)
		}
	}
	// A local activity may have run before in a workflow task that was lost, without its attempts being counted.
	if len(recorded.Already) > 0 && info.Attempt == 1 && !info.IsLocalActivity {
		recorded.Warning = fmt.Sprintf("%d of %d items were not written: their ids were there before the first attempt. "+
			"Either something else has used these ids, or the activity was reset.", len(recorded.Already), len(items))
		activity.GetLogger(ctx).Warn(recorded.Warning, "ids", recorded.Already)
	}
	if ignored := r.ignored(ctx, items); ignored != "" {
		recorded.Warning = strings.TrimSpace(recorded.Warning + " " + ignored)
	}
	return recorded, nil
}

// ignored says which fields of the items were left out, and has the worker's log say so, too.
func (r *recorder) ignored(ctx context.Context, items []Item) string {
	var fields []string
	for _, item := range items {
		fields = append(fields, item.state().ignored...)
	}
	if len(fields) == 0 {
		return ""
	}
	slices.Sort(fields)
	words := fmt.Sprintf("Fields that this version does not know were left out: %s.", strings.Join(slices.Compact(fields), ", "))
	if r.alarms.due("fields that are not known", time.Now()) {
		activity.GetLogger(ctx).Warn(words + " The workflow may be newer than this worker.")
	}
	return words
}

func refuse(err error) error {
	return temporal.NewNonRetryableApplicationError(err.Error(), InvalidItem, err)
}
