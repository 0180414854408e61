package audit_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/cmd/internal/audit"
)

// requireUnproven requires that a report has no findings and is not clean, for the given reasons in order.
func requireUnproven(t *testing.T, report *audit.Report, reasons ...string) {
	t.Helper()
	require.Empty(t, report.Findings)
	require.False(t, report.Clean())
	for _, reason := range reasons {
		require.Contains(t, strings.Join(report.Unproven, "\n"), reason)
	}
}

func TestWritersThatWriteNothingAreReportedAsUnproven(t *testing.T) {
	t.Parallel()
	lab := newLab(t).serve(t)
	lab.exec(t, `do $$ begin
		execute format('alter database %I set default_transaction_read_only = on', current_database());
	end $$`)
	lab.pool.Reset()
	a := lab.start(t, audit.Config{Writers: 2, Items: 100, Settle: 500 * time.Millisecond})
	require.Eventually(t, func() bool { return a.Progress().Streams == 3*len(audit.Transports()) }, time.Minute, time.Millisecond)
	report := finish(t, a)
	requireUnproven(t, report, "nothing was written: ", "cannot execute", "in a read-only transaction",
		"the table has no item of the workflows", "no item was compared on gRPC over h2c")
	require.Zero(t, report.Written)
}

func TestEmptyWorkflowsAreReportedAsUnproven(t *testing.T) {
	t.Parallel()
	report := finish(t, newLab(t).serve(t).start(t, audit.Config{}))
	requireUnproven(t, report, "the table has no item of the workflows")
	require.Len(t, report.Unproven, 1+len(audit.Transports()))
}

func TestAnEmptyWorkflowBesideAnotherIsReportedAsUnproven(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	lab.append(t, twenty("wf_1")...)
	report := finish(t, lab.serve(t).start(t, audit.Config{Workflows: []string{"wf_1", "wf_l"}}))
	requireUnproven(t, report, `the table has no item of workflow "wf_l"`)
	require.Len(t, report.Unproven, 1)
}

func TestATransportWithoutAnswersIsReportedAsUnproven(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	lab.append(t, twenty("wf_1")...)
	lab.handler = func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/chatData") {
				http.NotFound(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	lab.serve(t)
	a := lab.start(t, audit.Config{Workflows: []string{"wf_1"}, Settle: 500 * time.Millisecond})
	delivered(t, a, 20*(len(audit.Transports())-1))
	report := finish(t, a)
	require.Len(t, report.Findings, 1)
	require.Equal(t, audit.Unanswered, report.Findings[0].Kind)
	require.Equal(t, []string{"no item was compared on REST long poll over HTTP/1.1"}, report.Unproven)
}

func TestAReportSaysWhatWasCompared(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	lab.append(t, twenty("wf_1")...)
	lab.append(t, twenty("wf_2")...)
	report := finish(t, lab.serve(t).start(t, audit.Config{Workflows: []string{"wf_1", "wf_2"}, Streams: 3}))
	require.True(t, report.Clean())
	require.Len(t, report.Transports, len(audit.Transports()))
	for i, transport := range audit.Transports() {
		require.Equal(t, audit.Coverage{Name: transport.Name, Clients: 6, Delivered: 6 * 20, Compared: 6 * 20}, report.Transports[i])
	}
}

func TestAnItemThatTheCallerErasesIsNotUnwritten(t *testing.T) {
	t.Parallel()
	lab := newLab(t).serve(t)
	a := lab.start(t, audit.Config{Writers: 2, Items: 100})
	written(t, a)
	delivered(t, a, 100*len(audit.Transports()))
	var workflow, id string
	require.NoError(t, lab.pool.QueryRow(t.Context(),
		"select workflow_id, id from chatfeed.items where type = 'log' offset 5 limit 1").Scan(&workflow, &id))
	a.Meets(audit.Erased, workflow, "log", id)
	lab.exec(t, "delete from chatfeed.logs where id = $1", id)
	awaitGone(t, a, len(audit.Transports())-len(polling(1)))
	require.Empty(t, finish(t, a).Findings)
}

func TestAnItemThatTheCallerErasesMustNotBeInTheTable(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	lab.append(t, twenty("wf_1")...)
	a := lab.serve(t).start(t, audit.Config{Workflows: []string{"wf_1"}})
	a.Meets(audit.Erased, "wf_1", "log", "item_10")
	report := finish(t, a)
	require.Len(t, report.Findings, 1)
	require.Equal(t, audit.Unknown, report.Findings[0].Kind)
	require.Equal(t, "item_10", report.Findings[0].ID)
	require.Empty(t, report.Findings[0].Transport)
}
