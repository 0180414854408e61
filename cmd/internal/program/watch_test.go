package program_test

import (
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"chatfeed/internal/dbtest"
)

// logged is what a program has printed.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), text)
}

// started runs the program and returns what it prints. It is killed at the end of the test.
func started(t *testing.T, args ...string) (cmd *exec.Cmd, printed *logged) {
	t.Helper()
	cmd, printed = command(t, args...), &logged{}
	cmd.Stderr = printed
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd, printed
}

func TestAServerThatMayNotWriteSaysThatItWatchesNothing(t *testing.T) {
	t.Parallel()
	server := dbtest.Server(t)
	owner, err := pgxpool.New(t.Context(), server.URL())
	require.NoError(t, err)
	t.Cleanup(owner.Close)
	_, err = owner.Exec(t.Context(), `create role chatfeed_reader login; grant usage on schema chatfeed to chatfeed_reader;
		grant select on chatfeed.entries, chatfeed.items, chatfeed.heads, chatfeed.erasures to chatfeed_reader`)
	require.NoError(t, err)
	reader, err := url.Parse(server.URL())
	require.NoError(t, err)
	reader.User = url.User("chatfeed_reader")
	_, printed := started(t, "serve", "--watch-temporal", "--no-chat", "--listen", "127.0.0.1:0", "--database-url", reader.String())
	for _, text := range []string{"--watch-temporal: no workflow is watched", "the role chatfeed_reader lacks", "docs/operations.md"} {
		require.Eventually(t, func() bool { return printed.has(text) }, time.Minute, 10*time.Millisecond, text)
	}
	require.True(t, printed.has("msg=serving"), "all else works")
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
			var printed logged
			cmd.Stderr = &printed
			if strings.HasPrefix(say, "TEMPORAL") {
				cmd.Env = append(cmd.Env, "TEMPORAL_CONFIG_FILE=main_test.go")
			}
			require.Error(t, cmd.Run())
			require.Equal(t, 2, cmd.ProcessState.ExitCode())
			require.True(t, printed.has(say), printed.text.String())
		})
	}
}
