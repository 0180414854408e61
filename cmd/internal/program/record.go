package program

import (
	"context"
	"encoding/json"
	"errors"

	"chatfeed/db"
	"chatfeed/rpc"
)

// recorder is an [rpc.Recorder] that writes through the writer, together with what others record.
type recorder struct{ writer *db.Writer }

// Record implements [rpc.Recorder].
func (r recorder) Record(ctx context.Context, workflowID string, items []rpc.NewItem) ([]rpc.Recorded, error) {
	rows := make([]db.Item, len(items))
	for i, item := range items {
		row, err := newRow(workflowID, item)
		if err != nil {
			err.Index = i
			return nil, err
		}
		rows[i] = row
	}
	written, err := r.writer.Write(ctx, rows...)
	var bad *db.InvalidItemError
	switch {
	case errors.Is(err, db.ErrClosed):
		return nil, rpc.ErrWorkflowClosed
	case errors.As(err, &bad):
		return nil, &rpc.InvalidItemError{Index: bad.Index, Field: bad.Field, Reason: bad.Reason}
	case db.Refused(err): // by a constraint or a trigger of the user's
		return nil, &rpc.InvalidItemError{Index: -1, Field: "items", Reason: "are refused by a constraint that the database has of its own"}
	case errors.Is(err, db.ErrWriterClosed):
		return nil, &rpc.AwayError{Reason: "the server is stopping; try again"}
	case err != nil:
		return nil, err
	}
	recorded := make([]rpc.Recorded, len(written))
	for i, w := range written {
		recorded[i] = rpc.Recorded(w)
	}
	return recorded, nil
}

// newRow makes the row of an item, which must have an id: without one, a repeated call would write it twice.
func newRow(workflowID string, item rpc.NewItem) (db.Item, *rpc.InvalidItemError) {
	kind := db.KindNamed(item.Type)
	if kind == nil {
		return nil, &rpc.InvalidItemError{Field: "type", Reason: "is not known to the database's schema"}
	}
	row := kind.New()
	common, err := json.Marshal(struct {
		ID       string          `json:"id,omitempty"`
		Metadata json.RawMessage `json:"metadata,omitempty"`
	}{item.ID, item.Metadata})
	if err == nil {
		err = errors.Join(json.Unmarshal(item.Body, row), json.Unmarshal(common, row))
	}
	var mismatch *json.UnmarshalTypeError
	switch {
	case errors.As(err, &mismatch): // the schema has checked the types, but its doubles include NaN
		return nil, &rpc.InvalidItemError{Field: mismatch.Field, Reason: "is not a finite number, which is accepted"}
	case err != nil:
		return nil, &rpc.InvalidItemError{Field: "item", Reason: "is not JSON"}
	}
	unnamed := false
	row, _ = db.WithDefaults(row, workflowID, func() string {
		unnamed = true
		return ""
	})
	if unnamed {
		return nil, &rpc.InvalidItemError{Field: "id", Reason: "is empty; 1 to 200 bytes are required, the same ones whenever this item is written again"}
	}
	return row, nil
}
