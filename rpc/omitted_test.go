package rpc_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"chatfeed/feed"
	"chatfeed/rpc"
	v1 "chatfeed/rpc/chatfeedv1"
)

// nested is JSON so many arrays or objects deep.
func nested(depth int, opening, closing string) string {
	return strings.Repeat(opening, depth) + "1" + strings.Repeat(closing, depth)
}

const (
	lastStamp  = 253402300799_999999 // of the year 9999
	firstStamp = -62135596800_000000 // of the year 1
)

// odd is items with a part that cannot be encoded, and what is left out of them.
var odd = []struct {
	name    string
	item    *feed.Item
	omitted []string
}{
	{"metadata of 33 arrays", &feed.Item{Metadata: []byte(nested(33, "[", "]"))}, []string{"metadata"}},
	{"metadata of 33 objects", &feed.Item{Metadata: []byte(nested(33, `{"a":`, "}"))}, []string{"metadata"}},
	{"metadata of 50 objects", &feed.Item{Metadata: []byte(nested(50, `{"a":`, "}"))}, []string{"metadata"}},
	{"metadata of 20,000 arrays", &feed.Item{Metadata: []byte(nested(20_000, "[", "]"))}, []string{"metadata"}},
	{"metadata beyond a double", &feed.Item{Metadata: []byte(`1e400`)}, []string{"metadata"}},
	{"metadata that a double rounds", &feed.Item{Metadata: []byte(`{"id": [9007199254740993]}`)}, []string{"metadata"}},
	{"metadata with more digits than a double", &feed.Item{Metadata: []byte(`0.12345678901234567890`)}, []string{"metadata"}},
	{"metadata that is no JSON", &feed.Item{Metadata: []byte(`{"a"`)}, []string{"metadata"}},
	{"metadata that is no UTF-8", &feed.Item{Metadata: []byte("\"\xff\"")}, []string{"metadata"}},
	{"metadata with half a surrogate pair", &feed.Item{Metadata: []byte(`"\ud83d"`)}, []string{"metadata"}},
	{"metadata that names a field twice", &feed.Item{Metadata: []byte(`{"a": 1, "\u0061": 2}`)}, []string{"metadata"}},
	{"a body that is no JSON", &feed.Item{Body: []byte(`{"level": "in`)}, []string{"log"}},
	{"a body that is no object", &feed.Item{Body: []byte(`[]`)}, []string{"log"}},
	{"no body", &feed.Item{Body: []byte{}}, []string{"log"}},
	{"a body that is no UTF-8", &feed.Item{Body: []byte("{\"message\": \"\xc3\x28\"}")}, []string{"log"}},
	{"a body of another shape", &feed.Item{Body: []byte(`{"message": [1]}`)}, []string{"log"}},
	{"a body that is nested too deep", &feed.Item{Body: []byte(`{"further": ` + nested(40, "[", "]") + `}`)}, []string{"log"}},
	{"a number that a double rounds", &feed.Item{Type: "stat", Body: []byte(`{"processingTime": 0.12345678901234567890}`)}, []string{"stat"}},
	{"a number beyond its field", &feed.Item{Type: "stat", Body: []byte(`{"tokenCount": 3000000000}`)}, []string{"stat"}},
	{"an id that is no UTF-8", &feed.Item{ID: "a\xffb"}, []string{"id"}},
	{"everything", &feed.Item{Body: []byte(`{`), Metadata: []byte(`{`)}, []string{"log", "metadata"}},
}

// complete is an item with what a row has, in place of what the given one lacks.
func complete(item *feed.Item, at feed.Cursor) *feed.Item {
	whole := &feed.Item{
		WorkflowID: "wf", ID: item.ID, Type: item.Type, CreatedAt: at, Body: item.Body, Metadata: item.Metadata,
	}
	if whole.ID == "" {
		whole.ID = fmt.Sprint(at)
	}
	if whole.Type == "" {
		whole.Type = "log"
	}
	if whole.Body == nil {
		whole.Body = []byte(`{"level":"info","message":"hello"}`)
	}
	return whole
}

// deliversWhatFitsTheWire is a guarantee of every transport.
func deliversWhatFitsTheWire(t *testing.T, tr transport, _ *database) {
	log := new(buffer)
	for _, c := range odd {
		before, after := complete(&feed.Item{Metadata: []byte("7")}, 1), complete(&feed.Item{}, 3)
		s := serve(t, fixed(before, complete(c.item, 2), after), config{
			tls: tr.tls, rpc: rpc.Config{Heartbeat: patience, Log: slog.New(slog.NewTextHandler(log, nil))},
		})
		r := tr.follow(t, s, all("wf"))
		got := r.history(t)
		require.Len(t, got, 3, c.name)
		require.Equal(t, []int64{1, 2, 3}, []int64{got[0].At, got[1].At, got[2].At}, c.name)
		require.Equal(t, c.omitted, got[1].Omitted, c.name)
		require.Empty(t, got[0].Omitted, c.name)
		require.Equal(t, "7", got[0].Metadata, c.name)
		require.Empty(t, got[2].Omitted, c.name)
		require.Equal(t, "hello", got[2].Body["message"], c.name)
		for _, part := range c.omitted {
			switch part {
			case "metadata":
				require.Empty(t, got[1].Metadata, c.name)
			case "id":
				require.Equal(t, "a\ufffdb", got[1].ID)
			default:
				require.Empty(t, got[1].Body, c.name)
			}
		}
		if c.item.Body == nil {
			require.Equal(t, "hello", got[1].Body["message"], c.name)
		}
		r.disconnect()
		resumed := tr.follow(t, s, follow{from: []from{{workflow: "wf", after: got[1].At}}})
		requireSame(t, []string{"3"}, ids(resumed.history(t)), c.name)
		resumed.disconnect()
	}
}

