package feed_test

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"chatfeed/feed"
)

// encoded is what each of many receivers is given of one item in each of the formats, all at once.
func encoded(item *feed.Item, formats ...*feed.Format) (bytes [][][]byte, errs [][]error) {
	const receivers = 64
	bytes, errs = make([][][]byte, receivers), make([][]error, receivers)
	var receiving sync.WaitGroup
	for n := range receivers {
		receiving.Go(func() {
			for _, format := range formats {
				b, err := item.Encoded(format)
				bytes[n], errs[n] = append(bytes[n], b), append(errs[n], err)
			}
		})
	}
	receiving.Wait()
	return bytes, errs
}

func TestAnItemIsEncodedOncePerFormatAndItsBytesAreShared(t *testing.T) {
	t.Parallel()
	item := &feed.Item{ID: "msg_1"}
	var formats []*feed.Format
	made := make([]atomic.Int32, 5)
	for n := range made {
		formats = append(formats, feed.NewFormat(func(i *feed.Item) ([]byte, error) {
			made[n].Add(1)
			return append([]byte(i.ID), byte(n)), nil
		}))
	}
	bytes, errs := encoded(item, formats...)
	for n := range bytes {
		for f := range formats {
			require.NoError(t, errs[n][f])
			require.Equal(t, append([]byte("msg_1"), byte(f)), bytes[n][f])
			require.Same(t, &bytes[0][f][0], &bytes[n][f][0])
			require.EqualValues(t, 1, made[f].Load())
		}
	}
}

func TestEveryReceiverGetsTheErrorOfAFailingEncoder(t *testing.T) {
	t.Parallel()
	failure := errors.New("it cannot be encoded")
	for name, c := range map[string]struct {
		encode func(*feed.Item) ([]byte, error)
		says   string
	}{
		"an error":               {func(*feed.Item) ([]byte, error) { return nil, failure }, failure.Error()},
		"a panic":                {func(*feed.Item) ([]byte, error) { panic("index out of range") }, "index out of range"},
		"an error's panic":       {func(*feed.Item) ([]byte, error) { panic(failure) }, failure.Error()},
		"nothing at all":         {func(*feed.Item) ([]byte, error) { return nil, nil }, "no bytes"},
		"no bytes":               {func(*feed.Item) ([]byte, error) { return []byte{}, nil }, "no bytes"},
		"the end of a goroutine": {func(*feed.Item) ([]byte, error) { runtime.Goexit(); return nil, nil }, "did not return"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			item := &feed.Item{ID: "msg_1"}
			fails, works := feed.NewFormat(c.encode), feed.NewFormat(func(*feed.Item) ([]byte, error) { return []byte("x"), nil })
			if name == "the end of a goroutine" { // which is that of the first who asks
				var first sync.WaitGroup
				first.Go(func() { _, _ = item.Encoded(fails) })
				first.Wait()
			}
			bytes, errs := encoded(item, fails, works)
			for n := range errs {
				require.ErrorContains(t, errs[n][0], c.says)
				require.Empty(t, bytes[n][0])
				require.NoError(t, errs[n][1], "another format is not harmed")
				require.Equal(t, []byte("x"), bytes[n][1])
			}
		})
	}
}

func TestTheSizeOfAnItemIsItsBodyAndMetadata(t *testing.T) {
	t.Parallel()
	item := feed.Item{WorkflowID: "w", ID: "msg_1", Body: []byte(`{"a":1}`), Metadata: []byte(`{}`)}
	require.Equal(t, 9, item.Size())
}

// BenchmarkEncoded is what it costs each receiver but the first to be given an item's bytes, where it has so many formats
// and the one asked for is found last.
func BenchmarkEncoded(b *testing.B) {
	for formats := 1; formats <= 3; formats++ {
		b.Run(fmt.Sprint(formats), func(b *testing.B) {
			item := &feed.Item{ID: "msg_1"}
			encode := func(i *feed.Item) ([]byte, error) { return []byte(i.ID), nil }
			first := feed.NewFormat(encode)
			_, _ = item.Encoded(first)
			for range formats - 1 {
				_, _ = item.Encoded(feed.NewFormat(encode))
			}
			b.ReportAllocs()
			for b.Loop() {
				_, _ = item.Encoded(first)
			}
		})
	}
}
