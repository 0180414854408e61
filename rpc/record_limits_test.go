package rpc_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"chatfeed/rpc"
	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

func TestARequestThatIsTooLargeIsRefusedInWords(t *testing.T) {
	t.Parallel()
	s := serve(t, &source{}, config{rpc: rpc.Config{Recorder: recordsNothing(t)}})
	var items []*v1.Item
	for range 17 { // also more than twice the limit
		items = append(items, &v1.Item{Item: &v1.Item_Log{Log: &v1.Log{Message: strings.Repeat("x", 1<<20)}}})
	}
	for _, way := range recordWays {
		if way.tls {
			continue
		}
		for _, n := range []int{9, 17} {
			if n == 17 && !strings.Contains(way.name, "h2c") {
				continue
			}
			_, err := way.record(limited(t), s, one(items[:n]...))
			require.Equal(t, connect.CodeInvalidArgument, connect.CodeOf(err), "%s: %v", way.name, err)
			require.ErrorContains(t, err, "is larger than 8388608 bytes", way.name)
			require.ErrorContains(t, err, "several calls", way.name)
		}
	}

	largest := `{"workflowId": "wf", "items": [{"log": {}}` + strings.Repeat(" ", 8<<20-44) + `]}`
	require.Len(t, largest, 8<<20)
	accepting := serve(t, &source{}, config{rpc: rpc.Config{Recorder: recorder(func(string, []rpc.NewItem) ([]rpc.Recorded, error) { return nil, nil })}})
	for _, packed := range []bool{false, true} {
		body, headers := largest, []string{"Content-Type", "application/json"}
		if packed {
			var zipped bytes.Buffer
			w := gzip.NewWriter(&zipped)
			_, _ = w.Write([]byte(largest))
			require.NoError(t, w.Close())
			body, headers = zipped.String(), append(headers, "Content-Encoding", "gzip")
		}
		got, err := do(limited(t), accepting.h1, http.MethodPost, accepting.url+chatfeedv1connect.RecordServiceRecordProcedure, body, headers...)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, got.status, "%s", got.body)
	}
}

// blanks is a body without an end, or nearly, that counts what was read of it.
type blanks struct{ read, end int }

func (b *blanks) Read(p []byte) (int, error) {
	if b.read >= b.end {
		return 0, io.EOF
	}
	b.read += len(p)
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestOfARequestThatDoesNotEndABoundedPartIsRead(t *testing.T) {
	t.Parallel()
	s := serve(t, &source{}, config{rpc: rpc.Config{Recorder: recordsNothing(t)}})
	body := &blanks{end: 256 << 20}
	request, err := http.NewRequestWithContext(limited(t), http.MethodPost, s.url+chatfeedv1connect.RecordServiceRecordProcedure, body)
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	response, err := s.h2.Do(request)
	require.NoError(t, err)
	said, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusBadRequest, response.StatusCode)
	require.Contains(t, string(said), "is larger than 8388608 bytes")
	require.Less(t, body.read, 64<<20)
}
