package e2e

import (
	"context"
	"fmt"
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
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

const typescriptFolder = "testdata/typescript"

// serveTypeScript runs a worker with the code of docs/typescript.md, and returns its task queue and a function that lets the model
// of a workflow end its answer.
func serveTypeScript(t *testing.T) (taskQueue string, end func(workflow string)) {
	t.Helper()
	modules, err := filepath.Abs(filepath.Join(typescriptFolder, "node_modules"))
	require.NoError(t, err)
	_, err = os.Stat(filepath.Join(modules, ".package-lock.json"))
	require.NoError(t, err, "the packages are not installed: just typescript, or npm ci in cmd/dev/e2e/%s", typescriptFolder)

	folder, gates := t.TempDir(), t.TempDir()
	require.NoError(t, os.Symlink(modules, filepath.Join(folder, "node_modules")))
	for _, name := range []string{"tsconfig.json", "model.ts", "worker.ts"} {
		text, err := os.ReadFile(filepath.Join(typescriptFolder, name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), text, 0o600))
	}
	text, err := os.ReadFile("../../../docs/typescript.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```ts (\\S+)\n(.*?)```").FindAllSubmatch(text, -1)
	require.Len(t, blocks, 3)
	for _, block := range blocks {
		require.NoError(t, os.WriteFile(filepath.Join(folder, string(block[1])), block[2], 0o600))
	}
	compile := exec.CommandContext(t.Context(), filepath.Join(modules, ".bin", "tsc"), "-p", folder)
	out, err := compile.CombinedOutput()
	require.NoError(t, err, "%s", out)

	worker := exec.Command("node", "out/worker.js", shared.Temporal, "typescript")
	worker.Dir = folder
	worker.Env = append(os.Environ(), "CHATFEED_URL="+shared.Server, "GATES="+gates)
	startUntilEOF(t, worker).prints(t, "msg=serving")
	return "typescript", func(workflow string) {
		require.NoError(t, os.WriteFile(filepath.Join(gates, workflow), nil, 0o600))
	}
}

// answer is a message that grows while somebody follows it.
type answer struct {
	t      *testing.T
	next   func() *v1.Item
	said   map[int32]string // what each attempt has said
	deltas int
}

// follow follows the messages of a workflow and their deltas.
func follow(t *testing.T, workflow string) *answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	stream, err := chatfeedv1connect.NewFeedServiceClient(http.DefaultClient, shared.Server).Subscribe(ctx,
		&v1.SubscribeRequest{Cursors: []*v1.Cursor{{WorkflowId: workflow}}, Types: []string{"message", "delta"}})
	require.NoError(t, err)
	t.Cleanup(func() { _ = stream.Close() })
	var items []*v1.Item
	return &answer{t: t, said: make(map[int32]string), next: func() *v1.Item {
		for len(items) == 0 {
			require.True(t, stream.Receive(), "%v", stream.Err())
			items = append(items, stream.Msg().GetItems()...)
		}
		item := items[0]
		items = items[1:]
		return item
	}}
}

// grow receives an item, and returns the message when it comes.
func (a *answer) grow() *v1.Item {
	a.t.Helper()
	item := a.next()
	if delta := item.GetDelta(); delta != nil {
		require.EqualValues(a.t, utf8.RuneCountInString(a.said[delta.GetAttempt()]), delta.GetAt(), "each begins where the last has ended")
		a.said[delta.GetAttempt()] += delta.GetDelta()
		a.deltas++
		return nil
	}
	require.NotNil(a.t, item.GetMessage())
	return item
}

func TestAnActivityInTypeScriptStreamsAnAnswer(t *testing.T) {
	t.Parallel()
	taskQueue, end := serveTypeScript(t)
	c := dialTemporal(t)
	pool := openPool(t, shared.DatabaseURL)
	start := func(t *testing.T, workflow, question string) client.WorkflowRun {
		t.Helper()
		options := client.StartWorkflowOptions{ID: workflow, TaskQueue: taskQueue, WorkflowExecutionTimeout: time.Minute}
		run, err := c.ExecuteWorkflow(t.Context(), options, "chat", question)
		require.NoError(t, err)
		return run
	}
	// closed checks what is left of an answer.
	closed := func(t *testing.T, workflow string, message *v1.Item, text, status string) {
		t.Helper()
		require.Equal(t, text, message.GetMessage().GetMessage())
		require.Equal(t, status, message.GetMessage().GetStatus())
		require.Regexp(t, `^msg_[0-9a-f-]{36}_\w+$`, message.GetId())
		var messages, deltas int
		require.NoError(t, pool.QueryRow(t.Context(), `select (select count(*) from chatfeed.messages where workflow_id = $1),
			(select count(*) from chatfeed.deltas where workflow_id = $1)`, workflow).Scan(&messages, &deltas))
		require.Equal(t, []int{1, 0}, []int{messages, deltas}, "the message has taken the place of its deltas")
	}
	const begin, whole = "The quick 🦊 jumps\uFFFD over the lazy dog.", "The quick 🦊 jumps\uFFFD over the lazy dog. The end."

	for question, failed := range map[string]string{"just answer": "", "fail first": "The wro"} {
		t.Run(question, func(t *testing.T) {
			t.Parallel()
			workflow := "wf_ts_" + strings.ReplaceAll(question, " ", "_")
			watched := follow(t, workflow)
			run := start(t, workflow, question)
			attempt := int32(1)
			if failed != "" {
				attempt = 2
			}
			for watched.said[attempt] != begin {
				require.Nil(t, watched.grow(), "it grows before it is there")
			}
			require.GreaterOrEqual(t, watched.deltas, 3)
			if failed != "" {
				require.Equal(t, failed, watched.said[1])
			}
			end(workflow)
			var message *v1.Item
			for message == nil {
				message = watched.grow()
			}
			require.True(t, strings.HasPrefix(whole, watched.said[attempt]), watched.said[attempt])
			var result string
			require.NoError(t, run.Get(t.Context(), &result))
			require.Equal(t, whole, result)
			closed(t, workflow, message, whole, "complete")
		})
	}

	t.Run("a cancellation closes the message", func(t *testing.T) {
		t.Parallel()
		watched := follow(t, "wf_ts_cancelled")
		run := start(t, "wf_ts_cancelled", "never end")
		require.Nil(t, watched.grow(), "the first piece comes at once")
		require.Equal(t, "Once", watched.said[1])
		require.NoError(t, c.CancelWorkflow(t.Context(), "wf_ts_cancelled", ""))
		closed(t, "wf_ts_cancelled", watched.grow(), "Once", "cancelled")
		err := run.Get(t.Context(), nil)
		var cancelled *temporal.CanceledError
		require.ErrorAs(t, err, &cancelled)
	})

	t.Run("what can never be recorded fails the activity in words", func(t *testing.T) {
		t.Parallel()
		err := start(t, "wf_ts_refused", "be refused").Get(t.Context(), nil)
		var application *temporal.ApplicationError
		require.ErrorAs(t, err, &application)
		require.Equal(t, "InvalidItem", application.Type())
		require.True(t, application.NonRetryable(), "and at once")
		require.ErrorContains(t, err, fmt.Sprintf("items[0].delta.delta: is %d bytes long", 2<<20))
	})
}
