// Package fold makes of a workflow's items what people are shown: messages as they grow, with their versions and tool calls, and
// how far the workflow has come.
//
// The items may be given in any portions, from any cursor, and again: the result is that of having been given each once. The
// deltas of a message may be missing where the message is there, as they are deleted with its insert.
package fold

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"chatfeed/feed"
)

// Chat is the state of one workflow. The zero value is that of one without items. It is not safe for use by several goroutines.
type Chat struct {
	messages []*Message // also those that are not shown
	tools    []*Tool    // in the order of their first states
	progress *Progress
	versions map[string]*Message // by the id of every version
}

// Messages returns the messages to show, in the order of their first versions: a message takes the place where it ends, since its
// deltas are gone for whoever comes later, and one that is still being written the place where it began. They are the chat's: the
// next item may change them.
func (c *Chat) Messages() []*Message {
	shown := []*Message{}
	for _, m := range c.messages {
		if m.Shown() {
			shown = append(shown, m)
		}
	}
	slices.SortStableFunc(shown, func(a, b *Message) int { return cmp.Compare(a.place, b.place) })
	return shown
}

// Message returns the message of which one version has this id, also one that is deleted, or nil.
func (c *Chat) Message(id string) *Message { return c.versions[id] }

// Tools returns the calls of tools, in the order of their first states. They are the chat's.
func (c *Chat) Tools() []*Tool { return append([]*Tool{}, c.tools...) }

// Progress returns the latest progress, or nil.
func (c *Chat) Progress() *Progress { return c.progress }

// Message is a message in its latest version, or one that is being written.
type Message struct {
	ID       string `json:"id"`      // of the first version
	Version  string `json:"version"` // the id of the latest
	Role     string `json:"role"`    // assistant while it is being written
	Status   string `json:"status"`
	Complete bool   `json:"complete"` // it is all there; else it is made of deltas
	Attempt  int    `json:"attempt"`  // which attempt has written the deltas; 0 of a complete one
	Parts    []Part `json:"parts"`    // by number; one of kind text where the message is complete

	at     feed.Cursor // of the latest version
	place  feed.Cursor // of the first version or, before there is one, the first delta
	hidden bool        // it was erased
}

// Part is a piece of a message that is of one kind.
type Part struct {
	Number int    `json:"number"`
	Kind   string `json:"kind"`
	Text   string `json:"text"`

	length int     // of the text, in code points
	ahead  []delta // those that begin after its end, by where they begin
}

// Shown reports whether the message is to be shown: it was neither deleted nor erased.
func (m *Message) Shown() bool { return !m.hidden && m.Status != "deleted" }

// Text is what the message says: its parts of kind text.
func (m *Message) Text() string {
	var text strings.Builder
	for _, p := range m.Parts {
		if p.Kind == "text" {
			text.WriteString(p.Text)
		}
	}
	return text.String()
}

// Tool is a call of a tool in its latest state.
type Tool struct {
	CallID    string          `json:"callId"`
	MessageID string          `json:"messageId"`
	Name      string          `json:"name"`
	State     string          `json:"state"`
	Input     json.RawMessage `json:"input"`  // null where no state has had it
	Output    json.RawMessage `json:"output"` // likewise
	Error     string          `json:"error"`

	id string // of the latest state's item
	at feed.Cursor
}

// Progress is how far the workflow has come.
type Progress struct {
	Progress float64 `json:"progress"` // per cent
	Status   string  `json:"status"`
	Result   string  `json:"result"`
	Final    bool    `json:"final"` // the workflow is closed

	id string
	at feed.Cursor
}

type delta struct {
	MessageID string `json:"messageId"`
	Attempt   int    `json:"attempt"`
	Part      int    `json:"part"`
	Kind      string `json:"kind"`
	At        int    `json:"at"`
	Delta     string `json:"delta"`
}

// Add adds an item of the workflow. Types that do not change what is shown are ignored. The error is that of a body that is no
// JSON of its type, which changes nothing.
func (c *Chat) Add(item *feed.Item) error {
	switch item.Type {
	case "message":
		return decode(item, func(m struct{ Message, Role, Status, Replaces string }) {
			c.message(item, m.Replaces, Message{
				Version: item.ID, Role: m.Role, Status: m.Status, Complete: true, at: item.CreatedAt,
				Parts: []Part{{Kind: "text", Text: m.Message, length: utf8.RuneCountInString(m.Message)}},
			})
		})
	case "delta":
		return decode(item, func(d delta) { c.delta(d, item.CreatedAt) })
	case "tool":
		return decode(item, func(t Tool) {
			t.id, t.at = item.ID, item.CreatedAt
			c.tool(t)
		})
	case "progress":
		return decode(item, func(p Progress) {
			p.id, p.at = item.ID, item.CreatedAt
			if c.progress == nil || c.progress.at < p.at {
				c.progress = &p
			}
		})
	}
	return nil
}

