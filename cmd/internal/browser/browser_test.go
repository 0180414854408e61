package browser

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"chatfeed/db"
	"chatfeed/feed"
	"chatfeed/internal/dbtest"
	"chatfeed/rpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, dbtest.Goroutines()...) }

// transports are those of the client. Each follows all workflows.
var transports = []string{"auto", "connect", "sse", "socket", "long-poll", "poll"}

// limit bounds what must happen, on a machine that runs many tests at once.
const limit = 2 * time.Minute

// line is what the client has rendered, or how it has ended.
type line struct {
	Transport string
	Item      json.RawMessage
	State     json.RawMessage
	Error     string
	Cursors   map[string]json.Number
}

func TestEveryTransportRendersEachItemOnceAcrossRestarts(t *testing.T) {
	t.Parallel()
	folder, err := filepath.Abs("../../../web/client")
	require.NoError(t, err)
	_, err = os.Stat(filepath.Join(folder, "dist", "index.js"))
	require.NoError(t, err, "the client is not compiled: just client, or npm ci && npm run build in web/client")
	pool := dbtest.Pool(t)
	server, stop := serve(t, pool, "127.0.0.1:0")

	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	client := exec.CommandContext(ctx, "node", "test/real.mjs", server, "wf_a", "wf b/ü", "wf_never")
	client.Dir = folder
	problems := new(strings.Builder)
	client.Stderr = problems
	out, err := client.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, client.Start())
	rendered := make(map[string][]string) // by transport
	lines := json.NewDecoder(bufio.NewReader(out))
	next := func() (l line) {
		t.Helper()
		require.NoError(t, lines.Decode(&l), "%s", problems)
		require.Empty(t, l.Error, l.Transport)
		if l.Item != nil {
			rendered[l.Transport] = append(rendered[l.Transport], string(l.Item))
		}
		return l
	}
	want := 0
	const restarts = 4
	for round := range restarts + 1 {
		for n := range 40 {
			require.NoError(t, write(t.Context(), pool, some(round*40+n)...))
			want += len(some(0))
		}
		for _, transport := range transports {
			for len(rendered[transport]) < want {
				next()
			}
		}
		if round == restarts {
			break
		}
		stop()
		require.NoError(t, write(t.Context(), pool, some(1000+round)...)) // while there is no server
		want += len(some(0))
		_, stop = serve(t, pool, strings.TrimPrefix(server, "http://"))
	}
	defer func() { stop() }()
	require.NoError(t, write(t.Context(), pool,
		db.Progress{WorkflowID: "wf_a", Progress: 100, Final: true}, db.Progress{WorkflowID: "wf b/ü", Progress: 100, Final: true},
		db.Progress{WorkflowID: "wf_never", Progress: 100, Final: true}))
	for range transports {
		l := next()
		for l.State == nil {
			l = next()
		}
		require.JSONEq(t, `{"status": "ended", "reason": "final"}`, string(l.State), l.Transport)
	}
	require.NoError(t, client.Wait(), "%s", problems)
	for _, workflow := range []string{"wf_a", "wf b/ü", "wf_never"} {
		all := chatData(t, server, workflow)
		for _, transport := range transports {
			require.Equal(t, all, of(t, rendered[transport], workflow), "%s of %s", workflow, transport)
		}
	}
}

// some are items of every type, also such as JSON of protobuf writes in another way.
func some(n int) []db.Item {
	id := strconv.Itoa(n)
	return []db.Item{
		db.Message{WorkflowID: "wf_a", ID: id, Message: "Zoë 👋🏽 \u2028 <b>", Replaces: map[bool]string{true: "0"}[n%2 == 1]},
		db.Log{WorkflowID: "wf b/ü", ID: id, Level: "info", Metadata: json.RawMessage(`{"deep": [1, {"x": null}], "text": "t"}`)},
		db.Stat{WorkflowID: "wf_a", ID: id, ProcessingTime: 0.1 * float64(n), TokenCount: int64(n)},
		db.Progress{WorkflowID: "wf b/ü", ID: id, Progress: float64(n%100) / 3, Status: "working"},
		db.Delta{WorkflowID: "wf_a", MessageID: "answer", Attempt: 1, At: int64(n), Delta: "x"},
		db.Tool{WorkflowID: "wf_a", CallID: id, Name: "search", State: "input-available", Input: json.RawMessage(`{"q": [1, 2.5, "x"], "none": null}`)},
	}
}

// chatData is all that a workflow has, as a plain poll has it.
func chatData(t *testing.T, server, workflow string) []string {
	t.Helper()
	address := server + "/workflows/" + url.PathEscape(workflow) + "/chatData?types=message,log,stat,progress,delta,tool"
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { require.NoError(t, response.Body.Close()) }()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	var answer struct{ Items []json.RawMessage }
	require.NoError(t, json.Unmarshal(text, &answer))
	require.NotEmpty(t, answer.Items)
	var items []string
	for _, item := range answer.Items {
		items = append(items, string(item))
	}
	return of(t, items, workflow)
}

// of returns the items of a workflow with their fields in the order of their names. Numbers keep their digits.
func of(t *testing.T, items []string, workflow string) (own []string) {
	t.Helper()
	for _, text := range items {
		var item struct {
			Type      string         `json:"type"`
			CreatedAt json.Number    `json:"createdAt"`
			Item      map[string]any `json:"item"`
		}
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.UseNumber()
		require.NoError(t, decoder.Decode(&item))
		if item.Item["workflowId"] == workflow {
			sorted, err := json.Marshal(item)
			require.NoError(t, err)
			own = append(own, string(sorted))
		}
	}
	return own
}

// serve serves a database at an address until stop is called.
func serve(t *testing.T, pool *pgxpool.Pool, address string, with ...func(*rpc.Config)) (server string, stop func()) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	source, err := db.NewSource(pool, db.SourceConfig{})
	require.NoError(t, err)
	f, err := feed.New(source, source, feed.Config{Log: log})
	require.NoError(t, err)
	config := rpc.Config{Feed: f, Workflows: source, Log: log}
	for _, with := range with {
		with(&config)
	}
	handler, err := rpc.NewHandler(config)
	require.NoError(t, err)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	require.NoError(t, err)
	web := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 2)
	go func() { ended <- f.Run(ctx) }()
	go func() { ended <- web.Serve(listener) }()
	return "http://" + listener.Addr().String(), func() {
		f.Drain()
		require.NoError(t, web.Close())
		cancel()
		for range 2 {
			if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
				require.NoError(t, err)
			}
		}
	}
}

// write commits items together.
func write(ctx context.Context, pool *pgxpool.Pool, items ...db.Item) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		_, err := db.Append(ctx, tx, items...)
		return err
	})
}
