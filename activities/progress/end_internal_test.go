package progress

import (
	"errors"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

func TestAnEndIsTheLastWhereNoRunFollowsByItself(t *testing.T) {
	t.Parallel()
	failed, retry := errors.New("failed"), &temporal.RetryPolicy{}
	for _, c := range []struct {
		info workflow.Info
		err  error
		last bool
	}{
		{last: true},
		{err: failed, last: true},
		{info: workflow.Info{RetryPolicy: retry}, last: true},
		{info: workflow.Info{RetryPolicy: retry}, err: temporal.NewCanceledError(), last: true},
		{info: workflow.Info{RetryPolicy: retry}, err: failed},
		{info: workflow.Info{CronSchedule: "0 * * * *"}},
		{err: &workflow.ContinueAsNewError{}},
	} {
		require.Equal(t, c.last, isLast(&c.info, c.err), "%+v", c)
	}
}

func TestAPanicAndGoexitAreToldFromAReturn(t *testing.T) {
	t.Parallel()
	left := func(leave func()) (unwound bool) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer func() { _ = recover() }()
			defer func() { unwound = unwinding() }()
			leave()
		}()
		<-done
		return unwound
	}
	require.False(t, left(func() {}))
	require.True(t, left(func() { panic("left") }))
	require.True(t, left(runtime.Goexit))
	require.False(t, unwinding())
}
