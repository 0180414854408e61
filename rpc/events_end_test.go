package rpc_test

import (
	"cmp"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/rpc"
)

func TestWhoResumesBehindTheEndOfClosedWorkflowsIsToldNotToComeBack(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{})
	d.append(t, db.Log{WorkflowID: "a", ID: "1"}, db.Progress{WorkflowID: "a", ID: "2", Final: true}, db.Progress{WorkflowID: "b", ID: "3", Final: true})
	for _, query := range []url.Values{{"workflow": {"a"}}, {"workflow": {"a", "b"}}, {"workflow": {"a"}, "types": {"log"}}} {
		id, ended := "", false
		for !ended { // as EventSource does, which gives up here on any other status
			response, err := request(limited(t), s.h1, eventsAddress(s, query), "Last-Event-ID", id)
			require.NoError(t, err)
			if response.StatusCode == http.StatusNoContent {
				require.NoError(t, response.Body.Close())
				break
			}
			for e, err := range eventsOf(response.Body) {
				if err != nil {
					break
				}
				id = cmp.Or(e.id, id)
				ended = e.name == "end" && id == ""
			}
			require.NoError(t, response.Body.Close())
		}
		require.False(t, ended)
	}
}

func TestWhoResumesIsAnsweredAlsoWhileTheSourceIsSilent(t *testing.T) {
	t.Parallel()
	s := serve(t, &source{hangs: true}, config{rpc: rpc.Config{Heartbeat: patience}})
	for drained := range 2 {
		response, err := request(limited(t), s.h1, eventsAddress(s, url.Values{"workflow": {"a"}}), "Last-Event-ID", "1")
		require.NoError(t, err)
		var names []string
		for e, err := range eventsOf(response.Body) {
			if err != nil {
				break
			}
			if names = append(names, e.name+e.retry); len(names) == 1 {
				s.feed.Drain()
			}
		}
		require.Equal(t, []string{"2000", "end"}, names, "%d", drained)
		require.NoError(t, response.Body.Close())
	}
}