func TestAStampOutsideTheYears1To9999IsClamped(t *testing.T) {
	t.Parallel()
	for stamp, want := range map[feed.Cursor]int64{
		math.MaxInt64: lastStamp, lastStamp + 1: lastStamp, math.MinInt64 + 1: firstStamp, firstStamp - 1: firstStamp,
	} {
		item := complete(&feed.Item{Metadata: []byte(`{}`)}, stamp)
		s := serve(t, &source{after: func(at feed.Position, _ feed.Window) (feed.Page, error) {
			if at.Cursor == 0 {
				return feed.Page{Items: []*feed.Item{item}}, nil
			}
			return feed.Page{}, nil
		}}, config{})
		for _, options := range [][]connect.ClientOption{{}, {connect.WithProtoJSON()}} {
			got, err := s.rpc(options...).GetChatData(limited(t), &v1.GetChatDataRequest{WorkflowId: "wf"})
			require.NoError(t, err)
			require.Len(t, got.GetItems(), 1)
			require.Equal(t, want, got.GetItems()[0].GetCreatedAt().AsTime().UnixMicro())
			require.Equal(t, []string{"_createdAt"}, got.GetItems()[0].GetOmitted())
			require.Equal(t, "hello", got.GetItems()[0].GetLog().GetMessage())
		}
		rest := s.rest(t, "wf")
		require.Equal(t, []string{"_createdAt"}, rest.items[0].Omitted)
		require.Equal(t, "hello", rest.items[0].Body["message"])
	}
}

func TestWhatIsLeftOutOfAnItemIsLoggedOnce(t *testing.T) {
	t.Parallel()
	log := new(buffer)
	poison := func() *source { // a new item for each read, as from a database
		return fixed(complete(&feed.Item{ID: "poison", Metadata: []byte(`1e400`)}, 5))
	}
	s := serve(t, &source{
		after:  func(at feed.Position, window feed.Window) (feed.Page, error) { return poison().after(at, window) },
		before: func(at feed.Position, window feed.Window) (feed.Page, error) { return poison().before(at, window) },
	}, config{rpc: rpc.Config{Log: slog.New(slog.NewTextHandler(log, nil))}})
	for range 3 {
		for _, tr := range transports {
			if tr.tls || tr.polls {
				continue
			}
			r := tr.follow(t, s, all("wf"))
			require.Len(t, r.items(t, 1), 1)
			r.disconnect()
		}
		require.Len(t, s.rest(t, "wf").items, 1)
		got, err := s.rpc().GetChatData(limited(t), &v1.GetChatDataRequest{WorkflowId: "wf"})
		require.NoError(t, err)
		require.Len(t, got.GetItems(), 1)
	}
	require.Equal(t, 1, strings.Count(log.String(), "poison"), log.String())
	require.Contains(t, log.String(), "workflow_id=wf")
	require.Contains(t, log.String(), "metadata")
	require.NotContains(t, log.String(), "1e400", "contents of rows are not logged")
}

// Every transport gives the same numbers, to the last digit that a client can read.
func TestNumbersAreTheSameOnEveryTransport(t *testing.T) {
	t.Parallel()
	numbers := []string{
		"0", "-0", "1.50", "1e2", "9007199254740992", "-9007199254740993", "123456789012345678901234567890", "1e22", "1e23",
		"0.1", "0.30000000000000004", "0.300000000000000040", "5e-324", "1e-400", "1.7976931348623157e308", "18446744073709551616",
		"0.1000000000000000055511151231257827", "100000000000000000000", "1e308", "1E+2",
	}
	var items []*feed.Item
	for i, n := range numbers {
		items = append(items, complete(&feed.Item{Metadata: []byte(`[` + n + `]`)}, feed.Cursor(i+1)))
	}
	s := serve(t, fixed(items...), config{})
	ctx, cancel := context.WithCancel(limited(t))
	defer cancel()
	answer, err := get(ctx, s.h1, s.url+"/workflows/wf/chatData")
	require.NoError(t, err)
	want, err := readREST(answer.body)
	require.NoError(t, err)
	require.Len(t, want.items, len(numbers))
	for _, tr := range transports {
		if tr.tls {
			continue
		}
		requireSame(t, want.items, tr.follow(t, s, all("wf")).history(t), tr.name)
	}
	for i, n := range numbers {
		if want.items[i].Omitted == nil {
			require.True(t, bytes.Contains(answer.body, []byte(n)), n)
		}
	}
	var omitted []string
	for i, n := range numbers {
		if want.items[i].Omitted != nil {
			omitted = append(omitted, n)
		}
	}
	require.Equal(t, []string{
		"-9007199254740993", "123456789012345678901234567890", "1e-400", "18446744073709551616",
		"0.1000000000000000055511151231257827",
	}, omitted)
}

func TestTheDeepestMetadataThatClientsDecodeIsDelivered(t *testing.T) {
	t.Parallel()
	for _, metadata := range []string{nested(32, "[", "]"), nested(32, `{"a":`, "}")} {
		s := serve(t, fixed(complete(&feed.Item{Metadata: []byte(metadata)}, 5)), config{})
		for _, tr := range transports {
			if tr.tls {
				continue
			}
			got := tr.follow(t, s, all("wf")).history(t)
			require.Len(t, got, 1)
			require.Equal(t, sameJSON([]byte(metadata)), got[0].Metadata, tr.name)
			require.Empty(t, got[0].Omitted, tr.name)
		}
	}
}
