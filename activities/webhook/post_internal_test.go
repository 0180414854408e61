package webhook

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAnAnswerIsAcceptedFinalOrTriedAgain(t *testing.T) {
	t.Parallel()
	for status := 200; status < 600; status++ {
		done, err := judge(&http.Response{StatusCode: status, Header: http.Header{"Retry-After": {"7"}}}, 5)
		if status < 300 {
			require.NoError(t, err)
			require.Equal(t, Delivered{After: 5}, done)
			continue
		}
		if status == 410 {
			require.NoError(t, err)
			require.Equal(t, Delivered{After: 5, Gone: true}, done)
			continue
		}
		var failure *Failure
		require.ErrorAs(t, err, &failure)
		again := status >= 500 || slices.Contains([]int{408, 425, 429}, status)
		require.Equal(t, !again, failure.Final, status)
		if again {
			require.Equal(t, 7*time.Second, failure.After)
		}
	}
}

// alone is a deliverer without a database, and the URL of an endpoint that it may call.
func alone(t *testing.T, server *httptest.Server) (*Deliverer, *url.URL) {
	t.Helper()
	key := base64.StdEncoding.EncodeToString(make([]byte, 32))
	d, err := New(Config{Secrets: []string{"whsec_" + key}, AllowPrivate: []string{"127.0.0.1"}}, nil, nil)
	require.NoError(t, err)
	t.Cleanup(d.Close)
	u, err := endpoint(server.URL)
	require.NoError(t, err)
	return d, u
}

func TestACertificateIsCheckedAndHTTP2Spoken(t *testing.T) {
	t.Parallel()
	var protocol atomic.Value
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { protocol.Store(r.Proto) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	d, u := alone(t, server)
	_, err := d.post(t.Context(), u, Request{ID: "a", Events: []Event{{}}}, 5)
	var failure *Failure
	require.ErrorAs(t, err, &failure)
	require.Contains(t, failure.Reason, "the endpoint cannot be reached: tls: failed to verify certificate")
	require.False(t, failure.Final, "certificates expire, and are renewed")

	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	d, u = alone(t, server)
	d.clients["https"].Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	done, err := d.post(t.Context(), u, Request{ID: "a", Events: []Event{{}}}, 5)
	require.NoError(t, err)
	require.Equal(t, Delivered{After: 5}, done)
	require.Equal(t, "HTTP/2.0", protocol.Load())
}

func TestAnAnswerThatDoesNotComeIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		close(ended)
	}))
	t.Cleanup(server.Close)
	d, u := alone(t, server)
	d.timeout = 200 * time.Millisecond
	_, err := d.post(t.Context(), u, Request{ID: "a", Events: []Event{{}}}, 5)
	var failure *Failure
	require.ErrorAs(t, err, &failure)
	require.Equal(t, "the endpoint did not answer within 200ms", failure.Reason)
	require.False(t, failure.Final)
	<-ended
}

func TestAReceiverSaysWhenToComeBack(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, "-7": 0, "soon": 0, "100000": time.Hour, "99999999999999": 0,
		"Sat, 31 Jan 2026 12:01:00 GMT": time.Minute, "Sat, 31 Jan 2026 11:00:00 GMT": 0, "Sat, 31 Jan 2026 18:00:00 GMT": time.Hour,
	} {
		require.Equal(t, want, retryAfter(header, now), header)
	}
}

func TestDelaysDoubleAndDiffer(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		failure     Failure
		attempt     int
		least, most time.Duration
	}{
		{Failure{}, 1, time.Second / 2, time.Second},
		{Failure{}, 2, time.Second, 2 * time.Second},
		{Failure{}, 5, 8 * time.Second, 16 * time.Second},
		{Failure{}, 13, 30 * time.Minute, time.Hour},
		{Failure{}, 100000, 30 * time.Minute, time.Hour},
		{Failure{busy: true}, 100, 30 * time.Second, time.Minute},
		{Failure{After: time.Minute}, 1, time.Minute, 66 * time.Second},
		{Failure{After: time.Second}, 5, 8 * time.Second, 16 * time.Second},
	} {
		seen := make(map[time.Duration]bool)
		for range 100 {
			delay := test.failure.delay(test.attempt)
			require.GreaterOrEqual(t, delay, test.least)
			require.LessOrEqual(t, delay, test.most)
			seen[delay] = true
		}
		require.Greater(t, len(seen), 50, "they differ")
	}
}

func TestCursorsAreSecondsWithSixDecimals(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Cursor{
		"0": 0, "1795311746.201564": 1795311746201564, "1795311746.2": 1795311746200000, "1795311746": 1795311746000000, "0.000001": 1,
	} {
		got, err := ParseCursor(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.Equal(t, text, want.String())
	}
	got, err := ParseCursor("1.0000019")
	require.NoError(t, err)
	require.Equal(t, Cursor(1000001), got)
	for _, text := range []string{"", "-1", "1e9", "1.2.3", "x", "1.x", "99999999999999999999", ".5"} {
		_, err := ParseCursor(text)
		require.Error(t, err, text)
	}
}

func TestAReasonCanBeStored(t *testing.T) {
	t.Parallel()
	require.Equal(t, "ab", printable("a\x00b"))
	require.Equal(t, strings.Repeat("x", 999), printable(strings.Repeat("x", 999)+"ä"), "not half a character")
}
