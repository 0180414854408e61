package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"chatfeed/activities/webhook"
)

// hookSecret signs the webhooks of these tests.
var hookSecret = "whsec_" + base64.StdEncoding.EncodeToString([]byte("a secret of thirty-two bytes or so"))

// hooks is an endpoint. What it answers for a delivery is what answer returns, for the nth attempt of all.
type hooks struct {
	*httptest.Server
	mu       sync.Mutex
	attempts int
	accepted map[string]int // by id
	payloads []webhook.Payload
	answer   func(attempt int) int
	held     chan struct{} // closed when those that are answered with zero may end
}

func newHooks(t *testing.T, answer func(attempt int) int) *hooks {
	t.Helper()
	verifier, err := standardwebhooks.NewWebhook(hookSecret)
	require.NoError(t, err)
	h := &hooks{accepted: make(map[string]int), answer: answer, held: make(chan struct{})}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		var payload webhook.Payload
		if verifier.Verify(body, r.Header) != nil || json.Unmarshal(body, &payload) != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		h.mu.Lock()
		h.attempts++
		status := h.answer(h.attempts)
		if status == http.StatusOK {
			h.accepted[r.Header.Get("webhook-id")]++
			h.payloads = append(h.payloads, payload)
		}
		h.mu.Unlock()
		if status == 0 {
			select {
			case <-r.Context().Done():
			case <-h.held:
			}
			return
		}
		w.Header().Set("Location", "http://127.0.0.2:9/")
		w.WriteHeader(status)
	}))
	t.Cleanup(func() { close(h.held); h.Close() })
	return h
}

func (h *hooks) set(answer func(int) int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = answer
}

func (h *hooks) state() (attempts int, accepted map[string]int, payloads []webhook.Payload) {
	h.mu.Lock()
	defer h.mu.Unlock()
	accepted = make(map[string]int, len(h.accepted))
	for id, n := range h.accepted {
		accepted[id] = n
	}
	return h.attempts, accepted, append([]webhook.Payload(nil), h.payloads...)
}

// sending is what the workflow of these tests is told.
type sending struct {
	Queue, URL        string
	Deliveries        int
	InAll, OneAttempt time.Duration
}

// sendHooks sends deliveries one after the other, with cursors that join.
func sendHooks(ctx workflow.Context, s sending) ([]webhook.Delivered, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: s.Queue, ScheduleToCloseTimeout: s.InAll, StartToCloseTimeout: s.OneAttempt,
	})
	var all []webhook.Delivered
	var before webhook.Cursor
	for i := range s.Deliveries {
		done, err := webhook.Send(ctx, webhook.Request{URL: s.URL, Before: before, Events: []webhook.Event{{Progress: float64(i), Status: "working"}}})
		if err != nil {
			return nil, err
		}
		all, before = append(all, done), done.After
	}
	return all, nil
}

func startSending(t *testing.T, id string, s sending) client.WorkflowRun {
	t.Helper()
	c, err := client.Dial(client.Options{HostPort: shared.Temporal})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	w := worker.New(c, id, worker.Options{})
	w.RegisterWorkflow(sendHooks)
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: id}, sendHooks, s)
	require.NoError(t, err)
	return run
}

func startHookWorker(t *testing.T, queue string) *process {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secrets")
	require.NoError(t, os.WriteFile(file, []byte(hookSecret+"\n"), 0o600))
	w := start(t, "chatfeed", "worker", "--database-url", shared.DatabaseURL, "--temporal-address", shared.Temporal,
		"--task-queue", queue, "--webhook-secret-file", file, "--webhook-allow-private", "127.0.0.1")
	w.prints(t, "serving activities")
	return w
}

// letter is a line of "chatfeed webhooks list --json".
type letter struct {
	ID, WorkflowID, URL, Error string
	Events, Attempts           int
}

func lettersOf(t *testing.T, workflow string) []letter {
	t.Helper()
	list := start(t, "chatfeed", "webhooks", "list", "--json", "--database-url", shared.DatabaseURL)
	require.Zero(t, list.ends(t), list.out)
	var letters []letter
	for line := range strings.Lines(list.out.String()) {
		var l letter
		require.NoError(t, json.Unmarshal([]byte(line), &l), line)
		if l.WorkflowID == workflow {
			letters = append(letters, l)
		}
	}
	return letters
}

func replay(t *testing.T, args ...string) *process {
	t.Helper()
	p := start(t, "chatfeed", append([]string{
		"webhooks", "replay", "--database-url", shared.DatabaseURL,
		"--webhook-secret", hookSecret, "--webhook-allow-private", "127.0.0.1",
	}, args...)...)
	p.ends(t)
	return p
}

func dropLetter(t *testing.T, l letter) {
	t.Helper()
	drop := start(t, "chatfeed", "webhooks", "drop", l.ID, "--database-url", shared.DatabaseURL)
	require.Zero(t, drop.ends(t), drop.out)
	require.Empty(t, lettersOf(t, l.WorkflowID))
}

