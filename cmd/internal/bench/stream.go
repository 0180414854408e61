package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// stream measures messages that are followed while a model writes them.
func stream() Scenario {
	return Scenario{
		Name:  "stream",
		Title: "Messages while they are written",
		About: `Each stream is a model that writes 50 tokens of 5 characters a second into a workflow of its own, in answers of 250
tokens with a pause of 0.2 s after each, and a Connect client that follows the workflow and folds what it receives. Streams begin
at different places of an answer. The server is a process of its own; the models and the clients share another. All write through
one ` + "`db.Writer`" + `. Three ways to write take turns of ten seconds:

- **chatfeed** is ` + "`activities.Recorder`" + `: what has been written within 50 ms is a delta, and the message at the end deletes its
  deltas. Its figures have no prefix.
- **token**: each token is a delta of its own, which is durable before the next one is written.
- **whole**: every 50 ms a row has the whole text so far; at the client it replaces the one before.

p50 and p99 are milliseconds from when a token was due until the client has folded it, so that a token that had to wait for the
load itself counts as well; they are medians of the turns, and max is over all turns. ` + "`rows_per_token`" + ` counts what was
written, and ` + "`wal_bytes_per_token`" + ` how far PostgreSQL's log has moved, for deletes and everything else too.`,
		Run: runStream,
	}
}

// streamLoad is a number of streams, and how long their models write.
type streamLoad struct {
	streams int
	length  time.Duration
}

const (
	tokenEvery   = 20 * time.Millisecond
	answerTokens = 250
	pauseTokens  = 10      // the tokens that a model could have written between two answers
	tokenText    = " word" // ASCII, so that characters are bytes
)

// due is when a token of a stream is to be written, since the start. Tokens are numbered over all answers of the stream.
func (l streamLoad) due(stream, token int) time.Duration {
	pauses := (l.firstToken(stream) + token) / answerTokens
	interleave := tokenEvery * time.Duration(stream) / time.Duration(l.streams)
	return interleave + time.Duration(token+pauses*pauseTokens)*tokenEvery
}

// firstToken is the place in an answer at which a stream begins.
func (l streamLoad) firstToken(stream int) int { return stream * answerTokens / l.streams }

// tokens is how many tokens a stream writes.
func (l streamLoad) tokens(stream int) int {
	n := int(l.length / tokenEvery)
	for l.due(stream, n-1) >= l.length {
		n--
	}
	return n
}

// endsAnswer reports whether a token is the last of its answer.
func (l streamLoad) endsAnswer(stream, token int) bool {
	return (l.firstToken(stream)+token+1)%answerTokens == 0 || token+1 == l.tokens(stream)
}

// streamTurn is what was measured in a turn.
type streamTurn struct {
	latency       *histogram
	tokens        int
	rows          int64
	walBytes      float64
	perPeriod     []*histogram // of the periods of the turn in which tokens were due
	residentAfter []int        // KiB of the server at the end of each period
}

