package rpc_test

import (
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"chatfeed/db"
)

func releases(t *testing.T, tr transport, d *database) {
	s := tr.start(t, d, config{})
	subscriptions := 1
	if tr.durable {
		d.append(t, db.Log{WorkflowID: d.prefix + "a", ID: "one"}, db.Log{WorkflowID: d.prefix + "b", ID: "one"})
		subscriptions = 2
	}
	r := tr.follow(t, s, all(d.prefix+"a", d.prefix+"b"))
	r.history(t)
	ended := make(chan error, 1)
	go func() {
		_, err, _ := r.next()
		ended <- err
	}()
	s.followed(t, subscriptions)
	r.disconnect()
	s.followed(t, 0)
	require.Error(t, <-ended)
}

func drains(t *testing.T, tr transport, d *database) {
	s := tr.start(t, d, config{})
	wf := d.prefix + "wf"
	d.append(t, db.Log{WorkflowID: wf, ID: "one"})
	r := tr.follow(t, s, all(wf))
	r.history(t)
	type result struct {
		frame frame
		err   error
	}
	ended := make(chan result, 1)
	go func() {
		f, err, _ := r.next()
		ended <- result{f, err}
	}()
	s.followed(t, 1)
	s.feed.Drain()
	got := <-ended
	s.followed(t, 0)
	if tr.polls && !tr.durable { // it is answered at once
		require.NoError(t, got.err)
		requireSame(t, nil, got.frame.items)
		return
	}
	require.Equal(t, connect.CodeUnavailable, connect.CodeOf(got.err))
	require.ErrorContains(t, got.err, "subscribe again from your cursors")
	if tr.polls { // what is there can still be read
		return
	}

	again := tr.follow(t, s, all(wf))
	_, err, _ := again.next()
	require.Equal(t, connect.CodeUnavailable, connect.CodeOf(err))
}
