package bench

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestStreamComparesTheRecorderWithRowsForTokensAndWholeTexts(t *testing.T) {
	t.Parallel()
	result := runShort(t, stream(), "streams", "p50_ms", "p99_ms", "max_ms", "token_p50_ms", "token_p99_ms", "whole_p50_ms", "whole_p99_ms",
		"rows_per_token", "whole_rows_per_token", "wal_bytes_per_token", "token_wal_bytes_per_token", "whole_wal_bytes_per_token",
		"wal_vs_token", "wal_vs_whole")
	require.True(t, result.Runs[1].Headline)
}

func TestSteadyMeasuresEachMinute(t *testing.T) {
	t.Parallel()
	result := runShort(t, steady(), "minute", "p50_ms", "p99_ms", "max_ms", "p99_vs_first", "server_mib")
	require.Len(t, result.Runs, 2)
}

func TestEachTokenIsDueOnceBetweenThePausesOfItsStream(t *testing.T) {
	t.Parallel()
	load := streamLoad{streams: 5, length: 12 * time.Second}
	for stream := range load.streams {
		ends := 0
		for token := range load.tokens(stream) - 1 {
			wait := load.due(stream, token+1) - load.due(stream, token)
			if load.endsAnswer(stream, token) {
				ends++
				require.Equal(t, (1+pauseTokens)*tokenEvery, wait)
			} else {
				require.Equal(t, tokenEvery, wait)
			}
		}
		require.Contains(t, []int{2, 3}, ends, "answers of 5.2 s in 12 s")
		last := load.tokens(stream) - 1
		require.True(t, load.endsAnswer(stream, last))
		require.Less(t, load.due(stream, last), load.length)
		require.GreaterOrEqual(t, load.due(stream, last+1), load.length)
	}
}
