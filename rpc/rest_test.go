package rpc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/feed"
)

// answer is a whole HTTP response.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// get makes a request for an address, with headers as pairs of name and value.
func get(ctx context.Context, c *http.Client, address string, headers ...string) (answer, error) {
	return do(ctx, c, http.MethodGet, address, "", headers...)
}

func do(ctx context.Context, c *http.Client, method, address, body string, headers ...string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := c.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, text}, err
}

// error is a JSON error as the Connect client would give it.
func (a answer) error() error {
	var said struct{ Code, Message string }
	var code connect.Code
	if json.Unmarshal(a.body, &said) != nil || code.UnmarshalText([]byte(said.Code)) != nil {
		return fmt.Errorf("status %d, no JSON error: %q", a.status, a.body)
	}
	want := map[connect.Code]int{
		connect.CodeInvalidArgument: 400, connect.CodeUnavailable: 503, connect.CodeNotFound: 404,
		connect.CodeResourceExhausted: 429, connect.CodeUnauthenticated: 401, connect.CodePermissionDenied: 403,
	}
	if want[code] != a.status || a.header.Get("Content-Type") != "application/json" {
		return fmt.Errorf("status %d, content type %q with %q", a.status, a.header.Get("Content-Type"), a.body)
	}
	err := connect.NewError(code, fmt.Errorf("%s", said.Message))
	maps.Copy(err.Meta(), a.header)
	return err
}

// rest makes a chatData request that must succeed; the query is pairs of name and value.
func (s *server) rest(t *testing.T, workflow string, query ...string) frame {
	t.Helper()
	got, err := chatData(limited(t), s.h1, s.url, workflow, pairs(query))
	require.NoError(t, err)
	return got
}

func TestChatDataAnswersWithTheBytesOfTheContract(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{})
	d.append(t, db.Message{WorkflowID: "wf_456", ID: "msg_123", Message: "Hello world", Role: "user", Status: "first"})

	got, err := get(limited(t), s.h1, s.url+"/workflows/wf_456/chatData?afterTimestamp=1234567890.123")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, "application/json", got.header.Get("Content-Type"))
	want := `{"items": [{"type": "message", "createdAt": 1234567890.123, "item": {"id": "msg_123", "workflowId": "wf_456", ` +
		`"message": "Hello world", "role": "user", "status": "first", "_createdAt": 1234567890.123}}], "upToDate": true}`
	stamped := seconds(d.cursors(t, "wf_456")["msg_123"])
	want = strings.ReplaceAll(want, "1234567890.123", strings.TrimRight(strings.TrimRight(stamped, "0"), "."))
	require.Equal(t, want, strings.TrimSuffix(string(got.body), "\n"))
}

func TestChatDataOfAnUnknownWorkflowIsAnEmptyList(t *testing.T) {
	t.Parallel()
	s := serve(t, newDatabase(t).source(t), config{})
	got, err := get(limited(t), s.h1, s.url+"/workflows/unknown/chatData")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, `{"items": [], "upToDate": true}`, strings.TrimSpace(string(got.body)))
}

func TestChatDataWithAnInvalidTimestampReturnsAll(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{})
	var want []string
	for i := range 600 {
		want = append(want, fmt.Sprint(i+1))
	}
	// Every hundredth is larger than what the feed puts on a page.
	d.exec(t, `insert into chatfeed.messages (workflow_id, id, message)
		select 'wf', n::text, repeat('x', case when n % 100 = 7 then 300000 else 10 end) from generate_series(1, 600) n`)
	understood := []string{
		"", "?afterTimestamp", "?afterTimestamp=", "?afterTimestamp=0", "?afterTimestamp=-1", "?afterTimestamp=1e9",
		"?afterTimestamp=2026-01-01T00:00:00Z", "?afterTimestamp=%221234567890.123%22",
	}
	ignored := []string{
		"?afterTimestamp=null", "?afterTimestamp=undefined", "?afterTimestamp=NaN", "?afterTimestamp=%20", "?afterTimestamp=.",
		"?afterTimestamp=1.2.3", "?afterTimestamp=99999999999999999999999", "?afterTimestamp=yesterday",
		"?afterTimestamp=1795657040652", "?afterTimestamp=9223372036854.775807", // milliseconds, and as late as can be
	}
	for _, query := range slices.Concat(understood, ignored) {
		answer, err := get(limited(t), s.h1, s.url+"/workflows/wf/chatData"+query)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, answer.status, query)
		got, err := readREST(answer.body)
		require.NoError(t, err)
		require.True(t, got.upToDate, query)
		requireSame(t, want, ids(got.items), query)
		if slices.Contains(ignored, query) {
			require.Equal(t, "afterTimestamp", answer.header.Get("Chatfeed-Ignored"), query)
			require.Contains(t, string(answer.body), `], "upToDate": true, "ignored": ["afterTimestamp"]}`, query)
		} else {
			require.Empty(t, answer.header.Values("Chatfeed-Ignored"), query)
			require.Contains(t, string(answer.body), `], "upToDate": true}`, query)
		}
	}
}

func TestEveryWayToWriteATimestampIsTheSameCursor(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{})
	d.append(t, varied("wf", "")...)
	at := d.cursors(t, "wf")["4"]
	when := time.UnixMicro(at)
	for _, text := range []string{
		seconds(at), `"` + seconds(at) + `"`, strconv.FormatInt(at, 10) + "e-6", strconv.FormatFloat(float64(at)/1e6, 'e', -1, 64),
		when.UTC().Format(time.RFC3339Nano), when.In(time.FixedZone("", 3600)).Format(time.RFC3339Nano), seconds(at) + "999",
	} {
		requireSame(t, []string{"5", "6", "7", "8", "9"}, ids(s.rest(t, "wf", "afterTimestamp", text).items), text)
		requireSame(t, []string{"3"}, ids(s.rest(t, "wf", "beforeTimestamp", text, "limit", "1").items), text)
	}
}