func runStream(ctx context.Context, lab *Lab) (*Result, error) {
	counts, length, rounds := []int{1, 100, 500}, 10*time.Second, 3
	if lab.Short {
		counts, length, rounds = []int{1, 5}, 600*time.Millisecond, 1
	}
	server, err := lab.Serve(ctx)
	if err != nil {
		return nil, err
	}
	defer server.Kill()
	result := &Result{}
	chart := Plot{
		Name: "stream", Title: "From a token to the client that shows it", X: "streams of 50 tokens a second", Y: "milliseconds", Log: true,
		Series: []Series{
			{Name: "chatfeed p50"}, {Name: "chatfeed p99"}, {Name: "a row for each token, p99"}, {Name: "the whole text each time, p99"},
		},
	}
	for i, streams := range counts {
		ways := make(map[streamWay]*streamTurns)
		for round := range rounds {
			for _, way := range []streamWay{byRecorder, byToken, byWhole} {
				lab.Progress("stream: %d streams, round %d of %d, %s", streams, round+1, rounds, way)
				turn, err := lab.streamTurn(ctx, server, way, streamLoad{streams, length}, length)
				if err != nil {
					return nil, fmt.Errorf("%d streams, %s: %w", streams, way, err)
				}
				if ways[way] == nil {
					ways[way] = new(streamTurns)
				}
				ways[way].add(turn)
			}
		}
		ours, token, whole := ways[byRecorder], ways[byToken], ways[byWhole]
		result.Runs = append(result.Runs, Run{Headline: i == len(counts)-1, Values: []Value{
			{Key: "streams", Number: float64(streams)},
			{Key: "p50_ms", Number: ours.latency.ms(50)},
			{Key: "p99_ms", Number: ours.latency.ms(99)},
			{Key: "max_ms", Number: ours.latency.max()},
			{Key: "token_p50_ms", Number: token.latency.ms(50)},
			{Key: "token_p99_ms", Number: token.latency.ms(99)},
			{Key: "whole_p50_ms", Number: whole.latency.ms(50)},
			{Key: "whole_p99_ms", Number: whole.latency.ms(99)},
			{Key: "rows_per_token", Number: ours.perToken(ours.rows)},
			{Key: "whole_rows_per_token", Number: whole.perToken(whole.rows)},
			{Key: "wal_bytes_per_token", Number: ours.perToken(ours.walBytes)},
			{Key: "token_wal_bytes_per_token", Number: token.perToken(token.walBytes)},
			{Key: "whole_wal_bytes_per_token", Number: whole.perToken(whole.walBytes)},
			{Key: "wal_vs_token", Number: ours.perToken(ours.walBytes) / token.perToken(token.walBytes)},
			{Key: "wal_vs_whole", Number: ours.perToken(ours.walBytes) / whole.perToken(whole.walBytes)},
		}})
		chart.Labels = append(chart.Labels, strconv.Itoa(streams))
		for i, ms := range []float64{ours.latency.ms(50), ours.latency.ms(99), token.latency.ms(99), whole.latency.ms(99)} {
			chart.Series[i].Values = append(chart.Series[i].Values, ms)
		}
	}
	result.Plots = []Plot{chart}
	return result, nil
}

// streamTurns is what was measured in the turns of one way.
type streamTurns struct {
	latency                turns
	tokens, rows, walBytes float64
}

func (t *streamTurns) add(turn streamTurn) {
	t.latency = append(t.latency, turn.latency)
	t.tokens += float64(turn.tokens)
	t.rows += float64(turn.rows)
	t.walBytes += turn.walBytes
}

func (t *streamTurns) perToken(total float64) float64 { return total / t.tokens }

// steady measures whether streams become slower, or the server larger, with time.
func steady() Scenario {
	return Scenario{
		Name:  "steady",
		Title: "500 messages at once, for five minutes",
		About: `500 streams as above, written by ` + "`activities.Recorder`" + ` for five minutes without a break. The figures are of the tokens
that were due in each minute; ` + "`p99_vs_first`" + ` is the p99 by that of the first minute, which is the baseline, and ` +
			"`server_mib`" + ` is the resident memory of the server process at the end of the minute.`,
		Run: runSteady,
	}
}

func runSteady(ctx context.Context, lab *Lab) (*Result, error) {
	streams, minutes, minute := 500, 5, time.Minute
	if lab.Short {
		streams, minutes, minute = 5, 2, time.Second
	}
	server, err := lab.Serve(ctx)
	if err != nil {
		return nil, err
	}
	defer server.Kill()
	lab.Progress("steady: %d streams for %d minutes", streams, minutes)
	turn, err := lab.streamTurn(ctx, server, byRecorder, streamLoad{streams, time.Duration(minutes) * minute}, minute)
	if err != nil {
		return nil, err
	}
	if len(turn.residentAfter) != minutes {
		return nil, errors.New("the memory of the server was not measured in each minute")
	}
	result := &Result{}
	chart := Plot{
		Name: "steady", Title: "500 messages at once", X: "minute", Y: "milliseconds; MiB",
		Series: []Series{{Name: "p50"}, {Name: "p99"}, {Name: "memory of the server"}},
	}
	for i, times := range turn.perPeriod {
		mib := float64(turn.residentAfter[i]) / 1024
		result.Runs = append(result.Runs, Run{Headline: i == minutes-1, Values: []Value{
			{Key: "minute", Number: float64(i + 1)},
			{Key: "p50_ms", Number: times.ms(50)},
			{Key: "p99_ms", Number: times.ms(99)},
			{Key: "max_ms", Number: times.ms(100)},
			{Key: "p99_vs_first", Number: times.ms(99) / turn.perPeriod[0].ms(99)},
			{Key: "server_mib", Number: mib},
		}})
		chart.Labels = append(chart.Labels, strconv.Itoa(i+1))
		for s, value := range []float64{times.ms(50), times.ms(99), mib} {
			chart.Series[s].Values = append(chart.Series[s].Values, value)
		}
	}
	result.Plots = []Plot{chart}
	return result, nil
}
