package bench_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"chatfeed/cmd/internal/bench"
	"chatfeed/cmd/internal/program"
	"chatfeed/internal/dbtest"
)

// TestMain is outside of the package, as the program that scenarios start imports the package.
func TestMain(m *testing.M) {
	if os.Getenv(bench.AsProgram) != "" {
		os.Exit(program.Main(os.Args[1:]))
	}
	goleak.VerifyTestMain(m, dbtest.Goroutines()...)
}
