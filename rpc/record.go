package rpc

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

const (
	maxRecordItems = 1000
	maxRecordBytes = 8 << 20 // a message of 1 MiB that JSON has escaped fits
	// maxRecording is how many bytes of requests may wait for the database at the same time.
	maxRecording = 64 << 20
	// recordTimeout is how long a call waits for the database.
	recordTimeout = 30 * time.Second
)

// Recorder writes items to workflows. It is called concurrently.
type Recorder interface {
	// Record writes items to a workflow, all or none and in their order, and returns the result for each when they are durable.
	// If a retry cannot succeed, the error is an [InvalidItemError] or wraps [ErrWorkflowClosed].
	Record(ctx context.Context, workflowID string, items []NewItem) ([]Recorded, error)
}

// NewItem is an item to be written.
type NewItem struct {
	Type string // one of the schema's
	ID   string // may be empty, and is not checked
	// Body is a JSON object with the fields of the type that are not empty, by the names that clients know.
	Body json.RawMessage
	// Metadata is nil if there is none.
	Metadata json.RawMessage
}

// Recorded is the result of writing one item.
type Recorded struct {
	ID      string
	Already bool // the workflow had an item of this type and id, which was left unchanged
}

// InvalidItemError is what a [Recorder] returns for items that can never be written. Clients see its text.
type InvalidItemError struct {
	Index  int    // of the item in the call; negative if it is not known, or the error concerns the call
	Field  string // by its JSON name
	Reason string // what is invalid and what is accepted
}

func (e *InvalidItemError) Error() string {
	return fmt.Sprintf("item %d: %s: %s", e.Index, e.Field, e.Reason)
}

// ErrWorkflowClosed is what a [Recorder] returns for a workflow in which nothing can be written any more.
var ErrWorkflowClosed = errors.New("the workflow is closed")

// recordService implements chatfeed.v1.RecordService.
type recordService struct {
	Config
	recording atomic.Int64 // bytes of the requests that wait for the database
}

// newRecordHandler returns the handler of RecordService and its pattern. The generated one is not used because it would decode
// the request before anyone can check what it has lost: see recordCall.
func newRecordHandler(cfg Config, options ...connect.HandlerOption) (string, http.Handler) {
	service := &recordService{Config: cfg}
	method := v1.File_chatfeed_v1_record_proto.Services().ByName("RecordService").Methods().ByName("Record")
	handler := connect.NewUnaryHandler(chatfeedv1connect.RecordServiceRecordProcedure, service.record,
		connect.WithHandlerOptions(options...), connect.WithSchema(method),
		connect.WithReadMaxBytes(math.MaxInt32), // it says resource_exhausted, after which clients retry; see boundedReader
		connect.WithCompression("gzip", newBoundedGzip, func() connect.Compressor { return gzip.NewWriter(io.Discard) }),
	)
	return chatfeedv1connect.RecordServiceRecordProcedure, limitBody(handler)
}

func (s *recordService) record(
	ctx context.Context, request *connect.Request[recordCall],
) (*connect.Response[v1.RecordResponse], error) {
	recorded, err := s.write(ctx, request.Msg)
	if err != nil {
		return nil, public(ctx, s.Log, err)
	}
	response := &v1.RecordResponse{Items: make([]*v1.RecordedItem, len(recorded))}
	for i, item := range recorded {
		response.Items[i] = &v1.RecordedItem{Id: item.ID, Already: item.Already}
	}
	return connect.NewResponse(response), nil
}

func (s *recordService) write(ctx context.Context, call *recordCall) ([]Recorded, error) {
	items, err := call.items()
	if err != nil {
		return nil, err
	}
	workflowID := call.message.GetWorkflowId()
	if !s.viewer(ctx).CanRecord(workflowID) { // whether the workflow exists or not
		return nil, errForbidden
	}
	defer s.recording.Add(-call.size)
	if waiting := s.recording.Add(call.size); waiting > maxRecording {
		return nil, errRecordingTooMuch
	}
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	recorded, err := s.Recorder.Record(ctx, workflowID, items)
	var bad *InvalidItemError
	if errors.As(err, &bad) {
		return nil, call.invalid(bad)
	}
	return recorded, err
}

