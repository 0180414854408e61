package rpc_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"chatfeed/db"
)

// A client that changes the transport after every few items, each time with the cursor that it has.
func TestAClientThatChangesTheTransportAtRandomMissesNothing(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	plain, secure := serve(t, d.source(t), config{}), serve(t, d.source(t), config{tls: true})
	const total = 10_000
	writing := make(chan struct{})
	go func() {
		defer close(writing)
		for n := 0; n < total; {
			var items []db.Item
			for range min(1+rand.IntN(100), total-n) {
				items = append(items, db.Log{WorkflowID: "w", ID: fmt.Sprint(n)})
				n++
			}
			d.append(t, items...)
		}
	}()
	cursor, changes := int64(0), 0
	var order []int
	for n := 0; n < total; changes++ {
		if changes%len(transports) == 0 {
			order = rand.Perm(len(transports))
		}
		tr := transports[order[changes%len(transports)]]
		s := plain
		if tr.tls {
			s = secure
		}
		r := tr.follow(t, s, follow{from: []from{{workflow: "w", after: cursor}}})
		for _, one := range few(r.items(t, 1)) {
			require.Equal(t, fmt.Sprint(n), one.ID, tr.name)
			cursor = one.At
			n++
		}
		r.disconnect()
	}
	<-writing
	require.Greater(t, changes, total/maxFew)
}

const maxFew = 300

// few returns the first few items at random, as if the connection had broken after them.
func few(items []item) []item { return items[:1+rand.IntN(min(len(items), maxFew))] }
