package rpc_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/feed"
	"chatfeed/rpc"
)

func TestAnUnchangedPollIsAnsweredWithoutABody(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{})
	d.append(t, varied("wf", "")...)
	for _, path := range []string{"/workflows/wf/chatData", "/workflows/wf/chatData?last=3", "/workflows/none/chatData?wait=1ms"} {
		poll := func(headers ...string) answer {
			got, err := do(limited(t), s.h2, http.MethodGet, s.url+path, "", headers...)
			require.NoError(t, err)
			return got
		}
		first := poll()
		tag := first.header.Get("ETag")
		require.NotEmpty(t, tag)
		require.Equal(t, "private, no-cache", first.header.Get("Cache-Control"))
		for _, had := range []string{tag, strings.TrimPrefix(tag, "W/"), `"other", ` + tag} {
			again := poll("If-None-Match", had)
			require.Equal(t, http.StatusNotModified, again.status, had)
			require.Empty(t, again.body)
			require.Equal(t, tag, again.header.Get("ETag"))
		}
		require.Equal(t, first.body, poll("If-None-Match", `"other"`).body)
	}
	poll := func(tag string) answer {
		got, err := do(limited(t), s.h1, http.MethodGet, s.url+"/workflows/wf/chatData", "", "If-None-Match", tag)
		require.NoError(t, err)
		return got
	}
	tag := poll("").header.Get("ETag")
	d.append(t, db.Log{WorkflowID: "wf", ID: "more"})
	changed := poll(tag)
	require.Equal(t, http.StatusOK, changed.status)
	d.exec(t, `delete from chatfeed.messages where workflow_id = 'wf' and id = '1'`)
	require.Equal(t, http.StatusOK, poll(changed.header.Get("ETag")).status, "an item was erased")
}

func TestWholeAnswersAreCompressedForWhoAcceptsIt(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{rpc: rpc.Config{Gate: viewer{}.gate}})
	for n := range 20 {
		d.append(t, db.Message{WorkflowID: "wf", ID: fmt.Sprint(n), Message: strings.Repeat("The sea is wide. ", 1000)})
	}
	d.append(t, db.Log{WorkflowID: "short", ID: "1"})
	read := func(workflow, accept string) (encoding, text string) {
		request, err := http.NewRequestWithContext(limited(t), http.MethodGet, s.url+"/workflows/"+workflow+"/chatData", nil)
		require.NoError(t, err)
		request.Header.Set("Accept-Encoding", accept)
		response, err := s.h1.Do(request)
		require.NoError(t, err)
		defer func() { _ = response.Body.Close() }()
		require.Equal(t, http.StatusOK, response.StatusCode)
		require.Equal(t, "application/json", response.Header.Get("Content-Type"))
		vary := strings.Join(response.Header.Values("Vary"), ",")
		require.Contains(t, vary, "Accept-Encoding")
		require.Contains(t, vary, "Authorization")
		body := io.Reader(response.Body)
		switch encoding = response.Header.Get("Content-Encoding"); encoding {
		case "gzip":
			body, err = gzip.NewReader(body)
		case "zstd":
			body, err = zstd.NewReader(body)
		}
		require.NoError(t, err)
		whole, err := io.ReadAll(body)
		require.NoError(t, err)
		return encoding, string(whole)
	}
	_, plain := read("wf", "identity")
	for accept, want := range map[string]string{"gzip": "gzip", "zstd": "zstd", "gzip, deflate, br, zstd": "zstd", "br": "", "gzip;q=0": ""} {
		encoding, text := read("wf", accept)
		require.Equal(t, want, encoding, accept)
		require.Equal(t, plain, text, accept)
		encoding, _ = read("short", accept)
		require.Empty(t, encoding, "not worth it")
	}
}

// What is cut off must not look complete, compressed or not.
func TestACompressedAnswerThatFailsIsBrokenOff(t *testing.T) {
	t.Parallel()
	pages := 0
	s := serve(t, &source{after: func(at feed.Position, _ feed.Window) (feed.Page, error) {
		if pages++; pages > 3 {
			return feed.Page{}, errInternal
		}
		body := fmt.Appendf(nil, `{"message": %q}`, strings.Repeat(time.Now().String(), 5000))
		return feed.Page{Items: []*feed.Item{{WorkflowID: "wf", ID: "1", Type: "log", CreatedAt: at.Cursor + 1, Body: body}}, More: true}, nil
	}}, config{})
	for _, client := range []*http.Client{s.h1, s.h2} {
		pages = 0
		request, err := http.NewRequestWithContext(limited(t), http.MethodGet, s.url+"/workflows/wf/chatData", nil)
		require.NoError(t, err)
		request.Header.Set("Accept-Encoding", "gzip")
		response, err := client.Do(request)
		if err != nil { // HTTP/2 may reset the stream before its headers are sent
			continue
		}
		require.Equal(t, "gzip", response.Header.Get("Content-Encoding"))
		_, err = io.Copy(io.Discard, response.Body)
		require.Error(t, err)
		require.NoError(t, response.Body.Close())
	}
}
