package rpc_test

import (
	"testing"

	"go.uber.org/goleak"

	"chatfeed/internal/dbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, dbtest.Goroutines()...) }
