package e2e

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

// slowGo makes a folder that stands for the PATH: without temporal, and with a go that hangs when it is to build something.
// It returns the PATH and the file in which the build's process id is written.
func slowGo(t *testing.T) (path, begun string) {
	t.Helper()
	folder := t.TempDir()
	begun = filepath.Join(folder, "begun")
	script := "#!/bin/sh\ncase \"$1\" in\nlist) case \"$*\" in *stack*) echo one ;; *) printf '%s\\n' one two three ;; esac ;;\n" +
		"build) echo one >&2; echo two >&2; sleep 1000 & echo $! >" + begun + "; wait ;;\nesac\n"
	require.NoError(t, os.WriteFile(filepath.Join(folder, "go"), []byte(script), 0o755))
	kept := []string{folder}
	for _, entry := range filepath.SplitList(os.Getenv("PATH")) {
		if _, err := os.Stat(filepath.Join(entry, "temporal")); err != nil {
			kept = append(kept, entry)
		}
	}
	return strings.Join(kept, string(os.PathListSeparator)), begun
}

func TestTheFeedWorksWhileTemporalIsBuiltAndChatReportsProgress(t *testing.T) {
	t.Parallel()
	path, begun := slowGo(t)
	cmd := exec.Command(filepath.Join(bin, "dev"), "--listen", "127.0.0.1:0", "--postgres-port", "0", "--temporal-port", "0")
	cmd.Env = append(os.Environ(), "PATH="+path)
	p := startCommand(t, cmd)
	p.prints(t, "chatfeed is ready")
	waitFor(t, func() bool { _, err := os.Stat(begun); return err == nil }, "the build to begin")
	server := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(p.out.String())
	database := regexp.MustCompile(`postgres://\S+chatfeed`).FindString(p.out.String()) + "?sslmode=disable"

	tail := start(t, "chatfeed", "tail", "wf_first", "--server", server)
	_, err := openPool(t, database).Exec(t.Context(),
		`insert into chatfeed.messages (workflow_id, message) values ('wf_first', 'without Temporal')`)
	require.NoError(t, err)
	tail.prints(t, "without Temporal")
	send := start(t, "chatfeed", "send", "wf_first", "Hello.", "--server", server)
	require.Equal(t, 1, send.ends(t))
	require.Contains(t, send.out.String(), "Temporal is still being built: package 1 of at most 2")
	chat := chatfeedv1connect.NewChatServiceClient(http.DefaultClient, server)
	_, err = chat.CancelWorkflow(t.Context(), &v1.CancelWorkflowRequest{WorkflowId: "wf_first"})
	require.Equal(t, connect.CodeUnavailable, connect.CodeOf(err))

	status, err := chatfeedv1connect.NewFeedServiceClient(http.DefaultClient, server).GetStatus(t.Context(), &v1.GetStatusRequest{})
	require.NoError(t, err)
	require.False(t, status.GetChat().GetAvailable())
	require.Contains(t, status.GetChat().GetReason(), "Temporal is still being built: package 1 of at most 2")
	require.True(t, status.GetDatabase().GetAvailable())
	require.Equal(t, strings.TrimSuffix(database, "?sslmode=disable"), status.GetDatabaseUrl())
	require.NotContains(t, p.out.String(), "level=", "nothing is wrong at a first start")

	pid, err := os.ReadFile(begun)
	require.NoError(t, err)
	p.signal(t, syscall.SIGKILL)
	p.ends(t)
	waitFor(t, func() bool { return !alive(strings.TrimSpace(string(pid))) }, "the build to end with the stack that was killed")
}

func TestAStackUsesAnExistingTemporalServer(t *testing.T) {
	t.Parallel()
	path, begun := slowGo(t)
	cmd := exec.Command(filepath.Join(bin, "dev"), "--listen", "127.0.0.1:0", "--postgres-port", "0")
	cmd.Env = append(os.Environ(), "PATH="+path, "TEMPORAL_ADDRESS="+shared.Temporal)
	p := startCommand(t, cmd)
	p.prints(t, "Temporal is ready: "+shared.Temporal)
	require.NoFileExists(t, begun)
	p.signal(t, syscall.SIGTERM)
	require.Zero(t, p.ends(t), p.out)
}

// Whoever only looks sees a conversation after ten seconds.
func TestAConversationBeginsByItself(t *testing.T) {
	t.Parallel()
	p := start(t, "dev", "--listen", "127.0.0.1:0", "--postgres-port", "0", "--temporal-port", "0", "--no-demo=false")
	p.prints(t, "Temporal is ready")
	server := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(p.out.String())
	client := chatfeedv1connect.NewFeedServiceClient(http.DefaultClient, server)
	status, err := client.GetStatus(t.Context(), &v1.GetStatusRequest{})
	require.NoError(t, err)
	require.True(t, status.GetChat().GetAvailable())
	require.True(t, status.GetDatabase().GetAvailable())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	list, err := client.WatchWorkflows(ctx, &v1.WatchWorkflowsRequest{})
	require.NoError(t, err)
	defer func() { _ = list.Close() }()
	for done := false; !done; {
		require.True(t, list.Receive(), "%v", list.Err())
		for _, workflow := range list.Msg().GetWorkflows() {
			require.Equal(t, "demo", workflow.GetId())
			done = workflow.GetProgress() == 100
		}
	}
	history, err := client.GetChatData(ctx, &v1.GetChatDataRequest{WorkflowId: "demo"})
	require.NoError(t, err)
	var roles []string
	for _, item := range history.GetItems() {
		if message := item.GetMessage(); message != nil {
			roles = append(roles, message.GetRole())
		}
	}
	require.Equal(t, []string{"user", "assistant"}, roles)
}

func TestGoRunShowsProgressAtOnce(t *testing.T) {
	t.Parallel()
	imported, err := exec.Command("go", "list", "-deps", "chatfeed/cmd/dev").Output()
	require.NoError(t, err)
	require.Less(t, strings.Count(string(imported), "\n"), 100, "what is compiled before it can say anything")
	temporal, err := exec.Command("go", "list", "-deps", "chatfeed/cmd/dev/stack").Output()
	require.NoError(t, err)
	require.NotContains(t, string(temporal), "go.temporal.io/server", "what takes minutes to compile")
}

// alive reports whether a process is there.
func alive(pid string) bool {
	return exec.Command("kill", "-0", pid).Run() == nil
}