// items checks the request, apart from what only the database's package knows, and returns its items.
func (c *recordCall) items() ([]NewItem, error) {
	if c.fault != nil {
		return nil, c.fault
	}
	if err := checkWorkflowID(c.name("workflow_id", "workflowId"), c.message.GetWorkflowId()); err != nil {
		return nil, err
	}
	if err := checkItemCount(len(c.message.GetItems())); err != nil {
		return nil, err
	}
	items := make([]NewItem, len(c.message.GetItems()))
	for i, item := range c.message.GetItems() {
		at := fmt.Sprintf("items[%d]", i)
		body := item.ProtoReflect().WhichOneof(itemOneof)
		switch workflowID := item.GetWorkflowId(); {
		case workflowID != "" && workflowID != c.message.GetWorkflowId():
			return nil, invalid(at+"."+c.name("workflow_id", "workflowId"), "is not that of the request; the same or none is accepted")
		case item.CreatedAt != nil:
			return nil, invalid(at+"."+c.name("created_at", "_createdAt"), "is set; the database stamps items, and accepts no time")
		case len(item.GetOmitted()) > 0:
			return nil, invalid(at+".omitted", "is set; it is for items that are read")
		case body == nil:
			return nil, invalid(at, "has no body; one of %s is accepted", strings.Join(kindNames(func(kind) bool { return true }), ", "))
		}
		items[i] = NewItem{Type: string(body.Name()), ID: item.GetId()}
		var err error
		if items[i].Body, err = c.json(at+"."+items[i].Type, item.ProtoReflect().Get(body).Message().Interface()); err != nil {
			return nil, err
		}
		if item.GetMetadata() != nil {
			if items[i].Metadata, err = c.json(at+".metadata", item.GetMetadata()); err != nil {
				return nil, err
			}
		}
	}
	return items, nil
}

var itemOneof = (*v1.Item)(nil).ProtoReflect().Descriptor().Oneofs().ByName("item")

func checkItemCount(n int) error {
	if n == 0 || n > maxRecordItems {
		return invalid("items", "has %d entries; 1 to %d are accepted", n, maxRecordItems)
	}
	return nil
}

// json encodes a part of an item. It fails for values that only protobuf has, such as a google.protobuf.Value of no kind.
func (c *recordCall) json(field string, part proto.Message) (text []byte, err error) {
	err = onOwnStack(func() error {
		text, err = protojson.Marshal(part)
		return err
	})
	if err != nil {
		return nil, invalid(field, "has a value that JSON cannot express, such as NaN or a google.protobuf.Value without a kind; "+
			"any JSON value is accepted")
	}
	return text, nil
}

// invalid names the field of an item as the caller has written it.
func (c *recordCall) invalid(e *InvalidItemError) error {
	all := c.message.GetItems()
	switch {
	case e.Index < 0 && e.Field == "workflowId":
		return invalid(c.name("workflow_id", "workflowId"), "%s", e.Reason)
	case e.Index < 0 && e.Field == "items":
		return invalid("items", "%s", e.Reason)
	case e.Index < 0 || e.Index >= len(all):
		return invalid("items", "the %s of one of them: %s", e.Field, e.Reason)
	}
	field := e.Field
	item := all[e.Index].ProtoReflect()
	if body := item.WhichOneof(itemOneof); body != nil && field != "id" && field != "metadata" && field != "workflowId" {
		if named := body.Message().Fields().ByJSONName(field); named != nil {
			field = c.name(string(named.Name()), field)
		}
		field = string(body.Name()) + "." + field
	}
	return invalid(fmt.Sprintf("items[%d].%s", e.Index, field), "%s", e.Reason)
}

// name is a field's name in the caller's format.
func (c *recordCall) name(proto, json string) string {
	if c.fromJSON {
		return json
	}
	return proto
}
