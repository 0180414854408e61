package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/evanw/esbuild/pkg/api"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/internal/dbtest"
	"chatfeed/rpc"
)

// The page of docs/ai-sdk.md, in Chromium.
func TestUseChatIsNeverDoubledCutOrStuck(t *testing.T) {
	t.Parallel()
	for folder, recipe := range map[string]string{"client/node_modules/@ai-sdk": "client", "page/node_modules/playwright-core": "page"} {
		_, err := os.Stat(filepath.Join("../../../web", folder))
		require.NoError(t, err, "packages are missing: just %s", recipe)
	}
	pool := dbtest.Pool(t)
	w := &workflow{pool: pool}
	page := aiPage(t)
	server, stop := serve(t, pool, "127.0.0.1:0", func(c *rpc.Config) { c.Chat, c.Page = w, page })
	defer stop()
	control := httptest.NewServer(w)
	defer control.Close()

	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	browser := exec.CommandContext(ctx, "node", "test/browser/ai.mjs", server, control.URL)
	browser.Dir = "../../../web/client"
	out, err := browser.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// aiPage serves the page of the documentation, with the client from its source.
func aiPage(t *testing.T) http.Handler {
	t.Helper()
	text, err := os.ReadFile("../../../docs/ai-sdk.md")
	require.NoError(t, err)
	_, code, found := strings.Cut(string(text), "```tsx\n")
	require.True(t, found)
	code, _, found = strings.Cut(code, "\n```")
	require.True(t, found)
	client, err := filepath.Abs("../../../web/client")
	require.NoError(t, err)
	result := api.Build(api.BuildOptions{
		EntryPoints: []string{"test/browser/ai.tsx"}, AbsWorkingDir: client, Bundle: true, Format: api.FormatESModule,
		JSX: api.JSXAutomatic, Alias: map[string]string{"@chatfeed/client/ai": client + "/src/ai/index.ts"},
		Define: map[string]string{"process.env.NODE_ENV": `"production"`},
		Plugins: []api.Plugin{{Name: "docs", Setup: func(build api.PluginBuild) {
			build.OnResolve(api.OnResolveOptions{Filter: "^docs:"}, func(args api.OnResolveArgs) (api.OnResolveResult, error) {
				return api.OnResolveResult{Path: args.Path, Namespace: "docs"}, nil
			})
			build.OnLoad(api.OnLoadOptions{Filter: ".*", Namespace: "docs"}, func(api.OnLoadArgs) (api.OnLoadResult, error) {
				return api.OnLoadResult{Contents: &code, Loader: api.LoaderTSX, ResolveDir: client}, nil
			})
		}}},
	})
	require.Empty(t, result.Errors)
	require.Len(t, result.OutputFiles, 1)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = w.Write([]byte(`<!doctype html><title>Chat</title><link rel="icon" href="data:,"><body><script type="module" src="/assets/page.js"></script>`))
			return
		}
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		_, _ = w.Write(result.OutputFiles[0].Contents)
	})
}

// workflow records what it is told, and writes the items that it is given over HTTP.
type workflow struct {
	rpc.Calls // which pages do not make
	pool      *pgxpool.Pool

	mu       sync.Mutex
	steps    int
	sent     int
	stopped  int
	approved []string
}

// progress is a progress with an id of its own. The caller holds mu.
func (w *workflow) progress(percent float64, status string) db.Item {
	w.steps++
	return db.Progress{WorkflowID: "wf_1", ID: fmt.Sprintf("step_%d", w.steps), Progress: percent, Status: status}
}

func (w *workflow) Send(ctx context.Context, id string, m rpc.ChatMessage) (rpc.Sent, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	err := write(ctx, w.pool, db.Message{WorkflowID: id, ID: m.ID, Message: m.Text, Role: "user", Status: "received"}, w.progress(0, "reading"))
	w.sent++
	return rpc.Sent{ID: m.ID, RunID: "run"}, err
}

func (w *workflow) Stop(ctx context.Context, id string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped++
	return write(ctx, w.pool, db.Message{WorkflowID: id, ID: "a3", Message: "Found", Role: "assistant", Status: "stopped"}, w.progress(60, "stopped"))
}

func (w *workflow) Approve(ctx context.Context, id string, a rpc.Approval) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.approved = append(w.approved, fmt.Sprint(a.CallID, " ", a.Approved))
	return write(ctx, w.pool, db.Tool{WorkflowID: id, CallID: a.CallID, MessageID: "a3", Name: "search", State: db.ApprovalResponded})
}

func (w *workflow) Cancel(context.Context, string) error { return nil }

// ServeHTTP writes an item, if there is one, and answers with what the workflow was told.
func (w *workflow) ServeHTTP(response http.ResponseWriter, r *http.Request) {
	var given struct {
		Type string
		Item json.RawMessage
	}
	err := json.NewDecoder(r.Body).Decode(&given)
	if err == nil && given.Type != "" {
		var item db.Item
		item, err = itemOf(given.Type, given.Item)
		if err == nil {
			err = write(r.Context(), w.pool, item)
		}
	}
	if err != nil {
		http.Error(response, err.Error(), http.StatusInternalServerError)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = json.NewEncoder(response).Encode(map[string]any{"sent": w.sent, "stopped": w.stopped, "approved": slices.Clone(w.approved)})
}

func itemOf(kind string, body []byte) (db.Item, error) {
	switch kind {
	case "message":
		return decode[db.Message](body)
	case "delta":
		return decode[db.Delta](body)
	case "tool":
		return decode[db.Tool](body)
	}
	return decode[db.Progress](body)
}

func decode[T db.Item](body []byte) (db.Item, error) {
	var item T
	err := json.Unmarshal(body, &item)
	return item, err
}
