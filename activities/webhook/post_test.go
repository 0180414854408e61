package webhook_test

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/activities/webhook"
	"chatfeed/db"
)

func TestADeliveryIsSignedByEverySecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback(secret("a"), secret("b"), "127.0.0.1="+secret("c"), "hooks.example="+secret("d")))
	r := newReceiver(t, nil)
	_, err := w.Post(t.Context(), request(r.URL, "msg_1"))
	require.NoError(t, err)
	own := r.deliveries()[0]
	require.NoError(t, verify(t, secret("c"), own), "the host has a secret of its own")
	for _, other := range []string{"a", "b", "d"} {
		require.Error(t, verify(t, secret(other), own), "and so no signature that others could have made")
	}
	require.Equal(t, "msg_1", own.id())
	require.Equal(t, "application/json", own.header.Get("Content-Type"))

	both := newWorld(t, loopback(secret("a"), secret("b")))
	_, err = both.Post(t.Context(), request(r.URL, "msg_2"))
	require.NoError(t, err)
	rotated := r.deliveries()[1]
	require.NoError(t, verify(t, secret("a"), rotated))
	require.NoError(t, verify(t, secret("b"), rotated))
	require.Error(t, verify(t, secret("c"), rotated))
	require.Len(t, strings.Fields(rotated.header.Get("webhook-signature")), 2)
	rotated.body += " "
	require.Error(t, verify(t, secret("a"), rotated), "a changed body")

	none := newWorld(t, loopback("hooks.example="+secret("d")))
	_, err = none.Post(t.Context(), request(r.URL, "msg_3"))
	require.EqualError(t, err, "the worker has no secret for 127.0.0.1; --webhook-secret adds one")
	require.Len(t, r.deliveries(), 2)
}

func TestSettingsThatAreInvalidAreNamedWithoutTheSecret(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		config webhook.Config
		want   string
	}{
		{webhook.Config{Secrets: []string{"hunter2hunter2"}}, "webhook: Config.Secrets: secret 1 does not begin with whsec_"},
		{webhook.Config{Secrets: []string{secret("a"), "whsec_hunter2"}}, "webhook: Config.Secrets: secret 2 is not 24 to 64 bytes in base64"},
		{webhook.Config{Secrets: []string{"whsec_aHVudGVyMg=="}}, "is not 24 to 64 bytes"},
		{webhook.Config{Secrets: []string{"=whsec_hunter2"}}, "does not begin with whsec_"},
		{webhook.Config{Secrets: []string{"a.example=hunter2"}}, "does not begin with whsec_"},
		{webhook.Config{AllowPrivate: []string{"10.0.0.0/8", "intranet"}}, `webhook: Config.AllowPrivate: "intranet" is not a network`},
	} {
		_, err := webhook.New(test.config, nil, nil)
		require.ErrorContains(t, err, test.want)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

// The receiver of a redirect listens on another loopback address, which is private as any other that is not allowed.
func TestARedirectToAPrivateAddressIsRefused(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.2:0")
	require.NoError(t, err)
	var reached sync.Map
	private := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store("reached", true) })}
	var serving sync.WaitGroup
	serving.Go(func() { _ = private.Serve(listener) })
	t.Cleanup(func() { _ = private.Close(); serving.Wait() })
	w := newWorld(t, loopback(secret("a")))
	for _, status := range []int{301, 302, 303, 307, 308} {
		r := newReceiver(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://"+listener.Addr().String())
			w.WriteHeader(status)
		})
		_, err := w.Post(t.Context(), request(r.URL, "msg_1"))
		var failure *webhook.Failure
		require.ErrorAs(t, err, &failure)
		require.True(t, failure.Final)
		require.Contains(t, failure.Reason, "redirects are not followed")
	}
	_, err = w.Post(t.Context(), request("http://"+listener.Addr().String(), "msg_2"))
	requireRefused(t, err, "its address is private, local or reserved")
	_, ok := reached.Load("reached")
	require.False(t, ok)
}

func requireRefused(t *testing.T, err error, why string) {
	t.Helper()
	var failure *webhook.Failure
	require.ErrorAs(t, err, &failure)
	require.True(t, failure.Final)
	require.Contains(t, failure.Reason, "the endpoint is refused: "+why)
}

