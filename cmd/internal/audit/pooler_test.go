package audit_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/cmd/internal/audit"
	"chatfeed/db"
	"chatfeed/internal/dbtest"
)

// Writers, server and audit work through PgBouncer; only LISTEN connects directly to PostgreSQL.
func TestARestartOfPgBouncerCausesNoFinding(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	bouncer := dbtest.StartPgBouncer(t, lab.url, "pool_mode = transaction\ndefault_pool_size = 8\n")
	pool, err := db.Open(t.Context(), bouncer.URL())
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	lab.pool, lab.listen = pool, lab.url
	a := lab.serve(t).start(t, audit.Config{Writers: 4})
	for range 3 {
		before := a.Progress()
		require.Eventually(t, func() bool {
			now := a.Progress()
			return now.Written > before.Written+50 && now.Delivered > before.Delivered+100
		}, time.Minute, 5*time.Millisecond)
		bouncer.Restart()
	}
	before := a.Progress()
	require.Eventually(t, func() bool { return a.Progress().Written > before.Written+50 }, time.Minute, 5*time.Millisecond)
	report := finish(t, a)
	require.Empty(t, report.Findings)
	require.True(t, report.Clean(), report.Unproven)
}
