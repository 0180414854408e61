package stack

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/internal/dbtest"
)

func TestTheDemoBeginsUnlessAUserHasSentAMessage(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	begun := errors.New("begun")
	begin := func() error { return begun }
	write := func(role string) {
		_, err := pool.Exec(t.Context(), `insert into chatfeed.messages (workflow_id, role, message) values ('wf', $1, 'Hi.')`, role)
		require.NoError(t, err)
	}
	require.ErrorIs(t, unlessUsed(t.Context(), pool, time.Nanosecond, begin), begun)
	write("psql")
	require.ErrorIs(t, unlessUsed(t.Context(), pool, time.Nanosecond, begin), begun)
	write("user")
	require.NoError(t, unlessUsed(t.Context(), pool, time.Nanosecond, begin))
	pool.Close()
	require.ErrorContains(t, unlessUsed(t.Context(), pool, time.Nanosecond, begin), "closed pool")
}

func TestTheDemoWaitsAndDoesNotBeginInAStackThatEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- unlessUsed(ctx, nil, quiet, func() error { panic("it has begun") }) }()
		pause := time.NewTimer(quiet - time.Millisecond)
		<-pause.C
		synctest.Wait()
		require.Empty(t, ended)
		cancel()
		require.NoError(t, <-ended)
	})
}
