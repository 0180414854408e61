package program_test

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"chatfeed/internal/dbtest"
	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

// python is a folder with the code of docs/python.md, and a stand-in for Temporal's SDK, which is not in the standard library.
type python struct{ folder, url, gates string }

func newPython(t *testing.T, url string) *python {
	t.Helper()
	p := &python{t.TempDir(), url, t.TempDir()}
	require.NoError(t, os.CopyFS(p.folder, os.DirFS("testdata/python")))
	text, err := os.ReadFile("../../../docs/python.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```python (\\S+)\n(.*?)```").FindAllSubmatch(text, -1)
	require.Len(t, blocks, 2)
	for _, block := range blocks {
		require.NoError(t, os.WriteFile(filepath.Join(p.folder, string(block[1])), block[2], 0o600))
	}
	return p
}

// open makes a file that the stand-ins look for.
func (p *python) open(t *testing.T, gate string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(p.gates, gate), nil, 0o600))
}

// start runs the activity. The function that it returns waits for its end, and returns what it has printed.
func (p *python) start(t *testing.T, workflow, question string) (end func() string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	cmd := exec.CommandContext(ctx, "python3", "-u", "worker.py", workflow, question)
	cmd.Dir = p.folder
	cmd.Env = append(os.Environ(), "CHATFEED_URL="+p.url, "GATES="+p.gates, "PYTHONDONTWRITEBYTECODE=1")
	out := new(strings.Builder)
	cmd.Stdout, cmd.Stderr = out, out
	require.NoError(t, cmd.Start(), "python3 is needed")
	var failed error
	ended := make(chan struct{})
	go func() { defer close(ended); failed = cmd.Wait() }()
	t.Cleanup(func() { cancel(); <-ended })
	return func() string {
		t.Helper()
		<-ended
		require.NoError(t, failed, out)
		return out.String()
	}
}

// followed receives a workflow's messages and deltas, and keeps what each attempt has said. It returns the message when it comes.
func followed(t *testing.T, url, workflow string) (grow func() *v1.Message, said map[int32]string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	stream, err := chatfeedv1connect.NewFeedServiceClient(http.DefaultClient, url).Subscribe(ctx,
		&v1.SubscribeRequest{Cursors: []*v1.Cursor{{WorkflowId: workflow}}, Types: []string{"message", "delta"}})
	require.NoError(t, err)
	t.Cleanup(func() { _ = stream.Close(); http.DefaultClient.CloseIdleConnections() })
	said = make(map[int32]string)
	var items []*v1.Item
	return func() *v1.Message {
		t.Helper()
		for len(items) == 0 {
			require.True(t, stream.Receive(), "%v", stream.Err())
			items = append(items, stream.Msg().GetItems()...)
		}
		item := items[0]
		items = items[1:]
		if delta := item.GetDelta(); delta != nil {
			require.EqualValues(t, utf8.RuneCountInString(said[delta.GetAttempt()]), delta.GetAt(), "each begins where the last has ended")
			said[delta.GetAttempt()] += delta.GetDelta()
			return nil
		}
		require.Equal(t, "msg_run_7", item.GetId())
		return item.GetMessage()
	}, said
}

func TestAnActivityInPythonStreamsAnAnswer(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	url := serve(t, pool.Config().ConnString())
	p := newPython(t, url)
	left := func(t *testing.T, workflow string) (deltas int) {
		t.Helper()
		require.NoError(t, pool.QueryRow(t.Context(), `select count(*) from chatfeed.deltas where workflow_id = $1`, workflow).Scan(&deltas))
		return deltas
	}
	const begin = "The quick 🦊 jumps\uFFFD over the ?lazy dog."
	for question, attempt := range map[string]int32{"just answer": 1, "fail first": 2} {
		t.Run(question, func(t *testing.T) {
			t.Parallel()
			grow, said := followed(t, url, question)
			end := p.start(t, question, question)
			for said[attempt] != begin {
				require.Nil(t, grow(), "it grows before it is there")
			}
			p.open(t, question)
			var message *v1.Message
			for message == nil {
				message = grow()
			}
			require.Equal(t, begin+" The end.", message.GetMessage())
			require.Equal(t, "complete", message.GetStatus())
			out := end()
			require.Contains(t, out, `returned 'The quick \U0001f98a jumps\ufffd over the ?lazy dog. The end.'`)
			require.Contains(t, out, "\nheartbeats")
			require.Zero(t, left(t, question), "the message has taken the place of its deltas")
			if attempt == 2 {
				require.Equal(t, "The wro", said[1])
				require.Contains(t, out, "failed RuntimeError the model has failed")
			}
		})
	}
	t.Run("a cancellation closes the message", func(t *testing.T) {
		t.Parallel()
		grow, said := followed(t, url, "wf_cancelled")
		end := p.start(t, "wf_cancelled", "never end")
		require.Nil(t, grow(), "the first piece comes at once")
		require.Equal(t, "Once", said[1])
		p.open(t, "wf_cancelled.cancelled")
		message := grow()
		require.Equal(t, "Once", message.GetMessage())
		require.Equal(t, "cancelled", message.GetStatus())
		require.Contains(t, end(), "cancelled ")
		require.Zero(t, left(t, "wf_cancelled"))
	})
	t.Run("an attempt that has lost its activity leaves the message to the next", func(t *testing.T) {
		t.Parallel()
		grow, _ := followed(t, url, "wf_lost")
		end := p.start(t, "wf_lost", "never end")
		require.Nil(t, grow())
		p.open(t, "wf_lost.lost")
		require.Contains(t, end(), "cancelled lost")
		require.Equal(t, 1, left(t, "wf_lost"))
	})
	t.Run("an error that is not retried closes the message", func(t *testing.T) {
		t.Parallel()
		grow, _ := followed(t, url, "wf_failed")
		out := p.start(t, "wf_failed", "fail for good")()
		require.Contains(t, out, "failed ApplicationError no such model")
		var message *v1.Message
		for message == nil {
			message = grow()
		}
		require.Equal(t, "failed", message.GetStatus())
		require.Equal(t, "Sorry", message.GetMessage())
	})
	t.Run("what can never be recorded fails the activity in words", func(t *testing.T) {
		t.Parallel()
		out := p.start(t, "wf_refused", "be refused")()
		require.Contains(t, out, "failed ApplicationError not recorded:")
		require.Contains(t, out, "items[0].delta.delta: is 2097152 bytes long")
		require.NotContains(t, out, "returned")
	})
}
