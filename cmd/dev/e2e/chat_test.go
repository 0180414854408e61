package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

func contains(text, part string) bool { return strings.Contains(text, part) }

func TestAPersonChatsWithAWorkflowAndSeesEveryRowArrive(t *testing.T) {
	t.Parallel()
	tail := start(t, "chatfeed", "tail", "wf_chat", "--json", "--log-level", "error", "--server", shared.Server)
	readme, err := os.ReadFile("../../../README.md")
	require.NoError(t, err)

	send := start(t, "chatfeed", "send", "wf_chat", string(readme), "--server", shared.Server)
	require.Zero(t, send.ends(t), send.out)
	tail.prints(t, `"progress":100`)
	_, err = openPool(t, shared.DatabaseURL).Exec(t.Context(),
		`insert into chatfeed.messages (workflow_id, message) values ('wf_chat', 'from psql, say')`)
	require.NoError(t, err)
	tail.prints(t, `"message":"from psql, say"`)

	tail.signal(t, syscall.SIGINT)
	require.Zero(t, tail.ends(t), "Ctrl-C ends it well")
	kinds := map[string]int{}
	var last string
	for line := range strings.Lines(tail.out.String()) {
		var item struct {
			CreatedAt                    string `json:"_createdAt"`
			Message, Log, Stat, Progress *struct{}
		}
		require.NoError(t, json.Unmarshal([]byte(line), &item), line)
		require.Greater(t, item.CreatedAt, last, "in order")
		last = item.CreatedAt
		for kind, has := range map[string]bool{
			"message": item.Message != nil, "log": item.Log != nil, "stat": item.Stat != nil, "progress": item.Progress != nil,
		} {
			if has {
				kinds[kind]++
			}
		}
	}
	require.Equal(t, 3, kinds["message"], "the user's, the assistant's, and the one from psql")
	require.GreaterOrEqual(t, kinds["progress"], 3)
	require.Positive(t, kinds["log"])
	require.Equal(t, 1, kinds["stat"])

	history := start(t, "chatfeed", "tail", "wf_chat", "--json", "--no-follow", "--server", shared.Server)
	require.Zero(t, history.ends(t))
	require.Equal(t, tail.out.String(), history.out.String(), "the history is what was seen live")
}

func TestAMessageSentTwiceWithTheSameIDIsHandledOnce(t *testing.T) {
	t.Parallel()
	for range 2 {
		send := start(t, "chatfeed", "send", "wf_twice", "Say it once.", "--id", "once", "--server", shared.Server)
		require.Zero(t, send.ends(t), send.out)
		require.Equal(t, "once\n", send.out.String())
	}
	require.Zero(t, start(t, "chatfeed", "send", "wf_twice", "The end.", "--server", shared.Server).ends(t))
	pool := openPool(t, shared.DatabaseURL)
	count := func(query string) (n int) {
		require.NoError(t, pool.QueryRow(t.Context(), query).Scan(&n))
		return n
	}
	waitFor(t, func() bool {
		return count(`select count(*) from chatfeed.progress where workflow_id = 'wf_twice' and progress = 100`) == 2
	}, "two rounds to end")
	require.Equal(t, 4, count(`select count(*) from chatfeed.messages where workflow_id = 'wf_twice'`))
}

func TestACancelledWorkflowSaysSoAndIsNoLongerFound(t *testing.T) {
	t.Parallel()
	chat := chatfeedv1connect.NewChatServiceClient(http.DefaultClient, shared.Server)
	tail := start(t, "chatfeed", "tail", "wf_cancel", "--server", shared.Server)
	tail.prints(t, "there is nothing to print yet")
	_, err := chat.SendMessage(t.Context(), &v1.SendMessageRequest{WorkflowId: "wf_cancel", Text: "Hello."})
	require.NoError(t, err)
	tail.prints(t, "100 %")
	_, err = chat.CancelWorkflow(t.Context(), &v1.CancelWorkflowRequest{WorkflowId: "wf_cancel"})
	require.NoError(t, err)
	tail.prints(t, "cancelled")
	waitFor(t, func() bool {
		_, err = chat.CancelWorkflow(t.Context(), &v1.CancelWorkflowRequest{WorkflowId: "wf_cancel"})
		return err != nil
	}, "the workflow to end")
	require.ErrorContains(t, err, "not_found")
	require.ErrorContains(t, err, "no workflow with this id is running")
}