func TestANameOfAPrivateAddressIsRefusedWhenItIsConnectedTo(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	_, port, err := net.SplitHostPort(r.Listener.Addr().String())
	require.NoError(t, err)
	strict := newWorld(t, webhook.Config{Secrets: []string{secret("a")}, AllowPrivate: []string{"10.0.0.0/8"}})
	for _, host := range []string{"localhost", "127.0.0.1", "[::ffff:127.0.0.1]", "[::1]", "0.0.0.0", "2130706433", "0x7f000001", "127.1"} {
		for _, scheme := range []string{"http", "https"} {
			_, err := strict.Post(t.Context(), request(scheme+"://"+host+":"+port+"/hook?key=hunter2", "msg_1"))
			require.Error(t, err, host)
			require.NotContains(t, err.Error(), "hunter2")
			if host == "localhost" || host[0] == '[' || host == "127.0.0.1" {
				requireRefused(t, err, "its address is private, local or reserved")
			}
		}
	}
	require.Empty(t, r.deliveries())
}

func TestAnErrorDoesNotRepeatTheURL(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	w := newWorld(t, loopback(secret("a")))
	_, err = w.Post(t.Context(), request("http://"+listener.Addr().String()+"/hook?key=hunter2", "msg_1"))
	var failure *webhook.Failure
	require.ErrorAs(t, err, &failure)
	require.False(t, failure.Final, "the receiver may be restarting")
	require.Contains(t, failure.Reason, "connection refused")
	require.NotContains(t, failure.Reason, "hunter2")
}

func TestALongAnswerIsNotReadToItsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback(secret("a")))
	written := make(chan int, 1)
	r := newReceiver(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		n := 0
		for r.Context().Err() == nil && n < 1<<30 {
			m, err := io.WriteString(w, strings.Repeat("x", 1<<10))
			n += m
			if err != nil {
				break
			}
		}
		written <- n
	})
	_, err := w.Post(t.Context(), request(r.URL, "msg_1"))
	require.NoError(t, err)
	require.Less(t, <-written, 1<<29)
}

func TestTheFeedHasTheEventsBeforeTheReceiverAndTheCursorsJoin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback(secret("a")))
	r := newReceiver(t, nil)
	at := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	_, err := w.writer.Write(t.Context(), db.Progress{WorkflowID: "wf", ID: "own", Progress: 1, Status: "recorded before"})
	require.NoError(t, err)
	first, err := w.Post(t.Context(), request(r.URL, "msg_1", webhook.Event{ID: "own", Progress: 1, Status: "recorded before", At: at},
		webhook.Event{Progress: 2, Status: "two", Result: "so far"}))
	require.NoError(t, err)
	next := request(r.URL, "msg_2", webhook.Event{Progress: 100, Final: true, At: at})
	next.Before = first.After
	second, err := w.Post(t.Context(), next)
	require.NoError(t, err)
	again, err := w.Post(t.Context(), next)
	require.NoError(t, err, "a final item does not keep a delivery from being repeated")
	require.Equal(t, second, again)

	require.Equal(t, []string{"1 recorded before  false", "2 two so far false", "100   true"}, w.column(t,
		`select concat_ws(' ', progress, status, result, final::text) from chatfeed.progress order by "_createdAt"`))
	stamps := w.column(t, `select (extract(epoch from "_createdAt") * 1000000)::bigint::text from chatfeed.progress order by "_createdAt"`)
	all := r.deliveries()
	require.Len(t, all, 3)
	require.Equal(t, all[1].body, all[2].body, "the same in each attempt")
	for i, want := range []webhook.Data{{Before: 0, After: first.After}, {Before: first.After, After: second.After}} {
		got := all[i].payload
		require.Equal(t, "workflow.progress", got.Type)
		require.Equal(t, "wf", got.Data.WorkflowID)
		require.Equal(t, want.Before, got.Data.Before)
		require.Equal(t, want.After, got.Data.After)
	}
	require.Equal(t, stamps[1:], []string{micros(first.After), micros(second.After)})
	require.Equal(t, at, all[1].payload.Timestamp)
	require.Equal(t, []webhook.Event{
		{ID: "own", Progress: 1, Status: "recorded before", At: at},
		{
			ID: w.column(t, `select id from chatfeed.progress where progress = 2`)[0], Progress: 2, Status: "two", Result: "so far",
			At: time.UnixMicro(int64(first.After)).UTC(),
		},
	}, all[0].payload.Data.Events)

	late := request(r.URL, "msg_3")
	_, err = w.Post(t.Context(), late)
	var failure *webhook.Failure
	require.ErrorAs(t, err, &failure)
	require.True(t, failure.Final)
	require.Contains(t, failure.Reason, "the workflow is closed")
	require.Len(t, r.deliveries(), 3)
}

func micros(c webhook.Cursor) string { return strconv.FormatInt(int64(c), 10) }
