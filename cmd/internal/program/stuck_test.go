package program_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"chatfeed/cmd/internal/program"
	"chatfeed/db"
	"chatfeed/internal/dbtest"
)

// stuckClients are requests that keep a connection open and then do nothing.
func stuckClients(t *testing.T) map[string]string {
	t.Helper()
	const call = "/chatfeed.v1.FeedService/GetChatData"
	get := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: server\r\n\r\n" }
	return map[string]string{
		"says nothing":                      "",
		"half a header":                     "GET /events HTTP/1.1\r\nHost:",
		"half a body":                       "POST " + call + " HTTP/1.1\r\nHost: server\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{",
		"half a body that nobody reads":     "POST /nowhere HTTP/1.1\r\nHost: server\r\nContent-Length: 99\r\n\r\n{",
		"half a body over h2c":              overHTTP2(t, "POST", call, "{"),
		"reads no stream":                   get("/workflows/large/events"),
		"reads no stream over h2c":          overHTTP2(t, "GET", "/workflows/large/events", ""),
		"reads no answer":                   get("/workflows/large/chatData?afterTimestamp=0"),
		"reads no answer over h2c":          overHTTP2(t, "GET", "/workflows/large/chatData?afterTimestamp=0", ""),
		"waits for a long poll":             get("/workflows/none/chatData?afterTimestamp=0&wait=20s"),
		"follows":                           get("/workflows/none/events"),
		"follows over h2c":                  overHTTP2(t, "GET", "/workflows/none/events", ""),
		"the preface of HTTP/2 and no more": http2.ClientPreface,
	}
}

// overHTTP2 is a request from a client that has opened the largest windows there are. It has no end where it has a body.
func overHTTP2(t *testing.T, method, path, body string) string {
	t.Helper()
	var block, sent strings.Builder
	encoder := hpack.NewEncoder(&block)
	for _, field := range [][2]string{
		{":method", method}, {":scheme", "http"}, {":authority", "server"}, {":path", path}, {"content-type", "application/json"},
	} {
		require.NoError(t, encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}))
	}
	framer := http2.NewFramer(&sent, nil)
	require.NoError(t, framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1}))
	require.NoError(t, framer.WriteWindowUpdate(0, 1<<31-1-65535))
	require.NoError(t, framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: 1, BlockFragment: []byte(block.String()), EndHeaders: true, EndStream: body == "",
	}))
	if body != "" {
		require.NoError(t, framer.WriteData(1, false, []byte(body)))
	}
	return http2.ClientPreface + sent.String()
}

// With any kind and number of stuck clients, a server stops in time without an error,
// and is healthy until then.
func TestAServerWithStuckClientsStaysHealthyAndStopsInTime(t *testing.T) {
	t.Parallel()
	address := dbtest.URL(t)
	pool, err := db.Open(t.Context(), address)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	for i := range 3 { // more than the buffers of a connection take
		require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			var items []db.Item
			for j := range 15 {
				items = append(items, db.Message{WorkflowID: "large", ID: fmt.Sprint(i, j), Message: strings.Repeat("x", 1_000_000)})
			}
			_, err := db.Append(t.Context(), tx, items...)
			return err
		}))
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	defer cancel()
	started, ended := make(chan net.Addr, 1), make(chan error, 1)
	server := program.Serve{
		Database: program.Database{DatabaseURL: address}, Listen: "127.0.0.1:0", NoChat: true,
		Started: func(address net.Addr) { started <- address },
	}
	go func() { ended <- server.Run(ctx, slog.New(slog.DiscardHandler)) }()
	serving := (<-started).String()

	dialer := net.Dialer{}
	for name, sends := range stuckClients(t) {
		for range 5 {
			conn, err := dialer.DialContext(t.Context(), "tcp", serving)
			require.NoError(t, err, name)
			t.Cleanup(func() { _ = conn.Close() })
			_, err = conn.Write([]byte(sends))
			require.NoError(t, err, name)
		}
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	for range 50 {
		response, err := client.Get("http://" + serving + "/healthz")
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusOK, response.StatusCode)
	}
	begun := time.Now()
	limit, stopLimit := context.WithTimeout(t.Context(), time.Minute)
	defer stopLimit()
	cancel()
	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-limit.Done():
		require.FailNow(t, "it does not stop")
	}
	t.Logf("stopped after %v", time.Since(begun))
	require.Less(t, time.Since(begun), 20*time.Second)
}
