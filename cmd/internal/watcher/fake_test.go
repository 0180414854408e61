package watcher_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/cmd/internal/watcher"
	"chatfeed/db"
	"chatfeed/feed"
)

// world is a Temporal, a database and the people who follow.
type world struct {
	mu        sync.Mutex
	runs      map[string]*watcher.Execution // by workflow: the current run
	old       map[string]watcher.Execution  // by run: those before
	followed  map[string]bool
	calls     []call
	running   int
	most      int // calls at a time
	down      error
	latency   time.Duration                            // of each call
	hangs     func(workflowID string, query bool) bool // may be nil
	refuses   func(workflowID string) bool             // may be nil
	answers   func(workflowID string) (json.RawMessage, error)
	items     map[string][]*feed.Item
	unwritten error // the database's
	owners    map[string]*locks
}

type call struct {
	at         time.Time
	workflowID string
	query      bool
	by         string
}

func newWorld() *world {
	return &world{
		runs: make(map[string]*watcher.Execution), old: make(map[string]watcher.Execution), followed: make(map[string]bool),
		items: make(map[string][]*feed.Item), owners: make(map[string]*locks),
		answers: func(string) (json.RawMessage, error) { return nil, errors.New("unknown query type") },
	}
}

// set changes the world.
func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// run starts a run of a workflow, followed or not. It began a minute ago.
func (w *world) run(workflowID, runID string) {
	w.set(func() {
		if before := w.runs[workflowID]; before != nil {
			w.old[before.RunID] = *before
		}
		w.runs[workflowID] = &watcher.Execution{
			RunID: runID, FirstRunID: runID, Status: watcher.Running, Events: 3, Started: time.Now().Add(-time.Minute),
		}
	})
}

func (w *world) end(workflowID string, status watcher.Status) {
	w.set(func() { w.runs[workflowID].Status = status; w.runs[workflowID].Events++ })
}

func (w *world) follow(workflowIDs ...string) {
	w.set(func() {
		for _, id := range workflowIDs {
			w.followed[id] = true
		}
	})
}

func (w *world) leave(workflowID string) { w.set(func() { delete(w.followed, workflowID) }) }

// watched starts a server's watcher, which ends with the test or when the returned function is called.
func (w *world) watched(t *testing.T, name string, query string) (stats func() watcher.Stats, stop func()) {
	t.Helper()
	made := watcher.New(watcher.Config{
		Followed: func() []string {
			w.mu.Lock()
			defer w.mu.Unlock()
			return slices.Collect(maps.Keys(w.followed))
		},
		Locks:    &locks{world: w, name: name},
		Temporal: &temporal{w, name},
		History:  w,
		Writer:   w,
		Query:    query,
		Log:      slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); made.Run(ctx) }()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	return made.Stats, stop
}

// told returns what the items of a workflow say, oldest first: the status and the percentage.
func (w *world) told(workflowID string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	told := []string{}
	for _, item := range w.items[workflowID] {
		var p db.Progress
		_ = json.Unmarshal(item.Body, &p)
		told = append(told, fmt.Sprintf("%v %s", p.Progress, p.Status))
	}
	return told
}

// describes returns when a workflow was described, as the time since the beginning.
func (w *world) describes(workflowID string, since time.Time) (at []time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.calls {
		if c.workflowID == workflowID && !c.query {
			at = append(at, c.at.Sub(since))
		}
	}
	return at
}

func (w *world) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.calls)
}

// temporal is the world's Temporal for one server.
type temporal struct {
	*world
	name string
}

func (f *temporal) begin(ctx context.Context, workflowID string, query bool) error {
	f.mu.Lock()
	f.calls = append(f.calls, call{time.Now(), workflowID, query, f.name})
	f.running++
	f.most = max(f.most, f.running)
	hang, down, latency := f.hangs != nil && f.hangs(workflowID, query), f.down, f.latency
	if f.refuses != nil && f.refuses(workflowID) {
		down = errors.New("its shard is away")
	}
	f.mu.Unlock()
	defer f.set(func() { f.running-- })
	if latency > 0 {
		timer := time.NewTimer(latency)
		defer timer.Stop()
		<-timer.C
	}
	if hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return down
}

