package watcher_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/cmd/internal/watcher"
)

func (w *world) answer(text string) {
	w.set(func() {
		w.answers = func(string) (json.RawMessage, error) { return json.RawMessage(text), nil }
		for _, run := range w.runs {
			run.Events++
		}
	})
}

func (w *world) queries(workflowID string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.calls {
		if c.query && c.workflowID == workflowID {
			n++
		}
	}
	return n
}

func TestTheAnswersOfTheQueryAreRecordedAsTheyChange(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		w.run("wf", "r")
		w.answer(`{"progress": 10, "status": "reading", "more": [1]}`)
		w.follow("wf")
		w.watched(t, "a", "progress")
		elapse(time.Minute)
		for _, text := range []string{`{"progress": 20.5}`, ` 30 `, `30`, `{"progress": 20.5, "status": ""}`, `{"status": "writing", "progress": 30}`} {
			w.answer(text)
			elapse(6 * time.Second)
		}
		want := []string{"10 reading", "20.5 running", "30 running", "20.5 running", "30 writing"}
		require.Equal(t, want, w.told("wf"))
		w.end("wf", watcher.Terminated)
		elapse(6 * time.Second)
		require.Equal(t, append(want, "30 terminated"), w.told("wf"))
		queries := w.queries("wf")
		elapse(time.Hour)
		require.Equal(t, queries, w.queries("wf"), "a workflow that has ended is not asked")
	})
}

func TestTheQueryIsAskedOnlyWhenTheAnswerMayBeAnother(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		w.run("wf", "r")
		w.answer(`10`)
		w.follow("wf")
		began := time.Now()
		w.watched(t, "a", "progress")
		elapse(10 * time.Second)
		require.Greater(t, len(w.describes("wf", began)), 10)
		require.Equal(t, 1, w.queries("wf"), "the history has not grown")
		elapse(time.Minute)
		require.Greater(t, w.queries("wf"), 10, "an answer may depend on the time, too")
		require.Equal(t, []string{"10 running"}, w.told("wf"))
	})
}

func TestAnAnswerThatIsNoProgressIsNotRecordedAndTheEndStillIs(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		``, `null`, `"10"`, `true`, `[10]`, `{}`, `{"progress": null}`, `{"progress": "10"}`, `{"progress": 10, "status": 1}`, `-1`, `100.5`, `1e999`,
		`{"progress": 10} 1`, `{"progress": 10, "status": "` + strings.Repeat("x", 1001) + `"}`, `{"progress": 10, "status": "\u0000"}`, "{", "\xff",
	} {
		inBubble(t, func(t *testing.T, w *world) {
			w.run("wf", "r")
			w.answer(text)
			w.follow("wf")
			stats, _ := w.watched(t, "a", "progress")
			elapse(10 * time.Minute)
			require.Equal(t, []string{"0 running"}, w.told("wf"), text)
			require.NotZero(t, stats().QueryFailures)
			require.LessOrEqual(t, w.queries("wf"), 35, "it is asked less often")
			w.answer(`7`)
			elapse(31 * time.Second)
			require.Equal(t, []string{"0 running", "7 running"}, w.told("wf"), "and again")
			w.answer(text)
			w.end("wf", watcher.Failed)
			elapse(6 * time.Second)
			require.Equal(t, []string{"0 running", "7 running", "7 failed"}, w.told("wf"))
		})
	}
}

func TestAQueryThatHangsDelaysNeitherTheEndNorOtherWorkflows(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		for _, id := range many(100) {
			w.run(id, "r-"+id)
		}
		w.run("wf", "r")
		w.answer(`10`)
		w.set(func() { w.hangs = func(id string, query bool) bool { return query && id != "wf" } })
		w.follow(many(100)...)
		w.watched(t, "a", "progress")
		elapse(2 * time.Minute)
		w.follow("wf")
		elapse(5 * time.Second)
		last := func() string { told := w.told("wf"); return told[len(told)-1] }
		require.Equal(t, "10 running", last())
		for i := range 5 {
			w.answer(fmt.Sprint(i))
			elapse(6 * time.Second)
			require.Equal(t, fmt.Sprint(i, " running"), last())
		}
		for _, id := range many(100) {
			w.end(id, watcher.Terminated)
		}
		elapse(7 * time.Second)
		for _, id := range many(100) {
			require.Equal(t, []string{"0 running", "0 terminated"}, w.told(id))
		}
		require.LessOrEqual(t, w.most, 36)
	})
}

func TestAWorkflowThatAnswersNoMoreIsStalledUntilItDoes(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		w.run("wf", "r")
		w.answer(`{"progress": 40, "status": "reading"}`)
		w.follow("wf")
		w.watched(t, "a", "progress")
		elapse(time.Minute)
		w.set(func() { w.hangs = func(_ string, query bool) bool { return query } })
		elapse(time.Minute)
		require.Equal(t, []string{"40 reading", "40 stalled"}, w.told("wf"))
		w.set(func() { w.hangs = nil })
		elapse(time.Minute)
		require.Equal(t, []string{"40 reading", "40 stalled", "40 reading"}, w.told("wf"))
		w.set(func() { w.answers = func(string) (json.RawMessage, error) { return nil, errors.New("it panics") } })
		elapse(time.Minute)
		w.end("wf", watcher.Failed)
		elapse(6 * time.Second)
		require.Equal(t, []string{"40 reading", "40 stalled", "40 reading", "40 stalled", "40 failed"}, w.told("wf"))
	})
}
