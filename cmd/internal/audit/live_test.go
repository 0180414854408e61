package audit_test

import (
	"context"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/cmd/internal/audit"
	"chatfeed/db"
	"chatfeed/feed"
)

// byTransport counts findings by kind and transport.
func byTransport(findings []audit.Finding) map[audit.Kind]map[string]int {
	counts := make(map[audit.Kind]map[string]int)
	for _, f := range findings {
		if counts[f.Kind] == nil {
			counts[f.Kind] = make(map[string]int)
		}
		counts[f.Kind][f.Transport]++
	}
	return counts
}

// everywhere is so many findings on each transport.
func everywhere(n int) map[string]int {
	counts := make(map[string]int)
	for _, transport := range audit.Transports() {
		counts[transport.Name] = n
	}
	return counts
}

// polling is so many findings on each transport that polls.
func polling(n int) map[string]int {
	counts := everywhere(n)
	maps.DeleteFunc(counts, func(transport string, _ int) bool { return !strings.Contains(transport, "poll") })
	return counts
}

// awaitGone waits until clients have been notified of so many erased items.
func awaitGone(t testing.TB, a *audit.Audit, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return a.Progress().Gone == n }, time.Minute, time.Millisecond)
}

func (l *lab) count(t testing.TB, condition string) (n int) {
	t.Helper()
	require.NoError(t, l.pool.QueryRow(t.Context(), "select count(*) from chatfeed.items where "+condition).Scan(&n))
	return n
}

func TestItemsThatAreLostWhileTheyAreWrittenAreFound(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	lab.source = altering(func(_ string, items []*feed.Item) []*feed.Item {
		var left []*feed.Item
		for _, item := range items {
			if !strings.HasSuffix(item.ID, "7") {
				left = append(left, item)
			}
		}
		return left
	})
	lab.serve(t)
	a := lab.start(t, audit.Config{Workflows: []string{"wf_1", "wf_2"}, Writers: 4, Items: 300, Rate: 500})
	written(t, a)
	lab.append(t, db.Log{WorkflowID: "wf_1", ID: "end"}, db.Log{WorkflowID: "wf_2", ID: "end"}) // heads that clients can reach
	report := finish(t, a)
	lost := lab.count(t, "id like '%7'")
	require.Positive(t, lost)
	require.Equal(t, map[audit.Kind]map[string]int{audit.Lost: everywhere(lost)}, byTransport(report.Findings))
	require.Equal(t, 302, report.Items)
}

func TestItemsThatAreChangedWhileTheyAreWrittenAreFound(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	lab.source = altering(func(_ string, items []*feed.Item) []*feed.Item {
		for i, item := range items {
			if strings.HasSuffix(item.ID, "7") && item.Type == "message" {
				items[i] = other(item, func(o *feed.Item) { o.Body = swapText(o.Body, "audit", "Audit") })
			}
		}
		return items
	})
	lab.serve(t)
	a := lab.start(t, audit.Config{Writers: 4, Items: 300, Rate: 500})
	written(t, a)
	report := finish(t, a)
	changed := lab.count(t, "id like '%7' and type = 'message'")
	require.Positive(t, changed)
	require.Equal(t, map[audit.Kind]map[string]int{audit.Different: everywhere(changed)}, byTransport(report.Findings))
}

func TestAServerThatGoesBackCausesRepetitions(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	lab.append(t, twenty("wf_1")...)
	var requests atomic.Int64
	lab.handler = func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/chatData") && requests.Add(1) == 2 {
				r.URL.RawQuery = "afterTimestamp=0"
			}
			next.ServeHTTP(w, r)
		})
	}
	lab.serve(t)
	a := lab.start(t, audit.Config{Workflows: []string{"wf_1"}})
	clients := len(audit.Transports())
	require.Eventually(t, func() bool { return a.Progress().Delivered == 20*(clients+1) }, time.Minute, time.Millisecond)
	report := finish(t, a)
	stamps := lab.stamps(t, "wf_1")
	require.Len(t, report.Findings, 20)
	for i, f := range report.Findings {
		require.Equal(t, audit.Repeated, f.Kind)
		require.Equal(t, "REST long poll over HTTP/1.1", f.Transport)
		require.Equal(t, moment(stamps, float64(i)), f.CreatedAt)
		require.Equal(t, moment(stamps, 19), f.Cursor)
	}
}

