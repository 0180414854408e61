package demo

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"

	"chatfeed/db"
	"chatfeed/internal/host"
)

// written keeps the latest message that is written.
type written struct{ message db.Message }

func (w *written) Write(_ context.Context, items ...db.Item) ([]db.Written, error) {
	for _, item := range items {
		if message, ok := item.(db.Message); ok {
			w.message = message
		}
	}
	return make([]db.Written, len(items)), nil
}

// answeringContext returns a context of an activity, and a function that cancels it as Temporal does.
func answeringContext(t *testing.T) (context.Context, func()) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	t.Cleanup(func() { cancel(nil) })
	return host.With(ctx, host.Host{
		Info: activity.Info{ActivityID: "1", Attempt: 1}, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)), Heartbeat: func() {},
	}), func() { cancel(temporal.NewCanceledError()) }
}

// An answer can be watched and stopped by a person, whatever its length.
func TestAnAnswerTakesSecondsButNotMany(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"short": "The sea is wide. The land is not.",
		"long":  strings.Repeat("Every river is long and slow where the land is flat and wide, and so are those who live beside it. ", 150),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, _ := answeringContext(t)
				begin := time.Now()
				_, err := (&Answers{writer: &written{}, pace: Pace}).Answer(ctx, Question{Text: text})
				require.NoError(t, err)
				took := time.Since(begin).Seconds()
				require.True(t, took > 2 && took < 5, "%.1f s", took)
			})
		})
	}
}

// What was said until a stop stands. The activity does not end with an error, which the worker would log.
func TestAStoppedAnswerIsAResult(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := answeringContext(t)
		w := &written{}
		time.AfterFunc(2500*time.Millisecond, stop)
		answered, err := (&Answers{writer: w, pace: Pace}).Answer(ctx, Question{Text: "The sea is wide. The land is not. " + strings.Repeat("So it goes. ", 20)})
		require.NoError(t, err)
		require.Equal(t, Answered{Stopped: true}, answered)
		require.Equal(t, "cancelled", w.message.Status)
		require.True(t, strings.HasPrefix(w.message.Message, "**Summary**"), w.message.Message)
		require.NotContains(t, w.message.Message, "most frequent words")
	})
}
