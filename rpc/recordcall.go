package rpc

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"

	"connectrpc.com/connect"
	"github.com/tidwall/gjson"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	v1 "chatfeed/rpc/chatfeedv1"
)

// recordCall is a RecordRequest as a codec has read it. An item is stored for good, so nothing may get lost on the way: fields
// that the schema does not know are refused, and so are numbers that a double does not keep, which a google.protobuf.Value
// would round.
type recordCall struct {
	message  v1.RecordRequest
	fromJSON bool
	size     int64 // bytes of the request
	fault    error // an invalidError
}

// maxRequestDepth is how deep a request in JSON may be nested: so that each value of its items may be at maxDepth.
const maxRequestDepth = maxDepth + 8

// readJSON decodes a request. Its own faults are left to the handler, whose errors have no prefix.
func (c *recordCall) readJSON(b []byte) error {
	c.fromJSON, c.size = true, int64(len(b))
	c.fault = func() error {
		switch {
		case len(b) > maxRecordBytes:
			return tooLarge()
		case len(bytes.TrimSpace(b)) == 0:
			return invalid("request", "is empty; a JSON object is accepted")
		case depth(b) > maxRequestDepth:
			return invalid("request", "is JSON that is nested too deep; %d levels are accepted in metadata", maxDepth)
		case gjson.ValidBytes(b): // else protojson says what is wrong
			if err := checkObject("", gjson.ParseBytes(b), c.message.ProtoReflect().Descriptor()); err != nil {
				return err
			}
		}
		if err := onOwnStack(func() error { return protojson.Unmarshal(b, &c.message) }); err != nil {
			said := strings.ReplaceAll(err.Error(), "\u00a0", " ") // protobuf varies its texts
			return invalid("request", "is not what the schema has: %s", strings.TrimPrefix(said, "proto: "))
		}
		return nil
	}()
	return nil
}

// readProto decodes a request.
func (c *recordCall) readProto(b []byte) error {
	c.size = int64(len(b))
	if len(b) > maxRecordBytes {
		c.fault = tooLarge()
		return nil
	}
	if n := countField(b, 2); n > maxRecordItems { // before a message is made for each
		c.fault = checkItemCount(n)
		return nil
	}
	if err := proto.Unmarshal(b, &c.message); err != nil {
		return err
	}
	c.fault = checkUnknown("", c.message.ProtoReflect())
	return nil
}

func tooLarge() error {
	return invalid("request", "is larger than %d bytes, which are accepted; write the items in several calls", maxRecordBytes)
}

// checkObject refuses what protojson would drop or change without an error: unknown fields, and values that are not portable.
// It checks no types.
func checkObject(path string, object gjson.Result, message protoreflect.MessageDescriptor) (err error) {
	if !object.IsObject() {
		return nil
	}
	object.ForEach(func(key, value gjson.Result) bool {
		name := key.String()
		at := strings.TrimPrefix(path+"."+name, ".")
		field := message.Fields().ByJSONName(name)
		if field == nil {
			field = message.Fields().ByTextName(name)
		}
		switch {
		case field == nil:
			err = invalid(at, "is not a field; accepted are %s", strings.Join(writable(message), ", "))
		case field.Message() == nil:
		case field.IsList():
			elements := value.Array()
			if len(elements) > maxRecordItems {
				err = checkItemCount(len(elements))
			}
			for i := 0; i < len(elements) && err == nil; i++ {
				err = checkObject(fmt.Sprintf("%s[%d]", at, i), elements[i], field.Message())
			}
		case ours(field.Message()):
			err = checkObject(at, value, field.Message())
		case field.Message().FullName() == "google.protobuf.Value" && !portable([]byte(value.Raw)):
			err = invalid(at, "is not JSON that every client reads alike; accepted is JSON nested at most %d deep, with numbers that a "+
				"64-bit float keeps to the last digit and no name twice in an object", maxDepth)
		}
		return err == nil
	})
	return err
}

// writable returns the JSON names of the fields that a writer may set.
func writable(message protoreflect.MessageDescriptor) []string {
	var names []string
	for i := range message.Fields().Len() {
		field := message.Fields().Get(i)
		if name := field.Name(); message != itemOneof.Parent() || name != "created_at" && name != "omitted" {
			names = append(names, field.JSONName())
		}
	}
	return names
}

// checkUnknown refuses fields that the schema does not know.
func checkUnknown(path string, message protoreflect.Message) (err error) {
	if unknown := message.GetUnknown(); len(unknown) > 0 {
		number, _, _ := protowire.ConsumeTag(unknown)
		return invalid(strings.TrimPrefix(path+".", ".")+fmt.Sprint("field ", number),
			"is not known to this server, which may be older than the client; the fields of its schema are accepted")
	}
	message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		at := strings.TrimPrefix(path+"."+string(field.Name()), ".")
		switch {
		case field.Message() == nil || !ours(field.Message()):
		case field.IsList():
			for i := 0; i < value.List().Len() && err == nil; i++ {
				err = checkUnknown(fmt.Sprintf("%s[%d]", at, i), value.List().Get(i).Message())
			}
		default:
			err = checkUnknown(at, value.Message())
		}
		return err == nil
	})
	return err
}

// countField counts how often a field occurs at the top of an encoded message.
func countField(b []byte, number protowire.Number) (n int) {
	for len(b) > 0 {
		found, kind, length := protowire.ConsumeTag(b)
		if length < 0 {
			return n
		}
		value := protowire.ConsumeFieldValue(found, kind, b[length:])
		if value < 0 {
			return n
		}
		if found == number {
			n++
		}
		b = b[length+value:]
	}
	return n
}

// limitBody refuses bodies that are too large.
func limitBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.Body != http.NoBody {
			limited := r.WithContext(r.Context())
			limited.Body = struct {
				io.Reader
				io.Closer
			}{&boundedReader{reader: r.Body, left: maxRecordBytes + 5}, r.Body} // 5: the envelope of gRPC
			r = limited
		}
		next.ServeHTTP(w, r)
	})
}

// boundedReader refuses a request that is too large, in words and as the client's mistake.
type boundedReader struct {
	reader io.Reader
	left   int // negative when it is too large
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, connect.NewError(connect.CodeInvalidArgument, tooLarge())
	}
	n, err := b.reader.Read(p[:min(len(p), b.left+1)])
	if b.left -= n; b.left < 0 {
		_, _ = io.CopyN(io.Discard, b.reader, 2*maxRecordBytes) // so that a client which is still sending reads the answer
		return 0, connect.NewError(connect.CodeInvalidArgument, tooLarge())
	}
	return n, err
}

// boundedGzip is a [connect.Decompressor] whose output is bounded.
type boundedGzip struct {
	boundedReader
	gzip gzip.Reader
}

func newBoundedGzip() connect.Decompressor { return new(boundedGzip) }

// Reset implements [connect.Decompressor].
func (b *boundedGzip) Reset(packed io.Reader) error {
	b.boundedReader = boundedReader{&b.gzip, maxRecordBytes}
	return b.gzip.Reset(packed)
}

// Close implements [connect.Decompressor].
func (b *boundedGzip) Close() error { return b.gzip.Close() }
