package program_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/internal/dbtest"
	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

const (
	scaleStreams = 1000 // on one workflow, and as many workflows with one stream each
	scaleMemory  = 200  // MB
)

func TestTwoThousandStreamsFitInTwoHundredMegabytes(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	url := dbtest.URL(t)
	server, pid := serveProcess(t, url)
	pool, err := db.Open(ctx, url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	writer := db.NewWriter(pool)
	t.Cleanup(writer.Close)

	client := newClient(t, server)
	streams, received := openStreams(ctx, t, client, func(i int) string {
		if i < scaleStreams {
			return "wf_shared"
		}
		return "wf_" + strconv.Itoa(i)
	})
	var items []db.Item
	for i := range scaleStreams {
		items = append(items, db.Message{WorkflowID: "wf_" + strconv.Itoa(i+scaleStreams), Message: strings.Repeat("word ", 50)})
	}
	items = append(items, db.Message{WorkflowID: "wf_shared", Message: strings.Repeat("word ", 50)})
	_, err = writer.Write(ctx, items...)
	require.NoError(t, err)
	patient, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for range 2 * scaleStreams {
		select {
		case <-received:
		case <-patient.Done():
			require.FailNow(t, "not every stream has received its item")
		}
	}
	memory := residentMB(t, pid)
	t.Logf("%d streams in %d MB", 2*scaleStreams, memory)
	if !raceEnabled { // which needs several times the memory and is not what users run
		require.LessOrEqual(t, memory, scaleMemory)
	}
	for _, stream := range streams {
		_ = stream.Close()
	}
}

// serveProcess runs a server in a process of its own.
func serveProcess(t *testing.T, databaseURL string) (url string, pid int) {
	t.Helper()
	address := dbtest.FreeAddress(t)
	cmd := command(t, "serve", "--no-chat", "--listen", address, "--database-url", databaseURL, "--log-level", "error")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	require.Eventually(t, func() bool {
		response, err := http.Get("http://" + address + "/readyz")
		if err != nil {
			return false
		}
		return response.Body.Close() == nil && response.StatusCode == http.StatusOK
	}, time.Minute, 20*time.Millisecond)
	return "http://" + address, cmd.Process.Pid
}

func newClient(t testing.TB, server string) chatfeedv1connect.FeedServiceClient {
	t.Helper()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(transport.CloseIdleConnections)
	return chatfeedv1connect.NewFeedServiceClient(&http.Client{Transport: transport}, server)
}

// openStreams opens the streams, waits until each is up to date, and reports each item that one of them receives.
func openStreams(
	ctx context.Context, t *testing.T, client chatfeedv1connect.FeedServiceClient, workflow func(i int) string,
) (streams []*connect.ServerStreamForClient[v1.SubscribeResponse], received <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	items := make(chan struct{}, 2*scaleStreams)
	streams = make([]*connect.ServerStreamForClient[v1.SubscribeResponse], 2*scaleStreams)
	var opening, reading sync.WaitGroup
	t.Cleanup(func() { cancel(); reading.Wait() })
	for i := range streams {
		opening.Add(1)
		reading.Go(func() {
			stream, err := client.Subscribe(ctx, &v1.SubscribeRequest{Cursors: []*v1.Cursor{{WorkflowId: workflow(i)}}})
			if err != nil {
				t.Errorf("a stream does not open: %v", err)
				opening.Done()
				return
			}
			streams[i] = stream
			for first := true; stream.Receive(); first = false {
				if first {
					opening.Done()
				}
				for range stream.Msg().GetItems() {
					items <- struct{}{}
				}
			}
		})
	}
	opening.Wait()
	require.False(t, t.Failed())
	return streams, items
}

func residentMB(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(path.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		t.Log("no /proc here: the memory is not measured")
		return 0
	}
	var kB int
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			_, err := fmt.Sscanf(rest, "%d kB", &kB)
			require.NoError(t, err)
		}
	}
	return kB / 1024
}
