package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/timestamppb"

	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

const streamsFolder = "../../../examples/streams"

// streams is a worker with the code of examples/streams.
type streams struct{ folder, gates, modules string }

func serveStreams(t *testing.T) streams {
	t.Helper()
	modules, err := filepath.Abs(filepath.Join(streamsFolder, "node_modules"))
	require.NoError(t, err)
	_, err = os.Stat(filepath.Join(modules, ".package-lock.json"))
	require.NoError(t, err, "the packages are not installed: just streams, or npm ci in examples/streams")
	s := streams{folder: t.TempDir(), gates: t.TempDir(), modules: modules}
	require.NoError(t, os.Symlink(modules, filepath.Join(s.folder, "node_modules")))
	files, err := filepath.Glob(filepath.Join(streamsFolder, "*.ts"))
	require.NoError(t, err)
	for _, name := range append(files, filepath.Join(streamsFolder, "tsconfig.json")) {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(s.folder, filepath.Base(name)), text, 0o600))
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(modules, ".bin", "tsc"), "-p", s.folder).CombinedOutput()
	require.NoError(t, err, "%s", out)
	worker := s.run(t, "worker.js", shared.Temporal, "streams")
	// It bundles the AI SDK for its workflows first, which takes a busy machine more than a minute.
	require.Eventually(t, func() bool { return contains(worker.out.String(), "msg=serving") }, 5*time.Minute, 100*time.Millisecond)
	return s
}

// run runs one of the example's programs.
func (s streams) run(t *testing.T, program string, args ...string) *process {
	t.Helper()
	cmd := exec.Command("node", append([]string{filepath.Join("out", program)}, args...)...)
	cmd.Dir = s.folder
	cmd.Env = append(os.Environ(), "CHATFEED_URL="+shared.Server, "GATES="+s.gates)
	return startUntilEOF(t, cmd)
}

// end lets the model of a workflow end its answer.
func (s streams) end(t *testing.T, workflow string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(s.gates, workflow), nil, 0o600))
}

// topicText is the text of the parts that a subscriber of the topic has printed.
func topicText(t *testing.T, printed string) (text string) {
	t.Helper()
	for line := range strings.Lines(printed) {
		var part struct{ Type, Delta string }
		if strings.HasPrefix(line, "{") {
			require.NoError(t, json.Unmarshal([]byte(line), &part), line)
			if part.Type == "text-delta" {
				text += part.Delta
			}
		}
	}
	return text
}

// page reads the messages of a workflow after a cursor.
func page(ctx context.Context, t *testing.T, workflow string, after *timestamppb.Timestamp) []*v1.Item {
	t.Helper()
	got, err := chatfeedv1connect.NewFeedServiceClient(http.DefaultClient, shared.Server).GetChatData(ctx,
		&v1.GetChatDataRequest{WorkflowId: workflow, After: after, Types: []string{"message", "delta"}})
	require.NoError(t, err)
	return got.GetItems()
}

func TestAnAnswerOfTheAISDKInAWorkflowIsRecordedBesideOrInsteadOfItsTopic(t *testing.T) {
	t.Parallel()
	s, c := serveStreams(t), dialTemporal(t)
	const begin, whole = "The quick 🦊 jumps over the lazy dog.", "The quick 🦊 jumps over the lazy dog. The end."
	for _, test := range []struct {
		workflow, kind, question string
		attempt                  int32
	}{
		{"wf_streamed", "streamed", "just answer", 1},
		{"wf_generated", "generated", "just answer", 1},
		{"wf_generated_again", "generated", "fail first", 2},
	} {
		t.Run(test.workflow, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			watched := follow(t, test.workflow)
			run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: test.workflow, TaskQueue: "streams"}, test.kind, test.question)
			require.NoError(t, err)
			for watched.said[test.attempt] != begin {
				require.Nil(t, watched.grow(), "it grows before it is there")
			}
			var late *process
			if test.kind == "streamed" {
				late = s.run(t, "watch.js", test.workflow, shared.Temporal)
				late.prints(t, "lazy dog")
			}
			s.end(t, test.workflow)
			var message *v1.Item
			for message == nil {
				message = watched.grow()
			}
			require.Equal(t, whole, message.GetMessage().GetMessage())
			require.Equal(t, "complete", message.GetMessage().GetStatus())
			require.Equal(t, "assistant", message.GetMessage().GetRole())
			var result string
			require.NoError(t, run.Get(ctx, &result))
			require.Equal(t, whole, result, "the workflow goes on with the same text")

			// The history is there after the end, and is resumed from any cursor.
			history := page(ctx, t, test.workflow, nil)
			require.Len(t, history, 1)
			require.Equal(t, whole, history[0].GetMessage().GetMessage())
			require.Empty(t, page(ctx, t, test.workflow, history[0].GetCreatedAt()))

			signals := events(t, c, test.workflow, run.GetRunID(), enums.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)
			if test.kind != "streamed" {
				require.Zero(t, signals, "a watcher costs the workflow nothing")
				return
			}
			require.Positive(t, signals)
			late.prints(t, "msg=ended")
			require.True(t, strings.HasPrefix(whole, topicText(t, late.out.String())), late.out)
			after := s.run(t, "watch.js", test.workflow, shared.Temporal)
			after.prints(t, "msg=ended")
			require.Empty(t, topicText(t, after.out.String()), "of a topic nothing is left")
		})
	}
}

func TestTheRecipeForWorkflowStreamsQuotesTheExample(t *testing.T) {
	t.Parallel()
	read := func(name string) string {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		return string(text)
	}
	recipe := read("../../../docs/workflow-streams.md")
	blocks := regexp.MustCompile("(?s)```ts (\\S+)\n(.*?)```").FindAllStringSubmatch(recipe, -1)
	require.Len(t, blocks, 3)
	for _, block := range blocks {
		require.Equal(t, read(filepath.Join(streamsFolder, block[1])), block[2], block[1])
	}
	feed := regexp.MustCompile("(?s)```ts feed.ts\n(.*?)```").FindStringSubmatch(read("../../../docs/typescript.md"))
	require.Equal(t, read(filepath.Join(streamsFolder, "feed.ts")), feed[1])
}
