package e2e

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// wordy is a text whose answer takes seconds.
var wordy = strings.Repeat("The sea is wide. A river is long and slow where the land is flat. Mountains carry snow until the spring. "+
	"Towns grew where two rivers meet, because people could trade there. ", 20)

func TestAnAnswerIsStoppedAndTheChatGoesOn(t *testing.T) {
	t.Parallel()
	pool := openPool(t, shared.DatabaseURL)
	is := func(query string) func() bool {
		return func() (yes bool) {
			require.NoError(t, pool.QueryRow(t.Context(), query).Scan(&yes))
			return yes
		}
	}
	require.Equal(t, 1, start(t, "chatfeed", "stop", "wf_stop", "--server", shared.Server).ends(t), "it does not run yet")
	tail := start(t, "chatfeed", "tail", "wf_stop", "--server", shared.Server)
	require.Zero(t, start(t, "chatfeed", "send", "wf_stop", wordy, "--server", shared.Server).ends(t))
	tail.prints(t, "assistant [writing] **Summary**")
	stop := start(t, "chatfeed", "stop", "wf_stop", "--server", shared.Server)
	require.Zero(t, stop.ends(t), stop.out)
	require.Equal(t, "The answer of workflow wf_stop is being stopped.\n", stop.out.String())
	tail.prints(t, "20 % stopped")
	tail.prints(t, "[cancelled]")
	require.True(t, is(`select count(*) = 1 and bool_and(status = 'cancelled' and message like '**Summary**%' and message not like '%reading time%')
		from chatfeed.messages where workflow_id = 'wf_stop' and role = 'assistant'`)(), "what was said stands: %s", tail.out)
	require.True(t, is(`select count(*) = 0 from chatfeed.deltas where workflow_id = 'wf_stop'`)())
	require.Zero(t, start(t, "chatfeed", "send", "wf_stop", "And now?", "--server", shared.Server).ends(t))
	tail.prints(t, "100 % done")
	for line := range strings.Lines(logged.String()) { // the SDK itself warns that a heartbeat was answered with the cancellation
		require.False(t, strings.Contains(line, "wf_stop") && strings.Contains(line, "level=ERROR"), "a stop is not an error: %s", line)
	}
}

func TestACallIsApprovedOrRefusedFromTheTerminal(t *testing.T) {
	t.Parallel()
	none := start(t, "chatfeed", "approve", "wf_approve", "--server", shared.Server)
	require.Equal(t, 1, none.ends(t))
	require.Contains(t, none.out.String(), "no call of workflow wf_approve waits for approval")
	for answer, flags := range map[string][]string{
		"full_analysis [output-available]":                        nil,
		`full_analysis [output-denied] {"bytes":34600} not today`: {"--deny", "--reason", "not today"},
	} {
		t.Run(answer, func(t *testing.T) {
			t.Parallel()
			wf := "wf_approve_" + strings.Join(flags, "")
			tail := start(t, "chatfeed", "tail", wf, "--server", shared.Server)
			require.Zero(t, start(t, "chatfeed", "send", wf, strings.Repeat(wordy, 10), "--server", shared.Server).ends(t))
			tail.prints(t, "20 % waiting")
			approve := start(t, "chatfeed", append([]string{"approve", wf, "--server", shared.Server}, flags...)...)
			require.Zero(t, approve.ends(t), approve.out)
			done := map[bool]string{true: "approved", false: "denied"}[flags == nil]
			require.Regexp(t, `^Call \S+ of workflow `+wf+` is `+done+`\.\n$`, approve.out.String())
			tail.prints(t, answer)
			tail.prints(t, "100 % done")
		})
	}
}