func TestATailResumesByItselfWhenTheServerRestarts(t *testing.T) {
	t.Parallel()
	pool := openPool(t, shared.DatabaseURL)
	insert := func(text string) {
		_, err := pool.Exec(t.Context(), `insert into chatfeed.messages (workflow_id, message) values ('wf_restart', $1)`, text)
		require.NoError(t, err)
	}
	serve := []string{"serve", "--database-url", shared.DatabaseURL, "--no-chat", "--listen"}
	server := start(t, "chatfeed", append(serve, "127.0.0.1:0")...)
	server.prints(t, "msg=listening")
	address := regexp.MustCompile(`address=(\S+)`).FindStringSubmatch(server.out.String())[1]
	tail := start(t, "chatfeed", "tail", "wf_restart", "--json", "--server", "http://"+address)
	insert("one")
	tail.prints(t, `"one"`)

	server.signal(t, syscall.SIGTERM)
	require.Zero(t, server.ends(t), "it drains and ends well")
	tail.prints(t, "stream lost")
	insert("two")
	server = start(t, "chatfeed", append(serve, address)...)
	tail.prints(t, `"two"`)
	server.signal(t, syscall.SIGKILL)
	server.ends(t)
	insert("three")
	start(t, "chatfeed", append(serve, address)...)
	tail.prints(t, `"three"`)
	insert("four")
	tail.prints(t, `"four"`)

	texts := regexp.MustCompile(`"message":"(\w+)"`).FindAllStringSubmatch(tail.out.String(), -1)
	require.Len(t, texts, 4, "nothing missing, nothing twice: %s", tail.out)
}

func TestAServerStartsWithoutItsDatabaseAndIsReadyWhenItIsThere(t *testing.T) {
	t.Parallel()
	pool := openPool(t, shared.DatabaseURL)
	_, err := pool.Exec(t.Context(), `drop database if exists later`)
	require.NoError(t, err)
	server := start(t, "chatfeed", "serve", "--migrate", "--no-chat", "--listen", "127.0.0.1:0",
		"--database-url", strings.Replace(shared.DatabaseURL, "/chatfeed", "/later", 1))
	server.prints(t, "msg=serving")
	address := regexp.MustCompile(`address=(\S+)`).FindStringSubmatch(server.out.String())[1]
	status := func(path string) int {
		response, err := http.Get("http://" + address + path)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		return response.StatusCode
	}
	require.Equal(t, http.StatusOK, status("/healthz"))
	require.Equal(t, http.StatusServiceUnavailable, status("/readyz"))
	require.Equal(t, http.StatusServiceUnavailable, status("/workflows/wf/chatData"))
	_, err = pool.Exec(t.Context(), `create database later`)
	require.NoError(t, err)
	waitFor(t, func() bool { return status("/readyz") == http.StatusOK }, "the server to be ready")
	require.Equal(t, http.StatusOK, status("/workflows/wf/chatData"))
}

func TestToolsThatKnowOnlyReflectionReceiveItems(t *testing.T) {
	t.Parallel()
	_, err := openPool(t, shared.DatabaseURL).Exec(t.Context(),
		`insert into chatfeed.messages (workflow_id, message) values ('wf_buf', 'over any protocol')`)
	require.NoError(t, err)
	for _, protocol := range []string{"connect", "grpcweb", "grpc"} {
		curl := startCommand(t, exec.Command("npx", "-y", "@bufbuild/buf@1.75.0", "curl", "--http2-prior-knowledge",
			"--protocol", protocol, "--data", `{"cursors": [{"workflowId": "wf_buf"}]}`,
			shared.Server+"/chatfeed.v1.FeedService/Subscribe"))
		curl.prints(t, "over any protocol")
	}
}

func TestMistakesOnTheCommandLineAreNamed(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"workflow_id: is empty":                     {"send", "", "text", "--server", shared.Server},
		"text: is empty":                            {"send", "wf", "", "--server", shared.Server},
		`"video" is no type of item`:                {"tail", "wf", "--types", "video", "--server", shared.Server},
		"cursors[0].last: is -1":                    {"tail", "wf", "--last=-1", "--server", shared.Server},
		`--server: "nowhere"`:                       {"tail", "wf", "--server", "nowhere"},
		"--database-url":                            {"serve", "--database-url", "postgres://%"},
		"--tls-cert and --tls-key":                  {"serve", "--database-url", shared.DatabaseURL, "--tls-cert", "/dev/null"},
		"unknown flag --colour":                     {"tail", "wf", "--colour"},
		"expected \"<workflow> ...\"":               {"tail"},
		"missing flags: --database-url=U":           {"migrate", "up"},
		"--after and --last can't be used together": {"tail", "wf", "--after=2026-01-31T12:00:00Z", "--last=5"},
	} {
		p := start(t, "chatfeed", args...)
		require.Equal(t, 2, p.ends(t), "%v: %s", args, p.out)
		require.Contains(t, p.out.String(), want)
	}
	send := start(t, "chatfeed", "send", "wf", "text", "--server", "http://127.0.0.1:1")
	require.Equal(t, 1, send.ends(t))
	require.NotContains(t, send.out.String(), "goroutine")
}