func decode[T any](item *feed.Item, apply func(T)) error {
	var body T
	if err := json.Unmarshal(item.Body, &body); err != nil {
		return fmt.Errorf("%s %s: %w", item.Type, item.ID, err)
	}
	apply(body)
	return nil
}

// message puts a whole message in the place of what there is of it: its deltas, and the versions before.
func (c *Chat) message(item *feed.Item, replaces string, version Message) {
	id := item.ID // of the first version
	if replaces != "" {
		id = replaces
	}
	first, draft := c.versions[id], c.versions[item.ID]
	switch {
	case first == nil && draft != nil: // the version before is not known
		first = draft
		c.versions[id] = first
	case first == nil:
		first = c.begin(id)
	}
	if draft != nil && draft != first && !draft.Complete {
		c.messages = slices.DeleteFunc(c.messages, func(m *Message) bool { return m == draft })
	}
	c.versions[item.ID] = first
	if !first.Complete || version.at < first.place {
		first.place = version.at
	}
	if first.Complete && version.at <= first.at { // it was here before
		return
	}
	if version.ID = first.ID; !first.Complete && first == draft {
		version.ID = id
	}
	version.place = first.place
	*first = version
}

// begin makes an entry for a message of which nothing has come before.
func (c *Chat) begin(id string) *Message {
	if c.versions == nil {
		c.versions = make(map[string]*Message)
	}
	m := &Message{ID: id, Version: id, Role: "assistant", Parts: []Part{}}
	c.versions[id] = m
	c.messages = append(c.messages, m)
	return m
}

func (c *Chat) delta(d delta, at feed.Cursor) {
	m := c.versions[d.MessageID]
	if m == nil {
		m = c.begin(d.MessageID)
		m.place = at
	}
	if m.Complete || d.Attempt < m.Attempt {
		return
	}
	if d.Attempt > m.Attempt {
		m.Attempt, m.Parts = d.Attempt, []Part{}
	}
	m.place = min(m.place, at)
	part, found := slices.BinarySearchFunc(m.Parts, d.Part, func(p Part, number int) int { return p.Number - number })
	if !found {
		m.Parts = slices.Insert(m.Parts, part, Part{Number: d.Part, Kind: d.Kind})
	}
	m.Parts[part].add(d)
}

// add adds the text of a delta that lies behind the end, and of those that have waited for it.
func (p *Part) add(d delta) {
	if d.At > p.length {
		at, _ := slices.BinarySearchFunc(p.ahead, d.At, func(a delta, at int) int { return a.At - at })
		p.ahead = slices.Insert(p.ahead, at, d)
		return
	}
	had := p.length - d.At // code points of the delta
	for i := range d.Delta {
		if had == 0 {
			p.Text += d.Delta[i:]
			p.length += utf8.RuneCountInString(d.Delta[i:])
			break
		}
		had--
	}
	if len(p.ahead) > 0 && p.ahead[0].At <= p.length {
		next := p.ahead[0]
		p.ahead = p.ahead[1:]
		p.add(next)
	}
}

// tool sets the state of a call. What a state leaves out is that of the states before.
func (c *Chat) tool(t Tool) {
	at := slices.IndexFunc(c.tools, func(call *Tool) bool { return call.CallID == t.CallID })
	if at < 0 {
		c.tools = append(c.tools, &t)
		return
	}
	call := c.tools[at]
	older := t.at <= call.at
	if older { // it was here before, or it says what the later one has left out
		*call, t = t, *call
	}
	if t.MessageID == "" {
		t.MessageID = call.MessageID
	}
	if absent(t.Input) {
		t.Input = call.Input
	}
	if absent(t.Output) {
		t.Output = call.Output
	}
	*call = t
}

func absent(value json.RawMessage) bool { return value == nil || string(value) == "null" }

// Remove takes away an item that was erased, unless another of the same id has come since. Of a message that was edited, the
// latest version counts; the deltas of a message that was never finished go together.
func (c *Chat) Remove(gone feed.Gone) {
	switch gone.Type {
	case "message":
		if m := c.versions[gone.ID]; m != nil && m.Version == gone.ID && m.at <= gone.CreatedAt {
			m.hidden = true
		}
	case "delta":
		id := gone.ID
		for range 3 { // attempt, part and at
			id = id[:max(0, strings.LastIndexByte(id, ':'))]
		}
		if m := c.versions[id]; m != nil && !m.Complete {
			delete(c.versions, id)
			c.messages = slices.DeleteFunc(c.messages, func(other *Message) bool { return other == m })
		}
	case "tool":
		c.tools = slices.DeleteFunc(c.tools, func(t *Tool) bool { return t.id == gone.ID && t.at <= gone.CreatedAt })
	case "progress":
		if c.progress != nil && c.progress.id == gone.ID && c.progress.at <= gone.CreatedAt {
			c.progress = nil
		}
	}
}
