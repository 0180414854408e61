package rpc_test

import (
	"testing"

	"go.uber.org/goleak"

	"chatfeed/db/dbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, dbtest.Goroutines()...) }
