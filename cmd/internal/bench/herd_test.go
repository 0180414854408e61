package bench

import (
	"testing"

	"github.com/stretchr/testify/require"

	v1 "chatfeed/rpc/chatfeedv1"
)

func TestReconnectingClientsLoseNothing(t *testing.T) {
	t.Parallel()
	result := runShort(t, herd(), "streams", "workflows", "seconds", "baseline_seconds", "seconds_ratio", "catchup_queries",
		"items", "p50_ms", "p99_ms", "max_ms")
	require.True(t, result.Runs[0].Headline)
	values := map[string]float64{}
	for _, value := range result.Runs[0].Values {
		values[value.Key] = value.Number
	}
	size := sizeOfHerd(true)
	require.InDelta(t, float64(size.workflows*herdStreams), values["streams"], 0)
	lacking := size.history + size.workflows*(5+40+herdStreams*size.missed) // one stream has nothing at all
	require.Contains(t, []float64{float64(lacking), float64(lacking + size.missed)}, values["items"], "the history grows from turn to turn")
}

func TestAClientDetectsLostRepeatedAndForeignItems(t *testing.T) {
	t.Parallel()
	items := func(numbers ...int) []*v1.Item {
		var items []*v1.Item
		for _, n := range numbers {
			items = append(items, message("w", itemID(n), Stamped(int64(n))))
		}
		return items
	}
	client := func() *herdClient { return &herdClient{workflow: "w", next: 5, end: 8} }
	require.NoError(t, client().take(items(5, 6, 7)))
	for name, wrong := range map[string][]*v1.Item{
		"lost": items(5, 7), "lost first": items(6), "repeated": items(5, 5), "out of order": items(6, 5), "had before": items(4),
		"not written": items(5, 6, 7, 8), "another workflow's": {message("v", itemID(5), "")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.ErrorAs(t, client().take(wrong), new(*strayError))
		})
	}
}
