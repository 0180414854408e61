package faults_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/db"
)

// lag returns the median time until every client of the workflows has received a new item.
func (w *world) lag(workflows []string) time.Duration {
	w.t.Helper()
	var took []time.Duration
	for range rounds(10, 50) {
		begun := time.Now()
		w.exec(`insert into chatfeed.logs (workflow_id, message) values ($1, 'beside')`, workflows[w.random.IntN(len(workflows))])
		w.catchUp(workflows)
		took = append(took, time.Since(begun))
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// requireNoDelay requires that a fault of another workflow delays these only as much as a busier machine would.
// If their reads waited for each other, it would take 6 s or more.
func (w *world) requireNoDelay(workflows []string, alone time.Duration) {
	w.t.Helper()
	beside := w.lag(workflows)
	w.t.Logf("the clients of the others have everything after %v, and after %v beside it", alone, beside)
	require.Less(w.t, beside, 5*alone+2*time.Second)
}

// heavy has messages of up to 1 MiB written to a workflow, and erases them in the end.
func heavy(messages int) func(*world) {
	return func(w *world) {
		ctx := w.t.Context()
		workflow, others := w.pick()
		alone := w.lag(others)
		writer := db.NewWriter(w.control)
		defer writer.Close()
		ended := make(chan error, 1)
		go func() {
			for i := range messages {
				text := strings.Repeat("heavy ", (64<<10+i*7919%(960<<10))/6)
				if _, err := writer.Write(ctx, db.Message{WorkflowID: workflow, ID: fmt.Sprintf("heavy_%d", i), Message: text}); err != nil {
					ended <- err
					return
				}
			}
			ended <- nil
		}()
		w.requireNoDelay(others, alone)
		require.NoError(w.t, <-ended)
		w.catchUp([]string{workflow})
		w.newcomers(workflow)
	}
}

// interceptReads makes every read of a workflow's items execute a statement first, until the returned function is called.
func (w *world) interceptReads(workflow, do string) (stop func()) {
	w.t.Helper()
	entries := ask[string](w, `select pg_get_viewdef('chatfeed.entries'::regclass)`)
	view := func(definition string) { w.exec("create or replace view chatfeed.entries as " + definition) }
	w.exec(`create sequence public.troubles`) // counts, as it is not rolled back
	w.exec(`create function public.interceptReads(id text) returns boolean language plpgsql volatile as $$
		begin
			if id = '` + workflow + `' then
				perform nextval('public.troubles');
				` + do + `;
			end if;
			return true;
		end $$`)
	view("select * from (" + strings.TrimSuffix(strings.TrimSpace(entries), ";") + ") e where public.interceptReads(workflow_id)")
	until(w.t, "the workflow is read", func() bool { return ask[int64](w, `select last_value from public.troubles`) > 2 })
	return func() {
		w.t.Helper()
		view(entries)
		w.exec(`drop function public.interceptReads`)
		w.exec(`drop sequence public.troubles`)
	}
}

// disturbReads intercepts the reads of a workflow for a while, so that it is blocked or late.
func disturbReads(do string, blocks bool) func(*world) {
	return func(w *world) {
		workflow, others := w.pick()
		alone := w.lag(others)
		stop := w.interceptReads(workflow, do)
		if blocks {
			w.exec(`insert into chatfeed.logs (workflow_id, message) values ($1, 'unread')`, workflow)
			ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
			require.ErrorIs(w.t, w.audit.CatchUp(ctx, workflow), context.DeadlineExceeded, "the workflow is read")
			cancel()
		}
		for range rounds(2, 5) {
			w.requireNoDelay(others, alone)
			last(time.Second, 5*time.Second)
		}
		stop()
		w.awaitHealthy()
	}
}

func failing(w *world) { disturbReads(`raise exception 'this workflow cannot be read'`, true)(w) }

func slowly(w *world) { disturbReads(`perform pg_sleep(0.05)`, false)(w) }