func TestWebhooksArriveOnceOrAreDeadLetters(t *testing.T) {
	t.Parallel()
	const queue = "hooks"
	startHookWorker(t, queue)

	t.Run("a receiver that fails three times has each delivery once", func(t *testing.T) {
		t.Parallel()
		h := newHooks(t, func(attempt int) int { return map[bool]int{true: 500, false: 200}[attempt <= 3] })
		var done []webhook.Delivered
		require.NoError(t, startSending(t, "wf_hooks_fails", sending{Queue: queue, URL: h.URL, Deliveries: 4}).Get(t.Context(), &done))
		attempts, accepted, payloads := h.state()
		require.Equal(t, 7, attempts)
		require.Len(t, accepted, 4)
		var before webhook.Cursor
		for i, p := range payloads {
			require.Equal(t, before, p.Data.Before)
			require.Equal(t, done[i].After, p.Data.After)
			before = p.Data.After
		}
		require.Empty(t, lettersOf(t, "wf_hooks_fails"))
	})

	t.Run("one that never answers ends in the dead letters, and replay delivers", func(t *testing.T) {
		t.Parallel()
		h := newHooks(t, func(int) int { return 0 })
		const wf = "wf_hooks_silent"
		var done []webhook.Delivered
		require.NoError(t, startSending(t, wf, sending{Queue: queue, URL: h.URL + "/hook?key=hunter2", Deliveries: 1, InAll: 20 * time.Second}).
			Get(t.Context(), &done))
		require.True(t, done[0].Dead)
		letters := lettersOf(t, wf)
		require.Len(t, letters, 1)
		require.Equal(t, h.URL+"/hook", letters[0].URL)
		require.Equal(t, 1, letters[0].Events)
		require.NotEmpty(t, letters[0].Error)

		h.set(func(int) int { return 400 })
		failing := replay(t, letters[0].ID)
		require.Equal(t, 1, failing.ProcessState.ExitCode())
		require.Contains(t, failing.out.String(), letters[0].ID+"  failed: the endpoint answered 400 Bad Request")
		require.NotContains(t, failing.out.String(), "hunter2")
		require.Equal(t, "the endpoint answered 400 Bad Request", lettersOf(t, wf)[0].Error)
		h.set(func(int) int { return 200 })
		again := replay(t, letters[0].ID)
		require.Zero(t, again.ProcessState.ExitCode(), again.out)
		require.Contains(t, again.out.String(), letters[0].ID+"  delivered")
		_, accepted, payloads := h.state()
		require.Equal(t, map[string]int{letters[0].ID: 1}, accepted)
		require.Equal(t, done[0].After, payloads[0].Data.After)
		require.Empty(t, lettersOf(t, wf))
		none := replay(t, letters[0].ID)
		require.Equal(t, 1, none.ProcessState.ExitCode())
		require.Contains(t, none.out.String(), "there is no dead letter "+letters[0].ID)
	})

	t.Run("a redirect to a private address is refused", func(t *testing.T) {
		t.Parallel()
		listener, err := net.Listen("tcp", "127.0.0.2:0")
		require.NoError(t, err)
		reached := make(chan struct{}, 1)
		go func() {
			if conn, err := listener.Accept(); err == nil {
				reached <- struct{}{}
				_ = conn.Close()
			}
		}()
		t.Cleanup(func() { _ = listener.Close() })
		redirecting := httptest.NewServer(http.RedirectHandler("http://"+listener.Addr().String(), http.StatusTemporaryRedirect))
		t.Cleanup(redirecting.Close)
		for wf, test := range map[string]struct{ url, reason string }{
			"wf_hooks_redirect": {redirecting.URL, "the endpoint answered 307 Temporary Redirect; redirects are not followed"},
			"wf_hooks_private":  {"http://" + listener.Addr().String(), "the endpoint is refused: its address is private, local or reserved"},
		} {
			var done []webhook.Delivered
			require.NoError(t, startSending(t, wf, sending{Queue: queue, URL: test.url, Deliveries: 1}).Get(t.Context(), &done))
			require.True(t, done[0].Dead)
			letters := lettersOf(t, wf)
			require.Len(t, letters, 1)
			require.Contains(t, letters[0].Error, test.reason)
			dropLetter(t, letters[0])
		}
		require.Empty(t, reached)
	})
}

func TestAWorkerKilledInTheLastAttemptOfAWebhookLeavesOneDeadLetter(t *testing.T) {
	t.Parallel()
	const queue, wf = "hooks-killed", "wf_hooks_killed"
	h := newHooks(t, func(int) int { return 0 })
	doomed := startHookWorker(t, queue)
	run := startSending(t, wf, sending{Queue: queue, URL: h.URL, Deliveries: 1, InAll: 6 * time.Second, OneAttempt: 5 * time.Second})
	waitFor(t, func() bool { attempts, _, _ := h.state(); return attempts == 1 }, "the attempt")
	doomed.signal(t, syscall.SIGKILL)
	doomed.ends(t)
	startHookWorker(t, queue)
	var done []webhook.Delivered
	require.NoError(t, run.Get(context.WithoutCancel(t.Context()), &done))
	require.True(t, done[0].Dead)
	letters := lettersOf(t, wf)
	require.Len(t, letters, 1)
	require.NotEmpty(t, letters[0].Error)
	dropLetter(t, letters[0])
}
