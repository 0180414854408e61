package audit

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/structpb"

	"chatfeed/feed"
	"chatfeed/feed/fold"
	v1 "chatfeed/rpc/chatfeedv1"
)

// shown is what a fold needs of an item. Texts and JSON that it only passes on are replaced by their sums, so that clients need
// little memory. The text of a delta is not, as the fold has to find its place.
type shown struct {
	Message  string `json:"message,omitempty"`
	Role     string `json:"role,omitempty"`
	Status   string `json:"status,omitempty"`
	Replaces string `json:"replaces,omitempty"`

	MessageID string `json:"messageId,omitempty"`
	Attempt   int32  `json:"attempt,omitempty"`
	Part      int32  `json:"part,omitempty"`
	Kind      string `json:"kind,omitempty"`
	At        int32  `json:"at,omitempty"`
	Delta     string `json:"delta,omitempty"`

	CallID string `json:"callId,omitempty"`
	Name   string `json:"name,omitempty"`
	State  string `json:"state,omitempty"`
	Input  string `json:"input,omitempty"`
	Output string `json:"output,omitempty"`
	Error  string `json:"error,omitempty"`

	Progress float64 `json:"progress,omitempty"`
	Result   string  `json:"result,omitempty"`
	Final    bool    `json:"final,omitempty"`
}

func (s shown) json() []byte {
	text, _ := json.Marshal(s) // cannot fail: a float of an item is finite
	return text
}

func digest(sum uint64) string { return strconv.FormatUint(sum, 16) }

// protoShown is what is shown of an item in protobuf.
func (s sums) protoShown(item *v1.Item) []byte {
	value := func(v *structpb.Value) string {
		if _, null := v.GetKind().(*structpb.Value_NullValue); v == nil || null {
			return ""
		}
		return digest(s.protoValue(v))
	}
	switch {
	case item.GetMessage() != nil:
		m := item.GetMessage()
		return shown{Message: digest(s.text(m.GetMessage())), Role: m.GetRole(), Status: m.GetStatus(), Replaces: m.GetReplaces()}.json()
	case item.GetDelta() != nil:
		d := item.GetDelta()
		return shown{
			MessageID: d.GetMessageId(), Attempt: d.GetAttempt(), Part: d.GetPart(), Kind: d.GetKind(), At: d.GetAt(), Delta: d.GetDelta(),
		}.json()
	case item.GetTool() != nil:
		t := item.GetTool()
		return shown{
			CallID: t.GetCallId(), MessageID: t.GetMessageId(), Name: t.GetName(), State: t.GetState(), Input: value(t.GetInput()),
			Output: value(t.GetOutput()), Error: digest(s.text(t.GetError())),
		}.json()
	case item.GetProgress() != nil:
		p := item.GetProgress()
		return shown{
			Progress: p.GetProgress() + 0, Status: p.GetStatus(), Result: digest(s.text(p.GetResult())), Final: p.GetFinal(),
		}.json()
	}
	return nil
}

// jsonShown is what is shown of an item in JSON, decoded by decodeJSON.
func (s sums) jsonShown(kind string, fields map[string]any) []byte {
	text := func(name string) string {
		value, _ := fields[name].(string)
		return value
	}
	number := func(name string) float64 {
		value, _ := fields[name].(json.Number)
		n, _ := value.Float64()
		return n
	}
	whole := func(name string) int32 { return int32(number(name)) }
	value := func(name string) string {
		if fields[name] == nil {
			return ""
		}
		return digest(s.json(fields[name]))
	}
	switch kind {
	case "message":
		return shown{
			Message: digest(s.text(text("message"))), Role: text("role"), Status: text("status"), Replaces: text("replaces"),
		}.json()
	case "delta":
		return shown{
			MessageID: text("messageId"), Attempt: whole("attempt"), Part: whole("part"), Kind: text("kind"), At: whole("at"), Delta: text("delta"),
		}.json()
	case "tool":
		return shown{
			CallID: text("callId"), MessageID: text("messageId"), Name: text("name"), State: text("state"), Input: value("input"),
			Output: value("output"), Error: digest(s.text(text("error"))),
		}.json()
	case "progress":
		final, _ := fields["final"].(bool)
		return shown{Progress: number("progress") + 0, Status: text("status"), Result: digest(s.text(text("result"))), Final: final}.json()
	}
	return nil
}

// fold adds an item to what is shown. Bodies that the fold does not understand are found by their sums.
func (it item) fold(chat *fold.Chat) {
	if it.shown != nil {
		_ = chat.Add(&feed.Item{WorkflowID: it.workflow, Type: it.kind, ID: it.id, CreatedAt: feed.Cursor(it.at), Body: it.shown})
	}
}

// drafts is how long the texts are that a client has received of unfinished messages, in code points, by the first three parts
// of a delta's id.
type drafts map[string]int

// show adds an item to what the client shows, and checks a delta of the audit's own: it must not come after its message, nor
// without the text before it.
func (c *client) show(ctx context.Context, it item, cursor int64) {
	if it.kind == "delta" && strings.HasPrefix(it.id, c.fates.run) {
		c.checkDelta(ctx, it, cursor)
	}
	it.fold(&c.chat)
	if it.kind == "message" {
		maps.DeleteFunc(c.drafts, func(name string, _ int) bool { return strings.HasPrefix(name, it.id+":") })
	}
}

func (c *client) checkDelta(ctx context.Context, it item, cursor int64) {
	var d shown
	if json.Unmarshal(it.shown, &d) != nil {
		return
	}
	if m := c.chat.Message(d.MessageID); m != nil && m.Complete {
		c.findUnfated(ctx, Late, it, cursor)
		return
	}
	if c.drafts == nil {
		c.drafts = make(drafts)
	}
	name := it.id[:strings.LastIndexByte(it.id, ':')]
	if int(d.At) > c.drafts[name] && !c.mayMissAny() {
		c.gaps = append(c.gaps, gap{it, cursor, time.Now().UnixMicro()})
	}
	c.drafts[name] = max(c.drafts[name], int(d.At)+utf8.RuneCountInString(d.Delta))
}

