package main

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"chatfeed/internal/dbtest"
)

// asProgram in the environment makes the test binary the program.
const asProgram = "CHATFEED_TEST_AS_APPROACHES"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(execute(os.Args[1:]))
	}
	goleak.VerifyTestMain(m, dbtest.Goroutines()...)
}
