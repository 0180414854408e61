// Package parent detects that the program that started this one has ended: a killed "go run" does not notify its child.
package parent

import (
	"context"
	"os"
	"strconv"
	"time"
)

// Env names the environment variable with the process id of the parent to watch.
const Env = "CHATFEED_DEV_PARENT"

// Watch calls end when the process in [Env] is no longer this process's parent. It returns then, or when ctx ends, or at once
// if the variable is not set.
func Watch(ctx context.Context, end context.CancelFunc) {
	id, err := strconv.Atoi(os.Getenv(Env))
	if err != nil {
		return
	}
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for os.Getppid() == id {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
	end()
}
