package page

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/feed"
	"chatfeed/feed/directory"
	"chatfeed/internal/dbtest"
	"chatfeed/rpc"
	"chatfeed/web/page"
)

// gated is what stands behind the server of a test: who may pass, and a chat that can be away.
type gated struct {
	rpc.Calls // which the page does not make
	t         *testing.T
	writer    *db.Writer
	token     atomic.Pointer[string] // the one that passes; nil lets everyone pass
	away      atomic.Bool
}

// gate lets requests with the token pass.
func (g *gated) gate(r *http.Request) (rpc.Viewer, error) {
	if token := g.token.Load(); token != nil && r.Header.Get("Authorization") != "Bearer "+*token {
		return nil, rpc.ErrUnauthenticated
	}
	return may{}, nil
}

// may is a viewer who may chat.
type may struct{}

func (may) CanRead(string) bool   { return true }
func (may) CanWrite(string) bool  { return true }
func (may) CanRecord(string) bool { return false }
func (may) Expires() time.Time    { return time.Time{} }

func (g *gated) Send(ctx context.Context, id string, m rpc.ChatMessage) (rpc.Sent, error) {
	if g.away.Load() {
		return rpc.Sent{}, &rpc.AwayError{Reason: "Temporal is starting; try again in a few seconds"}
	}
	_, err := g.writer.Write(ctx, db.Message{WorkflowID: id, ID: m.ID, Role: "user", Message: m.Text})
	return rpc.Sent{ID: m.ID, RunID: "run"}, err
}

func (g *gated) Stop(context.Context, string) error   { return rpc.ErrFull }
func (g *gated) Cancel(context.Context, string) error { return nil }

func (g *gated) Approve(ctx context.Context, id string, a rpc.Approval) error {
	if g.away.Load() {
		return &rpc.AwayError{Reason: "Temporal is starting; try again in a few seconds"}
	}
	_, err := g.writer.Write(ctx, db.Tool{WorkflowID: id, CallID: a.CallID, Name: "search", State: db.ApprovalResponded})
	return err
}

func (g *gated) reason() string {
	if g.away.Load() {
		return "Temporal is starting; try again in a few seconds"
	}
	return ""
}

// serveGated serves a database behind the gate until the test ends.
func serveGated(t *testing.T, pool *pgxpool.Pool, g *gated, shownDatabase string) string {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	source, err := db.NewSource(pool, db.SourceConfig{})
	require.NoError(t, err)
	lister := db.NewLister(pool)
	workflows, err := directory.New(lister, directory.Config{Log: log})
	require.NoError(t, err)
	items, err := feed.New(source, workflows.Waker(source), feed.Config{Log: log})
	require.NoError(t, err)
	handler, err := rpc.NewHandler(rpc.Config{
		Feed: items, Workflows: lister, Directory: workflows, Messages: lister, Chat: g, Gate: g.gate, Page: page.Handler(), Log: log,
		About: rpc.About{ChatAway: g.reason, DatabaseURL: shownDatabase},
	})
	require.NoError(t, err)
	server := httptest.NewServer(handler)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 2)
	go func() { ended <- items.Run(ctx) }()
	go func() { ended <- workflows.Run(ctx) }()
	t.Cleanup(func() {
		items.Drain()
		workflows.Drain()
		server.CloseClientConnections()
		server.Close()
		cancel()
		for range 2 {
			require.NoError(t, <-ended)
		}
	})
	return server.URL
}

// Where the server wants a token, the page asks for one and uses it for everything. What was refused because something was away is
// sent again. A request for approval that is out of sight is announced.
func TestAPersonSignsInAndWhatWasAwayComesBack(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	writer := db.NewWriter(pool)
	t.Cleanup(writer.Close)
	g := &gated{t: t, writer: writer}
	g.token.Store(new("good"))
	url := serveGated(t, pool, g, "")
	browser := startBrowser(t, "test/browser/signin.mjs", url)
	for {
		what, rest, _ := strings.Cut(browser.line(), " ")
		switch what {
		case "lines": // of a workflow
			for i := range 300 {
				_, err := writer.Write(t.Context(), db.Message{WorkflowID: rest, ID: fmt.Sprint(i), Role: "assistant", Message: "Line " + fmt.Sprint(i)})
				require.NoError(t, err)
			}
		case "asks":
			_, err := writer.Write(t.Context(), db.Tool{WorkflowID: rest, CallID: "call", Name: "search", State: db.ApprovalRequested},
				db.Message{WorkflowID: rest, ID: "asked", Role: "assistant", Message: "May I *search*?"})
			require.NoError(t, err)
		case "token":
			g.token.Store(&rest)
		case "away":
			g.away.Store(rest == "yes")
		case "done":
			return
		default:
			require.Fail(t, what+" "+rest)
		}
		browser.say("ok")
	}
}
