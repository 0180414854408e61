package rpc_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/feed"
	"chatfeed/rpc"
)

func TestAnAnswerThatIsUnchangedIsNotSentAgain(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{})
	at := d.logs(t, "wf", "1", "2", "3")
	page := func(headers ...string) answer { return s.streamWith(t, "wf", headers, "offset", at["1"]) }
	tags := map[string]bool{}
	changed := func() {
		t.Helper()
		now := page()
		tag := now.header.Get("ETag")
		require.Equal(t, http.StatusOK, now.status)
		require.Regexp(t, `^W/"[^"]+"$`, tag)
		require.False(t, tags[tag], "it has changed")
		tags[tag] = true
		require.Equal(t, "private, no-cache", now.header.Get("Cache-Control"))
		for _, match := range []string{tag, strings.TrimPrefix(tag, "W/"), `"other", ` + tag} {
			same := page("If-None-Match", match)
			require.Equal(t, http.StatusNotModified, same.status, match)
			require.Empty(t, same.body)
			require.Equal(t, tag, same.header.Get("ETag"))
			require.Equal(t, now.header.Get("Stream-Next-Offset"), same.header.Get("Stream-Next-Offset"))
		}
		for old := range tags {
			if old != tag {
				require.Equal(t, http.StatusOK, page("If-None-Match", old).status)
			}
		}
	}
	changed()
	d.logs(t, "wf", "4")
	changed()
	d.exec(t, `delete from chatfeed.logs where workflow_id = 'wf' and id = '2'`)
	changed()
	d.append(t, db.Progress{WorkflowID: "wf", ID: "end", Final: true})
	changed()
}

// A page that is followed by more has another tag than the same page at the end.
func TestATagSaysWhetherAnAnswerIsUpToDate(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{feed: feed.Config{Window: feed.Bounds{Items: 2}}})
	d.logs(t, "wf", "1", "2")
	before := s.stream(t, "wf")
	d.logs(t, "wf", "3")
	after := s.streamWith(t, "wf", []string{"If-None-Match", before.header.Get("ETag")})
	require.Equal(t, before.elements(t), after.elements(t))
	require.Equal(t, "true", before.header.Get("Stream-Up-To-Date"))
	require.Empty(t, after.header.Get("Stream-Up-To-Date"))
}

func TestTheCursorOfAStreamNeverComesTwice(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{rpc: rpc.Config{Heartbeat: 5 * time.Millisecond}})
	d.logs(t, "wf", "1")
	last, now := int64(0), (time.Now().Unix()-1728432000)/20
	for range 5 {
		got := s.stream(t, "wf", "offset", "now", "live", "long-poll", "cursor", strconv.FormatInt(last, 10))
		cursor, err := strconv.ParseInt(got.header.Get("Stream-Cursor"), 10, 64)
		require.NoError(t, err)
		require.Greater(t, cursor, last)
		require.GreaterOrEqual(t, cursor, now)
		last = cursor
	}
	for _, odd := range []string{"x", "-5", "9223372036854775807", "99999999999999999999"} {
		got := s.stream(t, "wf", "offset", "now", "live", "long-poll", "cursor", odd)
		require.Regexp(t, `^[0-9]{7,8}$`, got.header.Get("Stream-Cursor"), odd)
	}
}
