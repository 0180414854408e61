package fold_test

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"chatfeed/feed"
	"chatfeed/feed/fold"
)

// state is what is shown of a chat.
type state struct {
	Messages []*fold.Message `json:"messages"`
	Tools    []*fold.Tool    `json:"tools"`
	Progress *fold.Progress  `json:"progress"`
}

func shown(t *testing.T, c *fold.Chat) string {
	t.Helper()
	text, err := json.Marshal(state{c.Messages(), c.Tools(), c.Progress()})
	require.NoError(t, err)
	return string(text)
}

// example is a list of items, as chatData has them, and what is to be shown of them.
type example struct {
	Name  string
	Items []struct {
		Type      string
		CreatedAt feed.Cursor
		Item      json.RawMessage
	}
	Want json.RawMessage
}

func (e example) items(t *testing.T) (items []*feed.Item) {
	t.Helper()
	for _, i := range e.Items {
		var key struct{ ID string }
		require.NoError(t, json.Unmarshal(i.Item, &key))
		items = append(items, &feed.Item{Type: i.Type, ID: key.ID, CreatedAt: i.CreatedAt, Body: i.Item})
	}
	return items
}

// examples are those that every implementation has to pass.
func examples(t *testing.T) (all []example) {
	t.Helper()
	text, err := os.ReadFile("testdata/cases.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &all))
	require.NotEmpty(t, all)
	return all
}

func add(t *testing.T, c *fold.Chat, items ...*feed.Item) {
	t.Helper()
	for _, item := range items {
		require.NoError(t, c.Add(item))
	}
}

func TestItemsFoldToWhatIsShown(t *testing.T) {
	t.Parallel()
	for _, e := range examples(t) {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			var c fold.Chat
			add(t, &c, e.items(t)...)
			require.JSONEq(t, string(e.Want), shown(t, &c))
		})
	}
}

// A client that comes back from any cursor that it had, any number of times, shows the same at every point.
func TestItemsThatAreGivenAgainChangeNothing(t *testing.T) {
	t.Parallel()
	for _, e := range examples(t) {
		items := e.items(t)
		var whole fold.Chat
		for end := range items {
			add(t, &whole, items[end])
			want := shown(t, &whole)
			for begin := range end + 1 {
				var again fold.Chat
				add(t, &again, items[:end+1]...)
				add(t, &again, items[begin:end+1]...)
				require.JSONEq(t, want, shown(t, &again), "%s: items %d to %d twice", e.Name, begin, end)
			}
			for cut := range end + 1 { // the connection breaks, and what came last comes again
				var again fold.Chat
				add(t, &again, items[:cut]...)
				add(t, &again, items[max(0, cut-3):end+1]...)
				require.JSONEq(t, want, shown(t, &again), "%s: cut before item %d", e.Name, cut)
			}
		}
	}
}

// The deltas of a message are deleted when it comes, so who comes later does not have them.
func TestAMessageNeedsNoneOfItsDeltas(t *testing.T) {
	t.Parallel()
	for _, e := range examples(t) {
		items := e.items(t)
		complete := map[string]bool{}
		for _, item := range items {
			if item.Type == "message" {
				complete[item.ID] = true
			}
		}
		var whole, later fold.Chat
		for _, item := range items {
			var delta struct{ MessageID string }
			require.NoError(t, json.Unmarshal(item.Body, &delta))
			add(t, &whole, item)
			if item.Type != "delta" || !complete[delta.MessageID] {
				add(t, &later, item)
			}
		}
		// Only the place among other messages may differ: it is that of what came first.
		require.ElementsMatch(t, whole.Messages(), later.Messages(), e.Name)
		require.Equal(t, whole.Tools(), later.Tools(), e.Name)
		require.Equal(t, whole.Progress(), later.Progress(), e.Name)
	}
}

