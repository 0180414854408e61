package feed_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"chatfeed/feed"
)

func TestAnItemIsEncodedOncePerFormatAndItsBytesAreShared(t *testing.T) {
	t.Parallel()
	item := &feed.Item{ID: "msg_1"}
	var encoded [feed.Formats]atomic.Int32
	var receivers sync.WaitGroup
	got := make([][feed.Formats][]byte, 64)
	for n := range got {
		receivers.Go(func() {
			for format := range feed.Format(feed.Formats) {
				got[n][format] = item.Encoded(format, func(i *feed.Item) []byte {
					encoded[format].Add(1)
					return append([]byte(i.ID), byte(format))
				})
			}
		})
	}
	receivers.Wait()
	for format := range feed.Formats {
		require.EqualValues(t, 1, encoded[format].Load())
		want := append([]byte("msg_1"), byte(format))
		for n := range got {
			require.Equal(t, want, got[n][format])
			require.Same(t, &got[0][format][0], &got[n][format][0])
		}
	}
}

func TestTheSizeOfAnItemIsItsBodyAndMetadata(t *testing.T) {
	t.Parallel()
	item := feed.Item{WorkflowID: "w", ID: "msg_1", Body: []byte(`{"a":1}`), Metadata: []byte(`{}`)}
	require.Equal(t, 9, item.Size())
}
