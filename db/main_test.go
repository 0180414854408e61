package db_test

import (
	"testing"

	"go.uber.org/goleak"

	"chatfeed/db"
	"chatfeed/internal/dbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, dbtest.Goroutines()...) }

// failure is the error of a write whose other result does not matter.
func failure(_ []db.Written, err error) error { return err }
