package bench

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWhatAFeedHasSentComesOutOfABaselineUnchanged(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	server, err := lab.Serve(t.Context())
	require.NoError(t, err)
	defer server.Kill()
	baseline, err := lab.Start(t.Context(), "baseline")
	require.NoError(t, err)
	defer baseline.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, format := range []Format{AsProtobuf, AsJSON, AsEvents, AsMessages} {
		workflow := "again_" + string(format)
		feed, err := OpenStream(t.Context(), server, format, workflow)
		require.NoError(t, err)
		defer feed.Close()
		defer context.AfterFunc(ctx, feed.Close)()
		require.NoError(t, Begin(t.Context(), baseline, format, workflow))
		bare, err := OpenStream(t.Context(), baseline, format, workflow)
		require.NoError(t, err)
		defer bare.Close()
		defer context.AfterFunc(ctx, bare.Close)()
		for n, more := range []int{0, 5000} { // longer than the buffers
			_, err = lab.Pool.Exec(t.Context(), "insert into chatfeed.messages (workflow_id, role, message) values ($1, 'assistant', $2)",
				workflow, Stamped(int64(n))+strings.Repeat("x", more))
			require.NoError(t, err)
			var sent []byte
			var found []int64
			for len(found) == 0 {
				sent, err = feed.Next()
				require.NoError(t, err)
				Stamps(sent, func(n int64) { found = append(found, n) })
			}
			require.Equal(t, []int64{int64(n)}, found)
			sent = slices.Clone(sent)
			require.NoError(t, Publish(t.Context(), baseline, workflow, sent))
			got, err := bare.Next()
			require.NoError(t, err)
			require.Equal(t, string(sent), string(got), format)
		}
	}
}