func TestATextThatIsCutAnywhereIsTheSame(t *testing.T) {
	t.Parallel()
	text := []rune("Zoë said: 👋🏽 e\u0301 — \"fine\" 你好 👩‍👩‍👧")
	for step := 1; step <= len(text); step++ {
		for overlap := range step {
			var c fold.Chat
			for at := 0; at < len(text); at += step {
				begin := max(0, at-overlap)
				piece, err := json.Marshal(map[string]any{"messageId": "m", "attempt": 1, "kind": "text", "at": begin, "delta": string(text[begin:min(len(text), at+step)])})
				require.NoError(t, err)
				add(t, &c, &feed.Item{Type: "delta", ID: fmt.Sprint(at), CreatedAt: feed.Cursor(at + 1), Body: piece})
			}
			require.Equal(t, string(text), c.Message("m").Text(), "pieces of %d that overlap by %d", step, overlap)
		}
	}
}

func TestWhatIsErasedIsNotShown(t *testing.T) {
	t.Parallel()
	item := func(kind, id string, at feed.Cursor, body string) *feed.Item {
		return &feed.Item{Type: kind, ID: id, CreatedAt: at, Body: []byte(body)}
	}
	var c fold.Chat
	add(t, &c, item("message", "a", 1, `{"message": "x"}`), item("delta", "b:c:1:0:0", 2, `{"messageId": "b:c", "attempt": 1, "delta": "x"}`),
		item("tool", "t:output-error", 3, `{"callId": "t"}`), item("progress", "p", 4, `{"progress": 1}`), item("message", "z", 5, `{"message": "stays"}`))
	c.Remove(feed.Gone{Type: "message", ID: "z", CreatedAt: 4}) // an earlier one of the same id
	for _, gone := range []feed.Gone{
		{Type: "message", ID: "a", CreatedAt: 1},
		{Type: "delta", ID: "b:c:1:0:0", CreatedAt: 2},
		{Type: "tool", ID: "t:output-error", CreatedAt: 3},
		{Type: "progress", ID: "p", CreatedAt: 4},
		{Type: "message", ID: "never", CreatedAt: 9},
		{Type: "delta", ID: "odd", CreatedAt: 9},
	} {
		c.Remove(gone)
	}
	require.Len(t, c.Messages(), 1)
	require.Equal(t, "stays", c.Messages()[0].Text())
	require.Empty(t, c.Tools())
	require.Nil(t, c.Progress())
	add(t, &c, item("message", "a", 6, `{"message": "written anew"}`))
	require.Equal(t, "written anew", c.Messages()[0].Text())
}

func TestABodyThatIsNoneChangesNothing(t *testing.T) {
	t.Parallel()
	var c fold.Chat
	for _, kind := range []string{"message", "delta", "tool", "progress"} {
		for _, body := range []string{``, `{`, `[]`, `{"message": 1, "delta": 1, "callId": 1, "progress": "x"}`} {
			require.Error(t, c.Add(&feed.Item{Type: kind, ID: "x", CreatedAt: 1, Body: []byte(body)}), "%s %s", kind, body)
		}
	}
	require.Empty(t, c.Messages())
	require.Empty(t, c.Tools())
	require.Nil(t, c.Progress())
}

// The deltas of a message are deleted with its insert, so who comes later is given none of them.
func TestWhoComesAfterTheDeltasAreGoneIsShownTheSame(t *testing.T) {
	t.Parallel()
	for _, e := range examples(t) {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			written := map[string]bool{}
			items := e.items(t)
			for _, item := range items {
				written[item.ID] = written[item.ID] || item.Type == "message"
			}
			var live, later fold.Chat
			for _, item := range items {
				add(t, &live, item)
				var of struct{ MessageID string }
				require.NoError(t, json.Unmarshal(item.Body, &of))
				if item.Type != "delta" || !written[of.MessageID] {
					add(t, &later, item)
				}
			}
			require.JSONEq(t, shown(t, &live), shown(t, &later))
		})
	}
}
