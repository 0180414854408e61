package e2e

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"chatfeed/cmd/internal/audit"
	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

var (
	long = flag.Bool("long", false, "kill parts of the stack again and again, several at once, too")
	seed = flag.Uint64("seed", 0, "of the random moments and choices of the tests with kills; 0 takes another each time")
)

// The chats of a turn, after which the next part is killed.
const (
	chatsPerTurn    = 2
	messagesPerChat = 5
)

// TestEveryMessageIsAnsweredOnceWhicheverPartIsKilled kills the parts in turn, each while people chat with workflows that
// are new then, and goes on to the next turn as soon as the part serves again.
func TestEveryMessageIsAnsweredOnceWhicheverPartIsKilled(t *testing.T) {
	t.Parallel()
	random := newRandom(t)
	s := startParts(t)
	turns := turnsOf(s, random)
	chats := make([][]*chat, len(turns))
	var all []*chat
	var workflows []string
	for i := range turns {
		chats[i] = newChats(i)
		all = append(all, chats[i]...)
		workflows = append(workflows, names(chats[i])...)
	}
	pool := openPool(t, s.databaseURL)
	audited, err := audit.Start(t.Context(), audit.Config{
		Server: s.serverURL, Pool: pool, Workflows: workflows, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	waitFor(t, func() bool { return audited.Progress().Streams > 0 }, "the audit to follow")
	people, ctx := errgroup.WithContext(t.Context())
	t.Cleanup(func() { _ = people.Wait() })

	begin := time.Now()
	for i, killed := range turns {
		for _, c := range chats[i] {
			own := rand.New(rand.NewPCG(random.Uint64(), 0))
			people.Go(func() error { return c.hold(ctx, s.serverURL, own) })
		}
		rounds, percent := random.IntN(messagesPerChat/2), []float64{0, 20}[random.IntN(2)]
		waitFor(t, func() bool { return hasCome(t, pool, chats[i][0].workflow, rounds, percent) }, "the moment to kill")
		for _, p := range killed {
			p.kill()
		}
		at := time.Now()
		<-time.After(time.Duration(random.IntN(500)) * time.Millisecond) //nolint:forbidigo // it stays away for a while
		random.Shuffle(len(killed), func(i, j int) { killed[i], killed[j] = killed[j], killed[i] })
		for _, p := range killed {
			p.start()
		}
		for _, p := range killed {
			p.ready()
		}
		pool.Reset() // lest it has connections that PostgreSQL has dropped
		in := midRound(t, pool, names(chats[i]), at)
		require.Positive(t, in, "%v killed in mid-round", named(killed))
		t.Logf("%6.2f s: killed %v while %d rounds were under way; back after %.2f s",
			at.Sub(begin).Seconds(), named(killed), in, time.Since(at).Seconds())
	}
	require.NoError(t, people.Wait())
	t.Logf("%6.2f s: every message has been taken", time.Since(begin).Seconds())
	require.Eventually(t, func() bool {
		var done int
		err := pool.QueryRow(t.Context(), `select count(*) from chatfeed.progress where progress = 100`).Scan(&done)
		return err == nil && done >= len(all)*messagesPerChat
	}, 3*time.Minute, 20*time.Millisecond, "every message to be answered")
	t.Logf("%6.2f s: every message has been answered", time.Since(begin).Seconds())

	for _, c := range all {
		require.Equal(t, c.record(), recorded(t, pool, c.workflow), "each message is answered once, in order")
	}
	report, err := audited.Finish(t.Context())
	require.NoError(t, err)
	require.True(t, report.Clean(), "findings: %+v, unproven: %q", report.Findings, report.Unproven)
	require.Equal(t, len(all)*messagesPerChat*itemsPerRound, report.Items)
	require.Positive(t, report.Reconnects, "streams have broken")
	t.Logf("%6.2f s: %d items to each of %d clients in all, %d reconnects, nothing lost, repeated or in disorder",
		time.Since(begin).Seconds(), report.Items, report.Clients, report.Reconnects)
	for _, p := range s.all {
		p.requireAlive(t)
	}
}

// turnsOf says what is killed in each turn: every part once; in the long form further turns with several at once.
func turnsOf(s *parts, random *rand.Rand) [][]*part {
	var turns [][]*part
	add := func(most int) {
		for _, i := range random.Perm(len(s.all)) {
			killed := []*part{s.all[i]}
			for len(killed) < most {
				killed = append(killed, s.all[(i+len(killed))%len(s.all)])
			}
			turns = append(turns, killed)
		}
	}
	add(1)
	if *long {
		add(2)
		add(3)
		add(len(s.all))
	}
	return turns
}

func newRandom(t *testing.T) *rand.Rand {
	t.Helper()
	chosen := *seed
	for chosen == 0 {
		chosen = rand.Uint64()
	}
	t.Logf("-seed %d", chosen)
	return rand.New(rand.NewPCG(chosen, 0))
}

func named(killed []*part) []string {
	found := make([]string, len(killed))
	for i, p := range killed {
		found[i] = p.name
	}
	return found
}

// chat is what one person says to one workflow.
type chat struct {
	workflow string
	ids      []string // of the messages
}

func newChats(turn int) []*chat {
	chats := make([]*chat, chatsPerTurn)
	for i := range chats {
		chats[i] = &chat{workflow: fmt.Sprintf("wf_turn_%d_%d", turn, i)}
		for n := range messagesPerChat {
			chats[i].ids = append(chats[i].ids, fmt.Sprintf("said_%d", n))
		}
	}
	return chats
}

func names(chats []*chat) []string {
	found := make([]string, len(chats))
	for i, c := range chats {
		found[i] = c.workflow
	}
	return found
}

// hold sends the messages one after the other, each until it has been taken, and some of them once more.
func (c *chat) hold(ctx context.Context, server string, random *rand.Rand) error {
	service := chatfeedv1connect.NewChatServiceClient(http.DefaultClient, server)
	for _, id := range c.ids {
		for wanted := 1 + random.IntN(2); wanted > 0; {
			try, cancel := context.WithTimeout(ctx, 5*time.Second)
			_, err := service.SendMessage(try, &v1.SendMessageRequest{
				WorkflowId: c.workflow, Id: id, Text: "The workers come and go. What was said stays said: " + id + ".",
			})
			cancel()
			if err == nil {
				wanted--
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("send %s to %s: %w", id, c.workflow, err)
			case <-time.After(time.Duration(random.IntN(150)) * time.Millisecond): //nolint:forbidigo // as a person would
			}
		}
	}
	return nil
}

// itemsPerRound is how many items of a round are there in the end.
const itemsPerRound = 10

// record is what the workflow records of the chat, as [recorded] returns it.
func (c *chat) record() []string {
	var items []string
	for _, id := range c.ids {
		items = append(items, "user "+id,
			"progress 0", "log", "progress 20", "tool", "tool", "log", "stat", "assistant", "progress 100")
	}
	return items
}

// recorded returns the items of a workflow in order: the type, or a message's role, with the id of what a user has said and
// the percentage of a progress.
func recorded(t *testing.T, pool *pgxpool.Pool, workflow string) []string {
	t.Helper()
	rows, _ := pool.Query(t.Context(), `select case
			when type = 'message' and body->>'role' = 'user' then 'user ' || id
			when type = 'message' then body->>'role'
			when type = 'progress' then 'progress ' || (body->>'progress')
			else type end
		from chatfeed.items where workflow_id = $1 order by "_createdAt"`, workflow)
	items, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return items
}

// hasCome reports whether a workflow is within a round, has done some rounds before, and has come so far in this one, or
// farther.
func hasCome(t *testing.T, pool *pgxpool.Pool, workflow string, rounds int, percent float64) bool {
	t.Helper()
	var done int
	var now float64
	err := pool.QueryRow(t.Context(), `select count(*) filter (where progress = 100),
			coalesce((array_agg(progress order by "_createdAt" desc))[1], 100)
		from chatfeed.progress where workflow_id = $1`, workflow).Scan(&done, &now)
	require.NoError(t, err)
	return now < 100 && (done > rounds || done == rounds && now >= percent)
}

// midRound counts the workflows that were within a round at the given time.
func midRound(t *testing.T, pool *pgxpool.Pool, workflows []string, at time.Time) (n int) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), `select count(*) from (
			select distinct on (workflow_id) progress from chatfeed.progress
			where workflow_id = any ($1) and "_createdAt" < $2 order by workflow_id, "_createdAt" desc
		) newest where progress < 100`, workflows, at).Scan(&n))
	return n
}
