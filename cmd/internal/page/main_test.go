package page

import (
	"io"
	"os"
	"testing"

	"go.uber.org/goleak"

	"chatfeed/cmd/internal/program"
	"chatfeed/internal/dbtest"
)

// asProgram in the environment makes the test binary the chatfeed program, so that tests can run and kill one of their own.
const asProgram = "CHATFEED_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		go endWithParent()
		os.Exit(program.Main(os.Args[1:]))
	}
	goleak.VerifyTestMain(m, dbtest.Goroutines()...)
}

// endWithParent ends the program when the test that has started it is gone, even if it was killed.
func endWithParent() {
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(3)
}
