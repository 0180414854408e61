package faults_test

import (
	"context"
	"encoding/json"
	"flag"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/pprof"
	"testing"
	"time"

	"go.uber.org/goleak"

	"chatfeed/cmd/internal/program"
)

var (
	long = flag.Bool("long", false, "make faults last longer, repeat them, and use more servers and clients")
	soak = flag.Duration("soak", 5*time.Second, "how long TestSoak lasts")
	seed = flag.Uint64("seed", 0, "what chooses the faults of TestSoak; 0 takes another each time")
)

// asProgram in the environment makes the test binary the chatfeed program, so that tests can run and kill one of their own.
const asProgram = "CHATFEED_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asActivity) != "" {
		os.Exit(writeAnswer(context.Background(), os.Args[1:]))
	}
	if os.Getenv(asProgram) != "" {
		go endWithParent()
		go debug()
		os.Exit(program.Main(os.Args[1:]))
	}
	_ = flag.Set("test.parallel", "4") // the tests are mostly waiting; the command line overrides this
	flag.Parse()
	goleak.VerifyTestMain(m)
}

// endWithParent ends the program when the test that has started it is gone, even if it was killed: nobody then holds the
// other end of its input.
func endWithParent() {
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(3)
}

// debugFile is the descriptor under which the program is given a listener.
const debugFile = 3

// held is what a program holds.
type held struct {
	Heap       uint64 // bytes in use after a garbage collection
	Goroutines int
}

// debug serves what the program holds on the given listener.
func debug() {
	listener, err := net.FileListener(os.NewFile(debugFile, "debug"))
	if err != nil {
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/held", func(w http.ResponseWriter, _ *http.Request) {
		var memory runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&memory)
		_ = json.NewEncoder(w).Encode(held{Heap: memory.HeapAlloc, Goroutines: runtime.NumGoroutine()})
	})
	mux.HandleFunc("/goroutines", func(w http.ResponseWriter, _ *http.Request) {
		_ = pprof.Lookup("goroutine").WriteTo(w, 2)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	_ = server.Serve(listener)
}