// Describe implements [watcher.Temporal].
func (f *temporal) Describe(ctx context.Context, workflowID, runID string) (watcher.Execution, error) {
	if err := f.begin(ctx, workflowID, false); err != nil {
		return watcher.Execution{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if old, ok := f.old[runID]; ok {
		return old, nil
	}
	if run := f.runs[workflowID]; run != nil {
		return *run, nil
	}
	return watcher.Execution{}, fmt.Errorf("test: %w", watcher.ErrNotFound)
}

// Query implements [watcher.Temporal].
func (f *temporal) Query(ctx context.Context, workflowID, _, _ string) (json.RawMessage, error) {
	if err := f.begin(ctx, workflowID, true); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.answers(workflowID)
}

// Write implements [watcher.Writer] as the database does.
func (w *world) Write(_ context.Context, items ...db.Item) ([]db.Written, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.unwritten != nil {
		return nil, w.unwritten
	}
	p := items[0].(db.Progress)
	return []db.Written{{ID: p.ID, Already: !w.add(p)}}, nil
}

// record adds an item of the workflow's own.
func (w *world) record(workflowID, id string, percent float64, status string) {
	w.set(func() { w.add(db.Progress{WorkflowID: workflowID, ID: id, Progress: percent, Status: status}) })
}

func (w *world) add(p db.Progress) bool {
	of := w.items[p.WorkflowID]
	if slices.ContainsFunc(of, func(item *feed.Item) bool { return item.ID == p.ID }) {
		return false
	}
	body, _ := json.Marshal(map[string]any{"progress": p.Progress, "status": p.Status, "result": p.Result, "final": p.Final})
	at := feed.Cursor(time.Now().UnixMicro())
	if len(of) > 0 {
		at = max(at, of[len(of)-1].CreatedAt+1)
	}
	w.items[p.WorkflowID] = append(of, &feed.Item{ID: p.ID, WorkflowID: p.WorkflowID, Type: "progress", CreatedAt: at, Body: body, Final: p.Final})
	return true
}

// Before implements [watcher.History].
func (w *world) Before(_ context.Context, at []feed.Position, window feed.Window) ([]feed.Page, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	of := w.items[at[0].WorkflowID]
	return []feed.Page{{Items: slices.Clone(of[max(0, len(of)-window.Items):])}}, w.unwritten
}

// locks are those of one server.
type locks struct {
	*world
	name string
	dead error // the session has ended, and its locks are free
}

// Lock implements [watcher.Locks].
func (l *locks) Lock(_ context.Context, workflowIDs []string) (got []string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range workflowIDs {
		if l.dead == nil && l.owners[id] == nil {
			l.owners[id] = l
			got = append(got, id)
		}
	}
	return got, l.dead
}

// Unlock implements [watcher.Locks].
func (l *locks) Unlock(_ context.Context, workflowIDs []string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range workflowIDs {
		delete(l.owners, id)
	}
	return l.dead
}

// Check implements [watcher.Locks].
func (l *locks) Check(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead
}

// Close implements [watcher.Locks].
func (l *locks) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.owners, func(_ string, owner *locks) bool { return owner == l })
}

// die ends the session of the server that watches a workflow, and returns the server's name.
func (w *world) die(t *testing.T, workflowID string) (name string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	owner := w.owners[workflowID]
	require.NotNil(t, owner)
	owner.dead = errors.New("the session has ended")
	maps.DeleteFunc(w.owners, func(_ string, of *locks) bool { return of == owner })
	return owner.name
}

// inBubble runs a test in virtual time.
func inBubble(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newWorld()) })
}

// elapse lets virtual time pass.
func elapse(d time.Duration) {
	timer := time.NewTimer(d)
	<-timer.C
	synctest.Wait()
}

func many(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprint("wf", i)
	}
	return ids
}

// hidden is what the feed follows in place of a workflow that may not be read.
var hidden = strings.Repeat("?", 1001) + "wf"