func TestAStreamThatFallsSilentIsOpenedAgain(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	lab.append(t, twenty("wf_1")...)
	var requests atomic.Int64
	lab.handler = func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if requests.Add(1) <= int64(len(audit.Transports())) {
				_, _ = io.Copy(io.Discard, r.Body) // until then the context does not detect that the client has disconnected
				<-r.Context().Done()
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	lab.serve(t)
	report := finish(t, lab.start(t, audit.Config{Workflows: []string{"wf_1"}, Silence: 2 * time.Second}))
	require.Empty(t, report.Findings)
	require.Equal(t, 20*report.Clients, report.Delivered)
	require.GreaterOrEqual(t, report.Reconnects, report.Clients)
}

func TestAClientThatIsNeverAnsweredIsAFinding(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	lab.handler = func(http.Handler) http.Handler { return http.NotFoundHandler() }
	lab.serve(t)
	report := finish(t, lab.start(t, audit.Config{Workflows: []string{"wf_1"}, Settle: 100 * time.Millisecond}))
	require.Equal(t, map[audit.Kind]map[string]int{audit.Unanswered: everywhere(1)}, byTransport(report.Findings))
	require.False(t, report.Clean())
}

func TestItemsThatAClientHasNotReceivedInTimeAreLost(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	lab.append(t, twenty("wf_1")...)
	lab.serve(t)
	a := lab.start(t, audit.Config{Workflows: []string{"wf_1"}, Settle: 200 * time.Millisecond})
	clients := len(audit.Transports())
	require.Eventually(t, func() bool { return a.Progress().Delivered == 20*clients }, time.Minute, time.Millisecond)
	lab.stop()
	lab.append(t, twenty("wf_2")...)
	_, err := lab.pool.Exec(t.Context(), "insert into chatfeed.logs (workflow_id, id, message) values ('wf_1', 'late', '')")
	require.NoError(t, err)
	report := finish(t, a)
	require.Equal(t, map[audit.Kind]map[string]int{audit.Lost: everywhere(1)}, byTransport(report.Findings))
	require.Equal(t, "late", report.Findings[0].ID)
	require.Equal(t, moment(lab.stamps(t, "wf_1"), 19), report.Findings[0].Cursor)
}

func TestItemsCommittedWhileAnAuditEndsAreNotFindings(t *testing.T) {
	t.Parallel()
	lab := newLab(t).serve(t)
	writing := lab.start(t, audit.Config{Workflows: []string{"wf_1", "wf_2"}, Writers: 4, Transports: audit.Transports()[:1]})
	for range 5 {
		a := lab.start(t, audit.Config{Workflows: []string{"wf_1", "wf_2"}})
		before := writing.Progress().Written
		require.Eventually(t, func() bool { return writing.Progress().Written >= before+50 }, time.Minute, time.Millisecond)
		report := finish(t, a)
		require.Empty(t, report.Findings)
		require.Positive(t, report.Items)
	}
	require.Empty(t, finish(t, writing).Findings)
}

func TestStoppedClientsAreComparedUpToTheirCursors(t *testing.T) {
	t.Parallel()
	lab := newLab(t).serve(t)
	ctx, cancel := context.WithCancel(t.Context())
	a, err := audit.Start(ctx, audit.Config{Server: lab.server, Pool: lab.pool, Workflows: []string{"wf_1"}, Writers: 2})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		return a.Progress().Delivered > 100 && a.Progress().Streams == len(audit.Transports()) // each has been answered
	}, time.Minute, time.Millisecond)
	cancel()
	written(t, a)
	report := finish(t, a)
	require.Empty(t, report.Findings)
}
