package program_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"chatfeed/cmd/internal/program"
	"chatfeed/internal/dbtest"
)

// asProgram in the environment makes the test binary the chatfeed program, so that tests can run one of their own.
const asProgram = "CHATFEED_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(program.Main(os.Args[1:]))
	}
	goleak.VerifyTestMain(m, dbtest.Goroutines()...)
}

// command is the chatfeed program in a process of its own.
func command(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), self, args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	cmd.Stderr = os.Stderr
	return cmd
}

// serve runs a server in this process until the end of the test and returns its URL.
func serve(t testing.TB, databaseURL string, change ...func(*program.Serve)) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	started, ended := make(chan net.Addr, 1), make(chan error, 1)
	server := program.Serve{
		Database: program.Database{DatabaseURL: databaseURL},
		Listen:   "127.0.0.1:0",
		NoChat:   true,
		Started:  func(address net.Addr) { started <- address },
	}
	for _, apply := range change {
		apply(&server)
	}
	go func() { ended <- server.Run(ctx, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-ended) })
	return "http://" + (<-started).String()
}
