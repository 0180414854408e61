package temporaldev_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
)

// TestMain fails the tests when a server of theirs looks a name up: it must talk to nobody but itself.
func TestMain(m *testing.M) {
	var lookups atomic.Int64
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		lookups.Add(1)
		return nil, errors.New("no name is looked up in these tests")
	}}
	code := m.Run()
	if n := lookups.Load(); n > 0 {
		fmt.Fprintf(os.Stderr, "%d questions for the address of a name; none is expected\n", n)
		code = 1
	}
	os.Exit(code)
}
