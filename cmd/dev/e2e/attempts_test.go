package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/encoding/protojson"

	"chatfeed/activities"
	"chatfeed/db"
	"chatfeed/feed"
	"chatfeed/feed/fold"
	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

// speakerPart is a worker that speaks; its arguments are the address of Temporal and the database's URL.
const speakerPart = "speaker"

const speakers = "speakers" // the task queue

// newSpeaker makes the worker of the activity speak.
func newSpeaker(c client.Client, writer *db.Writer) worker.Worker {
	w := worker.New(c, speakers, worker.Options{})
	w.RegisterActivityWithOptions(func(ctx context.Context) error { return speak(ctx, writer) }, activity.RegisterOptions{Name: "speak"})
	return w
}

// said is the text of an attempt.
func said(attempt int32) string {
	var text strings.Builder
	for n := range 30 {
		fmt.Fprintf(&text, "attempt %d, word %d 👋🏽; ", attempt, n)
	}
	return text.String()
}

// speak says a text that tells its attempt, with a call of a tool in the middle. The first two attempts then wait until they
// are killed.
func speak(ctx context.Context, writer activities.Writer) (err error) {
	recorder := activities.NewRecorder(ctx, writer)
	defer func() { err = recorder.End(err) }()
	attempt := activity.GetInfo(ctx).Attempt
	message := recorder.Message("assistant")
	if _, err := fmt.Fprintf(message.Reasoning(), "The reasons of attempt %d.", attempt); err != nil {
		return err
	}
	words := strings.SplitAfter(said(attempt), ";")
	for n, word := range words {
		if _, err := message.WriteString(word); err != nil {
			return err
		}
		if n != len(words)/2 {
			continue
		}
		call, err := message.Tool("look_up", map[string]int32{"attempt": attempt})
		if err != nil {
			return err
		}
		if attempt < 3 {
			<-ctx.Done()
			return context.Cause(ctx)
		}
		if err := call.Output("found"); err != nil {
			return err
		}
	}
	return nil
}

func speech(ctx workflow.Context) error {
	return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: speakers, StartToCloseTimeout: time.Minute, HeartbeatTimeout: 5 * time.Second,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: 100 * time.Millisecond},
	}), "speak").Get(ctx, nil)
}

func TestAnAnswerWhoseWorkerIsKilledTwiceIsThatOfTheThirdAttemptForEveryClient(t *testing.T) {
	t.Parallel()
	const wf = "wf_attempts"
	pool := openPool(t, shared.DatabaseURL)
	c := dialTemporal(t)
	w := worker.New(c, speakers+"-workflows", worker.Options{})
	w.RegisterWorkflow(speech)
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	var followers []*follower
	join := func() {
		for way, follow := range ways {
			followers = append(followers, startFollower(t, fmt.Sprintf("%s, joined %d", way, len(followers)), wf, follow))
		}
	}
	join()
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: wf, TaskQueue: speakers + "-workflows"}, speech)
	require.NoError(t, err)
	for attempt := 1; attempt <= 2; attempt++ {
		doomed := startPart(t, speakerPart, shared.Temporal, shared.DatabaseURL)
		waitFor(t, func() bool {
			var there bool
			err := pool.QueryRow(t.Context(), `select exists (select from chatfeed.deltas
				where workflow_id = $1 and attempt = $2 and kind = 'text')`, wf, attempt).Scan(&there)
			return err == nil && there
		}, "attempt %d to speak", attempt)
		join()
		for _, f := range followers {
			waitFor(t, func() bool { return strings.HasPrefix(f.text(), fmt.Sprintf("attempt %d, word 0", attempt)) },
				"%s to see attempt %d", f.name, attempt)
		}
		doomed.signal(t, syscall.SIGKILL)
		doomed.ends(t)
	}
	startPart(t, speakerPart, shared.Temporal, shared.DatabaseURL)
	require.NoError(t, run.Get(t.Context(), nil))
	join()
	for _, f := range followers {
		waitFor(t, f.complete, "%s to see the message", f.name)
		require.Equal(t, said(3), f.text(), f.name)
		require.Equal(t, []string{"look_up output-available"}, f.tools(), f.name)
	}
	var messages, deltas int
	require.NoError(t, pool.QueryRow(t.Context(), `select (select count(*) from chatfeed.messages where workflow_id = $1),
		(select count(*) from chatfeed.deltas where workflow_id = $1)`, wf).Scan(&messages, &deltas))
	require.Equal(t, 1, messages)
	require.Zero(t, deltas)
}

// follower folds what it is given of a workflow.
type follower struct {
	name string

	mu     sync.Mutex
	chat   fold.Chat
	cursor feed.Cursor // of the last item
}

func (f *follower) add(t *testing.T, item *feed.Item) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if item.CreatedAt <= f.cursor {
		t.Errorf("%s: %s %s came again, or not in order", f.name, item.Type, item.ID)
	}
	f.cursor = item.CreatedAt
	if err := f.chat.Add(item); err != nil {
		t.Errorf("%s: %v", f.name, err)
	}
}

// text is that of the message; there is one at most.
func (f *follower) text() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var text string
	for _, m := range f.chat.Messages() {
		text += m.Text()
	}
	return text
}

