package audit_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/cmd/internal/audit"
)

func TestACorrectServerHasNoFindings(t *testing.T) {
	t.Parallel()
	lab := newLab(t).serve(t)
	a := lab.start(t, audit.Config{Writers: 4, Items: 300, Streams: 2})
	written(t, a)
	report := finish(t, a)
	clients := 3 * 2 * len(audit.Transports())
	require.Empty(t, report.Findings)
	require.True(t, report.Clean())
	require.Equal(t, 300, report.Items)
	require.Equal(t, 300, report.Written)
	require.Equal(t, clients, report.Clients)
	require.Equal(t, clients, report.Streams)
	require.Equal(t, 300*2*len(audit.Transports()), report.Delivered)
	require.Zero(t, report.Reconnects)
}

func TestARestartOfTheServerCausesNoFinding(t *testing.T) {
	t.Parallel()
	lab := newLab(t).serve(t)
	a := lab.start(t, audit.Config{Writers: 4})
	for range 3 {
		before := a.Progress()
		require.Eventually(t, func() bool { return a.Progress().Written > before.Written+50 }, time.Minute, time.Millisecond)
		lab.stop()
		lab.serve(t)
		require.Eventually(t, func() bool { return a.Progress().Delivered > before.Delivered+100 }, time.Minute, time.Millisecond)
	}
	report := finish(t, a)
	require.Empty(t, report.Findings)
	require.GreaterOrEqual(t, report.Reconnects, report.Clients)
}

func TestAnAuditThatIsFinishedAtOnceWaitsForItsClients(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	for _, workflow := range []string{"wf_1", "wf_2", "wf 3/ü"} {
		lab.append(t, twenty(workflow)...)
	}
	report := finish(t, lab.serve(t).start(t, audit.Config{}))
	require.True(t, report.Clean())
	require.Equal(t, 3*len(audit.Transports()), report.Streams)
}
