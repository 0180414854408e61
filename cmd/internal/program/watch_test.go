package program_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/cmd/internal/program"
	"chatfeed/db"
	"chatfeed/internal/dbtest"
)

func TestAServerThatMayNotWriteSaysThatItWatchesNothing(t *testing.T) {
	t.Parallel()
	server := dbtest.Server(t)
	admin, err := db.Open(t.Context(), server.URL())
	require.NoError(t, err)
	t.Cleanup(admin.Close)
	_, err = admin.Exec(t.Context(), `create role reading login; grant usage on schema chatfeed to reading;
		grant select on chatfeed.entries, chatfeed.items, chatfeed.heads, chatfeed.erasures to reading`)
	require.NoError(t, err)
	log := new(logged)
	ctx, cancel := context.WithCancel(t.Context())
	serving := program.Serve{
		Database: program.Database{DatabaseURL: strings.Replace(server.URL(), "postgres@", "reading@", 1)},
		Temporal: program.Temporal{TemporalAddress: "127.0.0.1:1", Local: true},
		Listen:   "127.0.0.1:0", NoChat: true, WatchTemporal: true,
	}
	ended := make(chan error, 1)
	go func() { ended <- serving.Run(ctx, slog.New(slog.NewTextHandler(log, nil))) }()
	for _, text := range []string{"msg=serving", "--watch-temporal: no workflow is watched", "the role reading lacks", "docs/operations.md"} {
		require.Eventually(t, log.has(text), time.Minute, 10*time.Millisecond, text)
	}
	_, err = admin.Exec(t.Context(), `grant insert, select (workflow_id, id) on chatfeed.messages, chatfeed.logs, chatfeed.stats,
		chatfeed.progress, chatfeed.deltas, chatfeed.tools to reading`)
	require.NoError(t, err)
	require.Eventually(t, log.has("the database can be used now"), time.Minute, 10*time.Millisecond)
	cancel()
	require.NoError(t, <-ended)
	require.True(t, log.has("stopped watching")(), "it has begun")
}

func TestAMistakeInTheFlagsOfTheWatcherIsNamed(t *testing.T) {
	t.Parallel()
	for say, flags := range map[string][]string{
		"--watch-query: it is given without --watch-temporal": {"--watch-query", "progress"},
		"--listen-database-url: ":                             {"--watch-temporal", "--listen-database-url", "postgres://["},
		"TEMPORAL_CONFIG_FILE":                                {"--watch-temporal"},
	} {
		t.Run(say, func(t *testing.T) {
			t.Parallel()
			cmd := command(t, append([]string{"serve", "--no-chat", "--listen", "127.0.0.1:0", "--database-url", "postgres://127.0.0.1:1/none"}, flags...)...)
			printed := new(logged)
			cmd.Stderr = printed
			if strings.HasPrefix(say, "TEMPORAL") {
				cmd.Env = append(cmd.Env, "TEMPORAL_CONFIG_FILE=main_test.go") // which is none
			}
			require.Error(t, cmd.Run())
			require.Equal(t, 2, cmd.ProcessState.ExitCode())
			require.True(t, printed.has(say)(), printed.text.String())
		})
	}
}