func (f *follower) complete() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	shown := f.chat.Messages()
	return len(shown) == 1 && shown[0].Complete
}

func (f *follower) tools() (states []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, call := range f.chat.Tools() {
		states = append(states, call.Name+" "+call.State)
	}
	return states
}

// way follows a workflow until ctx ends.
type way func(ctx context.Context, f *follower, t *testing.T, workflow string) error

var chatTypes = []string{"message", "delta", "tool"}

var (
	overHTTP1 = &http.Client{Transport: &http.Transport{}}
	overHTTP2 = &http.Client{Transport: unencryptedHTTP2()}
)

func unencryptedHTTP2() *http.Transport {
	transport := &http.Transport{Protocols: new(http.Protocols), DialContext: new(net.Dialer).DialContext}
	transport.Protocols.SetUnencryptedHTTP2(true)
	return transport
}

var ways = map[string]way{
	"Connect":                 subscribed(overHTTP1),
	"Connect JSON, HTTP/2":    subscribed(overHTTP2, connect.WithProtoJSON()),
	"gRPC":                    subscribed(overHTTP2, connect.WithGRPC()),
	"gRPC-Web":                subscribed(overHTTP1, connect.WithGRPCWeb()),
	"REST long poll":          polled,
	"server-sent events":      evented(overHTTP1),
	"server-sent events, h2c": evented(overHTTP2),
}

func startFollower(t *testing.T, name, workflow string, follow way) *follower {
	t.Helper()
	f := &follower{name: name}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		if err := follow(ctx, f, t, workflow); ctx.Err() == nil {
			t.Errorf("%s: the stream has ended: %v", name, err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return f
}

func subscribed(h *http.Client, options ...connect.ClientOption) way {
	return func(ctx context.Context, f *follower, t *testing.T, workflow string) error {
		stream, err := chatfeedv1connect.NewFeedServiceClient(h, shared.Server, options...).Subscribe(ctx,
			&v1.SubscribeRequest{Cursors: []*v1.Cursor{{WorkflowId: workflow}}, Types: chatTypes})
		if err != nil {
			return err
		}
		defer func() { _ = stream.Close() }()
		for stream.Receive() {
			for _, item := range stream.Msg().GetItems() {
				body, err := itemBody(item)
				if err != nil {
					return err
				}
				body.ID, body.CreatedAt = item.GetId(), feed.Cursor(item.GetCreatedAt().AsTime().UnixMicro())
				f.add(t, body)
			}
		}
		return stream.Err()
	}
}

// itemBody returns the type of an item and its body.
func itemBody(item *v1.Item) (*feed.Item, error) {
	text, err := protojson.Marshal(item)
	if err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, err
	}
	for _, kind := range chatTypes {
		if body, ok := fields[kind]; ok {
			return &feed.Item{Type: kind, Body: body}, nil
		}
	}
	return nil, fmt.Errorf("unexpected item %s", text)
}

// element is an item as REST and events have it.
type element struct {
	Type      string
	CreatedAt json.Number
	Item      json.RawMessage
}

func (f *follower) addElement(t *testing.T, e element) error {
	var of struct{ ID string }
	if err := json.Unmarshal(e.Item, &of); err != nil {
		return err
	}
	seconds, fraction, _ := strings.Cut(e.CreatedAt.String(), ".")
	at, err := json.Number(seconds + (fraction + "000000")[:6]).Int64()
	f.add(t, &feed.Item{Type: e.Type, ID: of.ID, CreatedAt: feed.Cursor(at), Body: e.Item})
	return err
}

func polled(ctx context.Context, f *follower, t *testing.T, workflow string) error {
	for after := "0"; ; {
		var page struct{ Items []element }
		err := read(ctx, overHTTP1, workflow+"/chatData?wait=10s&types="+strings.Join(chatTypes, ",")+"&afterTimestamp="+after,
			func(lines *bufio.Scanner) error {
				for lines.Scan() {
					if err := json.Unmarshal(lines.Bytes(), &page); err != nil {
						return err
					}
				}
				return lines.Err()
			})
		if err != nil {
			return err
		}
		for _, e := range page.Items {
			if err := f.addElement(t, e); err != nil {
				return err
			}
			after = e.CreatedAt.String()
		}
	}
}

func evented(h *http.Client) way {
	return func(ctx context.Context, f *follower, t *testing.T, workflow string) error {
		return read(ctx, h, workflow+"/events?types="+strings.Join(chatTypes, ","), func(lines *bufio.Scanner) error {
			for lines.Scan() {
				data, ok := strings.CutPrefix(lines.Text(), `data: {`)
				if !ok {
					continue
				}
				var e element
				if err := json.Unmarshal([]byte("{"+data), &e); err != nil {
					return err
				}
				if err := f.addElement(t, e); err != nil {
					return err
				}
			}
			return lines.Err()
		})
	}
}

// read passes the lines of an answer about a workflow.
func read(ctx context.Context, h *http.Client, path string, take func(*bufio.Scanner) error) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, shared.Server+"/workflows/"+path, nil)
	if err != nil {
		return err
	}
	response, err := h.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, response.Status)
	}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 4<<20)
	return take(lines)
}