func TestANumberParsedByABrowserIsTheSameMicrosecond(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{})
	d.exec(t, `insert into chatfeed.logs (workflow_id, id, message) select 'wf', n::text, '' from generate_series(1, 60) n`)
	answer, err := get(limited(t), s.h1, s.url+"/workflows/wf/chatData")
	require.NoError(t, err)
	var parsed struct {
		Items []struct {
			CreatedAt float64
			Item      struct {
				CreatedAt float64 `json:"_createdAt"`
			}
		}
	}
	require.NoError(t, json.Unmarshal(answer.body, &parsed)) // as JavaScript does, into a double
	require.Len(t, parsed.Items, 60)
	for i, one := range parsed.Items {
		require.Equal(t, one.CreatedAt, one.Item.CreatedAt) //nolint:testifylint // the same double
		got := s.rest(t, "wf", "afterTimestamp", strconv.FormatFloat(one.CreatedAt, 'f', -1, 64), "limit", "1")
		if i < 59 {
			requireSame(t, []string{fmt.Sprint(i + 2)}, ids(got.items))
		} else {
			require.Empty(t, got.items)
		}
	}
}

func TestChatDataReadsInBothDirections(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{feed: feed.Config{Window: feed.Bounds{Items: 4}}})
	items := varied("wf", "")
	d.append(t, items...)
	at := d.cursors(t, "wf")
	second := func(id string) string { return seconds(at[id]) }
	for _, c := range []struct {
		query    []string
		want     string
		upToDate bool
	}{
		{[]string{"limit", "3"}, "1 2 3", false},
		{[]string{"limit", "6"}, "1 2 3 4 5 6", false},
		{[]string{"limit", "1000"}, "1 2 3 4 5 6 7 8 9", true},
		{[]string{"limit", "3", "afterTimestamp", second("4")}, "5 6 7", false},
		{[]string{"limit", "3", "afterTimestamp", second("8")}, "9", true},
		{[]string{"afterTimestamp", second("9")}, "", true},
		{[]string{"last", "1"}, "9", false},
		{[]string{"last", "6"}, "4 5 6 7 8 9", false},
		{[]string{"last", "1000"}, "1 2 3 4 5 6 7 8 9", true},
		{[]string{"last", "6", "afterTimestamp", "null"}, "4 5 6 7 8 9", false},
		{[]string{"last", "6", "limit", "2"}, "8 9", false},
		{[]string{"last", "3", "beforeTimestamp", second("9")}, "6 7 8", false},
		{[]string{"last", "9", "beforeTimestamp", second("4")}, "1 2 3", true},
		{[]string{"limit", "2", "beforeTimestamp", second("9")}, "7 8", false},
		{[]string{"beforeTimestamp", second("4")}, "1 2 3", true},
		{[]string{"beforeTimestamp", second("9")}, "5 6 7 8", false}, // as many as the feed puts on a page
		{[]string{"beforeTimestamp", second("1")}, "", true},
		{[]string{"beforeTimestamp", "0"}, "", true},
		{[]string{"beforeTimestamp", "-5"}, "", true},
		{[]string{"beforeTimestamp", "9223372036854.775807", "last", "2"}, "8 9", false},
		{[]string{"types", "message"}, "1 5 9", true},
		{[]string{"types", "stat,progress"}, "3 4 7 8", true},
		{[]string{"types", "message", "limit", "2"}, "1 5", false},
		{[]string{"types", "message", "last", "2"}, "5 9", false},
		{[]string{"types", "log", "afterTimestamp", second("2")}, "6", true},
		{[]string{"types", "log", "beforeTimestamp", second("6")}, "2", true},
	} {
		got := s.rest(t, "wf", c.query...)
		require.Equal(t, c.want, strings.Join(ids(got.items), " "), c.query)
		require.Equal(t, c.upToDate, got.upToDate, c.query)
	}
}

func TestALongPollAnswersAsSoonAsAnItemCommits(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{})
	d.append(t, db.Log{WorkflowID: "wf", ID: "old"})
	for _, query := range [][]string{
		{"wait", "60s"},
		{"wait", "1m", "types", "message", "limit", "1"},
	} {
		stamped := d.cursors(t, "wf")
		at := int64(0)
		for _, one := range stamped {
			at = max(at, one)
		}
		got := make(chan frame, 1)
		go func() {
			defer close(got)
			answer, err := chatData(limited(t), s.h1, s.url, "wf", pairs(append(query, "afterTimestamp", seconds(at))))
			if err == nil {
				got <- answer
			}
		}()
		s.followed(t, 1)
		id := fmt.Sprint(len(query))
		d.append(t, db.Message{WorkflowID: "wf", ID: id})
		requireSame(t, []string{id}, ids((<-got).items))
		s.followed(t, 0)
	}
}

func TestALongPollWithoutItemsAnswersEmpty(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{})
	began := time.Now()
	got := s.rest(t, "wf", "wait", "300ms")
	require.GreaterOrEqual(t, time.Since(began), 300*time.Millisecond)
	require.Empty(t, got.items)
	require.True(t, got.upToDate)
	require.Zero(t, s.subscriptions())

	d.append(t, db.Log{WorkflowID: "wf", ID: "one"})
	got = s.rest(t, "wf", "wait", "60s") // existing items are returned without waiting
	requireSame(t, []string{"one"}, ids(got.items))
}

func pairs(query []string) url.Values {
	values := url.Values{}
	for i := 0; i+1 < len(query); i += 2 {
		values.Set(query[i], query[i+1])
	}
	return values
}
