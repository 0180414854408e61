package db

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

func TestThreeMissedCanariesInARowEndAListener(t *testing.T) {
	t.Parallel()
	const interval = 5 * time.Second
	refused := fmt.Errorf("notify: %w", &pgconn.PgError{Code: "54000"})
	lost := errors.New("connection reset by peer")
	for name, test := range map[string]struct {
		send  func(n int, heard *atomic.Bool) error // of canary number n, from 1
		ended int                                   // at this interval; zero means never
	}{
		"all received":           {func(_ int, heard *atomic.Bool) error { heard.Store(true); return nil }, 0},
		"none received":          {func(int, *atomic.Bool) error { return nil }, 4},
		"every third received":   {func(n int, heard *atomic.Bool) error { heard.Store(n%3 == 0); return nil }, 0},
		"every fourth received":  {func(n int, heard *atomic.Bool) error { heard.Store(n%4 == 0); return nil }, 4},
		"none after the tenth":   {func(n int, heard *atomic.Bool) error { heard.Store(n <= 10); return nil }, 14},
		"refused with an error":  {func(int, *atomic.Bool) error { return refused }, 0},
		"no connection was free": {func(int, *atomic.Bool) error { return errBusy }, 0},
		"the connection is lost": {func(int, *atomic.Bool) error { return lost }, 4},
		"two missed, then refused, then one more": {func(n int, _ *atomic.Bool) error {
			if n == 3 || n == 4 {
				return refused
			}
			return nil
		}, 6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 100*interval+interval/2)
				defer cancel()
				var heard atomic.Bool
				start, n := time.Now(), 0
				err := watch(ctx, interval, &heard, func(context.Context) error {
					n++
					return test.send(n, &heard)
				})
				if test.ended == 0 {
					require.NoError(t, err)
					require.Equal(t, 100, n)
					return
				}
				require.ErrorIs(t, err, errSilent)
				require.Equal(t, time.Duration(test.ended)*interval, time.Since(start))
			})
		})
	}
}

func TestACanaryThatIsNotAnsweredCostsOneInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const interval = 5 * time.Second
		var heard atomic.Bool
		start := time.Now()
		err := watch(t.Context(), interval, &heard, func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		require.ErrorIs(t, err, errSilent)
		require.LessOrEqual(t, time.Since(start), 5*interval)
	})
}

func TestAProcessThatWasStoppedForLongKeepsItsListener(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const interval = 5 * time.Second
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Hour)
		defer cancel()
		var heard atomic.Bool
		err := watch(ctx, interval, &heard, func(context.Context) error {
			time.Sleep(time.Hour) //nolint:forbidigo // the bubble's clock: the ticks of an hour come as one
			heard.Store(true)
			return nil
		})
		require.NoError(t, err)
	})
}
