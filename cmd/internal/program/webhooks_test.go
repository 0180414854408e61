package program_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/cmd/internal/program"
	"chatfeed/db"
	"chatfeed/internal/dbtest"
)

// buried makes a database with dead letters for an endpoint, d0 the oldest.
func buried(t *testing.T, endpoint string, n int) (program.Database, *db.Webhooks) {
	t.Helper()
	address := dbtest.URL(t)
	pool, err := db.Open(t.Context(), address)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	store := db.NewWebhooks(pool)
	for i := range n {
		id := fmt.Sprint("d", i)
		require.NoError(t, store.Bury(t.Context(), db.DeadLetter{
			ID: id, WorkflowID: "wf\tone", Attempts: i, Error: "the endpoint answered 400\nBad Request",
			Request: fmt.Appendf(nil, `{"url": %q, "id": %q, "workflowId": "wf\tone", "events": [{"progress": 1}]}`, endpoint+"/hook?key=hunter2", id),
		}))
	}
	return program.Database{DatabaseURL: address}, store
}

func ids(t *testing.T, store *db.Webhooks) (all []string) {
	t.Helper()
	letters, err := store.After(t.Context(), db.DeadLetter{}, 1000)
	require.NoError(t, err)
	for _, letter := range letters {
		all = append(all, letter.ID)
	}
	return all
}

func TestDeadLettersAreListedWithoutTheKeysInTheirURLs(t *testing.T) {
	t.Parallel()
	database, _ := buried(t, "https://hooks.example", 205)
	var out bytes.Buffer
	require.NoError(t, (&program.WebhooksList{Database: database, Out: &out}).Run(t.Context()))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 206)
	require.Regexp(t, `^ID +WORKFLOW +SINCE +ATTEMPTS +URL +ERROR$`, lines[0])
	require.Regexp(t, `^d0 +wf one +20\S+Z +\? +https://hooks.example/hook +the endpoint answered 400 Bad Request$`, lines[1])
	require.Regexp(t, `^d204 +wf one +20\S+Z +204 `, lines[205])
	require.NotContains(t, out.String(), "hunter2")

	out.Reset()
	require.NoError(t, (&program.WebhooksList{Database: database, Out: &out, JSON: true}).Run(t.Context()))
	lines = strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 205)
	require.Regexp(t, `^\{"id":"d7","workflowId":"wf\\tone","url":"https://hooks.example/hook","events":1,"attempts":7,`+
		`"error":"the endpoint answered 400\\nBad Request","since":"20[^"]+Z"\}$`, lines[7])

	database, _ = buried(t, "", 0)
	out.Reset()
	require.NoError(t, (&program.WebhooksList{Database: database, Out: &out}).Run(t.Context()))
	require.Equal(t, "There are no dead letters.\n", out.String())
}

func TestDeadLettersAreDroppedByIDByAgeOrAll(t *testing.T) {
	t.Parallel()
	database, store := buried(t, "https://hooks.example", 4)
	drop := func(change func(*program.WebhooksDrop)) (string, error) {
		var out bytes.Buffer
		c := program.WebhooksDrop{Database: database, Out: &out}
		change(&c)
		err := c.Run(t.Context())
		return out.String(), err
	}
	for _, change := range []func(*program.WebhooksDrop){
		func(*program.WebhooksDrop) {},
		func(c *program.WebhooksDrop) { c.All, c.IDs = true, []string{"d1"} },
		func(c *program.WebhooksDrop) { c.All, c.OlderThan = true, time.Hour },
	} {
		_, err := drop(change)
		require.EqualError(t, err, "which deliveries? Their ids, --all or --older-than is accepted")
	}
	_, err := drop(func(c *program.WebhooksDrop) { c.OlderThan = -time.Hour })
	require.EqualError(t, err, "--older-than: is -1h0m0s; a positive time is accepted")
	out, err := drop(func(c *program.WebhooksDrop) { c.OlderThan = time.Hour })
	require.NoError(t, err)
	require.Equal(t, "dropped 0\n", out)
	out, err = drop(func(c *program.WebhooksDrop) { c.IDs = []string{"d2", "none"} })
	require.EqualError(t, err, "there is no dead letter none; chatfeed webhooks list shows those that there are")
	require.Equal(t, "dropped 1\n", out)
	require.Equal(t, []string{"d0", "d1", "d3"}, ids(t, store))
	out, err = drop(func(c *program.WebhooksDrop) { c.All = true })
	require.NoError(t, err)
	require.Equal(t, "dropped 3\n", out)
	require.Empty(t, ids(t, store))
}

func TestAReplayOfAllTriesAnEndpointThatFailsOnce(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	var status atomic.Int32
	status.Store(http.StatusServiceUnavailable)
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.WriteHeader(int(status.Load()))
	}))
	t.Cleanup(endpoint.Close)
	database, store := buried(t, endpoint.URL, 3)
	replay := func(change func(*program.WebhooksReplay)) (string, error) {
		var out bytes.Buffer
		c := program.WebhooksReplay{Database: database, Out: &out, WebhookFlags: program.WebhookFlags{
			WebhookSecret: []string{"whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 32))}, WebhookAllowPrivate: []string{"127.0.0.0/8"},
		}}
		change(&c)
		err := c.Run(t.Context())
		return out.String(), err
	}
	all := func(c *program.WebhooksReplay) { c.All = true }
	_, err := replay(func(*program.WebhooksReplay) {})
	require.EqualError(t, err, "which deliveries? Their ids or --all is accepted")
	out, err := replay(all)
	require.EqualError(t, err, "3 of 3 deliveries were not accepted, and are kept")
	require.Equal(t, "d0  failed: the endpoint answered 503 Service Unavailable\n"+
		"d1  failed: was not tried, because its endpoint has just failed\nd2  failed: was not tried, because its endpoint has just failed\n", out)
	require.EqualValues(t, 1, calls.Load())
	require.Equal(t, []string{"d0", "d1", "d2"}, ids(t, store))
	status.Store(http.StatusGone)
	out, err = replay(func(c *program.WebhooksReplay) { c.IDs = []string{"d1"} })
	require.NoError(t, err)
	require.Equal(t, "d1  dropped: the endpoint answered 410, so it wants no more deliveries\n", out)
	status.Store(http.StatusNoContent)
	out, err = replay(all)
	require.NoError(t, err)
	require.Equal(t, "d0  delivered\nd2  delivered\n", out)
	require.Empty(t, ids(t, store))
}

func TestMistakesInTheSettingsOfWebhooksAreNamedBeforeTemporalIsWaitedFor(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secrets")
	require.NoError(t, os.WriteFile(file, []byte("whsec_hunter2\n"), 0o600))
	for want, flags := range map[string]program.WebhookFlags{
		"--webhook-secret or --webhook-secret-file: secret 1 does not begin with whsec_": {WebhookSecret: []string{"hunter2"}},
		"--webhook-secret or --webhook-secret-file: secret 1 is not 24 to 64 bytes":      {WebhookSecretFile: file},
		`--webhook-allow-private: "intranet" is not a network`:                           {WebhookAllowPrivate: []string{"intranet"}},
	} {
		w := program.Worker{
			Database: program.Database{DatabaseURL: dbtest.URL(t)}, WebhookFlags: flags,
			Temporal: program.Temporal{TemporalAddress: "127.0.0.1:1"},
		}
		err := w.Run(t.Context(), slog.New(slog.DiscardHandler))
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "hunter2")
	}
}
