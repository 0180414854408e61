package durable

import (
	"bufio"
	"context"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/internal/dbtest"
)

// limit bounds what must happen, on a machine that runs many tests at once.
const limit = time.Minute

func TestTheOfficialClientFollowsAWorkflowAcrossARestart(t *testing.T) {
	t.Parallel()
	folder := node(t)
	for _, live := range []string{"long-poll", "sse"} {
		t.Run(live, func(t *testing.T) {
			t.Parallel()
			pool := dbtest.Pool(t)
			n := 0
			log := func() string {
				n++
				require.NoError(t, write(t.Context(), pool, db.Log{WorkflowID: "wf", ID: strconv.Itoa(n), Level: "info"}))
				return strconv.Itoa(n)
			}
			want := []string{log()}
			whole := func(h http.Handler) http.Handler { return h }
			url, stop := serve(t, pool, "127.0.0.1:0", whole)

			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			client := exec.CommandContext(ctx, "node", "follow.mjs", url+"/v1/stream/workflows/wf", live)
			client.Dir = folder
			errors := new(strings.Builder)
			client.Stderr = errors
			out, err := client.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, client.Start())
			lines := bufio.NewScanner(out)
			prints := func(want string) {
				t.Helper()
				require.True(t, lines.Scan(), "it has ended: %s", errors)
				require.Equal(t, want, lines.Text())
			}
			prints(want[0])
			prints(log())
			prints(log())
			stop()
			missed := []string{log(), log()}
			_, stop = serve(t, pool, strings.TrimPrefix(url, "http://"), whole)
			defer func() { stop() }()
			prints(missed[0])
			prints(missed[1])
			prints(log())
			require.NoError(t, write(t.Context(), pool, db.Progress{WorkflowID: "wf", ID: "end", Progress: 100, Final: true}))
			prints("end")
			prints("closed")
			require.NoError(t, client.Wait(), "%s", errors)
		})
	}
}
