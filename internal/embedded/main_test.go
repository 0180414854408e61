package embedded

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// asParent makes the test binary a program that starts a server and waits to be killed.
const asParent = "CHATFEED_TEST_AS_PARENT"

func TestMain(m *testing.M) {
	if os.Getenv(asParent) != "" {
		parent()
	}
	goleak.VerifyTestMain(m)
}

// parent starts a server and prints its URL, its data directory, its process and that of its supervisor.
func parent() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := Start(ctx, Config{Data: os.Getenv("CHATFEED_TEST_DATA")})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// A child that outlives this process must not keep the lifeline open.
	bystander, err := os.StartProcess("/bin/sleep", []string{"sleep", "20"}, &os.ProcAttr{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stdout, s.URL(), s.data.path, s.process.pid, s.supervisor.cmd.Process.Pid, bystander.Pid)
	select {}
}
