package bench

import (
	"bytes"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	v1 "chatfeed/rpc/chatfeedv1"
)

func TestFanoutComparesDeliveriesWithTheBareHandler(t *testing.T) {
	t.Parallel()
	result := runShort(t, fanout(), "streams", "workflows", "format", "deliveries_per_s", "p50_ms", "p99_ms", "max_ms",
		"baseline_p50_ms", "baseline_p99_ms", "p99_ratio", "cpu_s_per_million", "baseline_cpu_s_per_million", "cpu_ratio",
		"kib_per_stream", "baseline_kib_per_stream", "mem_ratio")
	require.True(t, result.Runs[0].Headline)
	require.Len(t, result.Runs, len(fanoutLoads(true)))
}

func TestAStampIsFoundInEveryFormat(t *testing.T) {
	t.Parallel()
	for _, format := range []Format{AsProtobuf, AsJSON, AsEvents, AsMessages} {
		var found []int64
		first, err := format.item("w", Stamped(0))
		require.NoError(t, err)
		second, err := format.item("w", Stamped(1_234_567_890))
		require.NoError(t, err)
		Stamps(append(first, second...), func(n int64) { found = append(found, n) })
		require.Equal(t, []int64{0, 1_234_567_890}, found, format)
	}
	require.Len(t, Stamped(7), textSize)
}

func TestTheBaselineStreamsWhatIsPublishedFromTheFirstFrameOn(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	server, err := lab.Start(t.Context(), "baseline")
	require.NoError(t, err)
	defer server.Kill()
	hello, err := AsProtobuf.frame(&v1.SubscribeResponse{UpToDate: true})
	require.NoError(t, err)
	require.NoError(t, publishFrames(t.Context(), server, appendFrame(nil, "w", hello)))

	began := time.Now()
	a, err := listenTo(t.Context(), server, began, AsProtobuf, slices.Repeat([]string{"w"}, 10))
	require.NoError(t, err)
	defer a.close()
	item, err := AsProtobuf.frame(&v1.SubscribeResponse{Items: []*v1.Item{message("w", sampleID, stampedNow(began))}})
	require.NoError(t, err)
	require.NoError(t, publishFrames(t.Context(), server, appendFrame(appendFrame(nil, "w", item), "v", item)))
	require.NoError(t, a.await(t.Context(), 10))
	require.ErrorContains(t, a.await(t.Context(), 9), "10 deliveries came where 9 were due")

	require.Error(t, publishFrames(t.Context(), server, []byte("w five\nxxxxx")))
}

func TestTheBaselineSendsWhatTheServerSends(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	server, err := lab.Serve(t.Context())
	require.NoError(t, err)
	defer server.Kill()
	digits := regexp.MustCompile("[0-9]+[.][0-9]+|[0-9a-f]{32}")
	for _, format := range []Format{AsEvents, AsMessages} {
		workflow := "same_" + string(format)
		conn, stream, err := openStream(t.Context(), server.URL, format, nil, workflow)
		require.NoError(t, err)
		defer func() { _ = conn.Close() }()
		_, err = lab.Pool.Exec(t.Context(), "insert into chatfeed.messages (workflow_id, role, message) values ($1, 'assistant', $2)", workflow, Stamped(5))
		require.NoError(t, err)
		var frame []byte
		for !bytes.Contains(frame, []byte(stampMark)) {
			frame, err = format.next(stream, frame)
			require.NoError(t, err)
		}
		want, err := format.item(workflow, Stamped(5))
		require.NoError(t, err)
		require.Equal(t, digits.ReplaceAllString(string(want), "x"), digits.ReplaceAllString(string(frame), "x"))
	}
}

func TestStreamsReportThatTheirServerHasEnded(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	server, err := lab.Serve(t.Context())
	require.NoError(t, err)
	a, err := listenTo(t.Context(), server, time.Now(), AsJSON, []string{"w"})
	require.NoError(t, err)
	defer a.close()
	server.Kill()
	require.ErrorContains(t, a.await(t.Context(), 1), "a stream has broken")
}