// findUnfated adds a finding about a delta, unless a test does something to its message or another of its deltas.
func (c *client) findUnfated(ctx context.Context, kind Kind, it item, cursor int64) {
	if !c.fates.fated(c.workflow)[messageOf(it.id)] {
		c.findNow(ctx, kind, it, cursor)
	}
}

// messageOf is the message of a delta, whose id ends with the attempt, the part and the place.
func messageOf(delta string) string {
	for range 3 {
		delta = delta[:max(0, strings.LastIndexByte(delta, ':'))]
	}
	return delta
}

// missingDelta is a delta that a client has and the table does not.
type missingDelta struct {
	item
	cursor int64 // of the client before it
}

// gap is a delta that a client has received without the text before it.
type gap struct {
	item
	cursor   int64 // of the client before it
	received int64 // when, in microseconds
}

// passGaps passes the gaps of messages that were there when the delta was received: the text before it had been deleted by then,
// and the delta came from the memory of a server, with its message right behind it. The clocks of client and database are
// taken to agree.
func (c *client) passGaps(t *tableChat) {
	fated := c.fates.fated(c.workflow)
	for _, g := range c.gaps {
		message := messageOf(g.id)
		at, exists := t.messages[message]
		if !fated[message] && (!exists || at > g.received) {
			c.find(Gap, g.item, g.cursor)
		}
	}
}

// tableChat is what the table has of a workflow's messages, in the order of its rows.
type tableChat struct {
	workflow string
	reads    int // how many times the table has been read; a message of a later read may have deleted deltas of an earlier one
	chat     fold.Chat
	head     int64
	messages map[string]int64 // when each was stamped, by id
	readOf   map[string]int
	deltas   []tableDelta
}

type tableDelta struct {
	item
	read int
}

func newTableChat(workflow string) *tableChat {
	return &tableChat{workflow: workflow, messages: make(map[string]int64), readOf: make(map[string]int)}
}

func (t *tableChat) add(row item) {
	t.head = row.at
	row.fold(&t.chat)
	switch row.kind {
	case "message":
		t.messages[row.id], t.readOf[row.id] = row.at, t.reads
	case "delta":
		t.deltas = append(t.deltas, tableDelta{row, t.reads})
	}
}

// late adds findings for deltas in the table whose message is there, too.
func (t *tableChat) late(l *ledger, found *findings) {
	fated := l.fated(t.workflow)
	for _, delta := range t.deltas {
		message := messageOf(delta.id)
		at, exists := t.messages[message]
		if exists && !fated[message] && (at < delta.at || t.readOf[message] == delta.read) {
			found.add(about(Late, delta.item))
		}
	}
}

// passReplaced passes the deltas that the client has and the table does not. The table must have their messages instead.
func (c *client) passReplaced(t *tableChat) {
	fated := c.fates.fated(c.workflow)
	for _, delta := range c.missing {
		message := messageOf(delta.id)
		at, exists := t.messages[message]
		switch {
		case exists && delta.at < at && !c.fates.wrote(delta.item):
			c.find(Different, delta.item, delta.cursor)
		case exists && delta.at < at:
			c.replaced++
		case !fated[message]:
			c.find(Unknown, delta.item, delta.cursor)
		}
	}
}

// compareShown compares what the client shows with what the table's items show, except for what a test has done something to. A client that does not have the same items shows something else for that reason.
func (c *client) compareShown(t *tableChat) {
	if c.faulty || c.cursor.Load() < t.head || c.mayMissAny() {
		return
	}
	fated := c.fates.fated(c.workflow)
	for _, chat := range []*fold.Chat{&c.chat, &t.chat} { // only one may know of which message a version is
		for id := range fated {
			if m := chat.Message(id); m != nil {
				fated[m.ID] = true
			}
		}
	}
	has, want := states(&c.chat, fated), states(&t.chat, fated)
	names := slices.Collect(maps.Keys(has))
	for name := range want {
		if _, exists := has[name]; !exists {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if has[name] != want[name] {
			kind, id, _ := strings.Cut(name, " ")
			c.find(Shown, item{kind: kind, id: id, at: t.head}, c.cursor.Load())
		}
	}
}

// states is what a chat shows, by type and name, without the order of messages: those that are complete begin at their end in
// the table, as their deltas are gone.
func states(chat *fold.Chat, fated map[string]bool) map[string]string {
	states := make(map[string]string)
	set := func(name string, state any) {
		text, _ := json.Marshal(state)
		states[name] = string(text)
	}
	for _, m := range chat.Messages() {
		if !fated[m.ID] && !fated[m.Version] {
			set("message "+m.ID, m)
		}
	}
	for _, t := range chat.Tools() {
		if !fated["tool"] {
			set("tool "+t.CallID, t)
		}
	}
	if p := chat.Progress(); p != nil && !fated["progress"] {
		set("progress ", p)
	}
	return states
}

// fated returns the messages of a workflow that a test does something to, by id, and "tool" and "progress" if it does something to
// any item of these types.
func (l *ledger) fated(workflow string) map[string]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	fated := make(map[string]bool)
	for name := range l.fates {
		if name.workflow != workflow {
			continue
		}
		switch name.kind {
		case "message":
			fated[name.id] = true
		case "delta":
			fated[messageOf(name.id)] = true
		case "tool", "progress":
			fated[name.kind] = true
		}
	}
	return fated
}
