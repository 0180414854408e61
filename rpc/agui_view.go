package rpc

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"chatfeed/feed"
	"chatfeed/feed/fold"
)

// agView keeps what a workflow's items say and what a client of AG-UI shows of it, and writes the events that lead from one to the
// other. What the client has can only grow by events: a text gets longer, a message or a call is added. For anything else (a
// retry, an edit, an erasure) the view becomes stale, and the next snapshot makes it right. So a text on the client is never
// doubled or cut.
type agView struct {
	chat   fold.Chat
	order  []string            // the ids of messages, and of calls without one, in the order of the feed
	known  map[string]bool     // those in order
	asking []agMessage         // sent by this run's client, and not in the feed yet
	shown  map[string]*agShown // the messages that the client has, besides reasoning and results
	client []string            // the ids of all messages that the client has, in its order
	roles  map[string]string   // of those in client
	ideas  []*agIdea
	stale  bool
	events []byte // to be sent
	err    error  // of the first event that could not be encoded
}

// agShown is a message on the client.
type agShown struct {
	role, text string
	open       bool // its end has not been sent
	calls      []agShownCall
}

// agShownCall is a call of a tool on the client.
type agShownCall struct {
	id, name, arguments string
	result              *agResult // nil while there is none
}

// agResult is how a call has ended.
type agResult struct{ text, state string }

// agIdea is a reasoning message on the client. The feed drops reasoning when its message is complete; the client may keep it.
type agIdea struct {
	id, message, text string
	open              bool
}

const ideaMark = ":reasoning:" // between the id of a message and the number of its part

func ideaID(message string, part int) string { return message + ideaMark + strconv.Itoa(part) }

// newAGView makes the view for a client that has these messages.
func newAGView(has []runMessage) *agView {
	v := &agView{known: make(map[string]bool), shown: make(map[string]*agShown), roles: make(map[string]string)}
	for _, m := range has {
		if _, twice := v.roles[m.ID]; twice {
			continue
		}
		v.join(m.ID, m.Role)
		if at := strings.LastIndex(m.ID, ideaMark); m.Role == "reasoning" && at >= 0 {
			text, err := m.text("")
			if err == nil {
				v.ideas = append(v.ideas, &agIdea{id: m.ID, message: m.ID[:at], text: text})
			}
		}
	}
	return v
}

// join notes that the client has a message at its end.
func (v *agView) join(id, role string) {
	v.client = append(v.client, id)
	v.roles[id] = role
}

// add adds an item, and returns the id of the message or of the lone call that it changes; it is empty if there is none.
func (v *agView) add(item *feed.Item) string {
	before := v.chat.Message(item.ID)
	begins := item.Type == "message" && (before == nil || !before.Complete)
	if v.chat.Add(item) != nil {
		return "" // a body that is no JSON of its type; the other transports deliver and report it
	}
	var of struct{ CallID, MessageID string }
	_ = json.Unmarshal(item.Body, &of) // it was decoded before
	id := item.ID
	switch item.Type {
	case "message":
	case "delta":
		id = of.MessageID
	case "tool":
		tools := v.chat.Tools()
		id = v.owner(tools[slices.IndexFunc(tools, func(t *fold.Tool) bool { return t.CallID == of.CallID })])
	default:
		return ""
	}
	if m := v.chat.Message(id); m != nil {
		begins = begins && m.ID == item.ID
		id = m.ID
	}
	if begins { // its place is where it ends, as who comes later has no deltas
		v.known[id], v.order = false, slices.DeleteFunc(v.order, func(other string) bool { return other == id })
	}
	if !v.known[id] {
		v.known[id] = true
		v.order = append(v.order, id)
	}
	return id
}

// remove takes an erased item away.
func (v *agView) remove(gone feed.Gone) {
	v.chat.Remove(gone)
	v.stale = true
}

// restart forgets a history that was erased.
func (v *agView) restart() {
	v.chat, v.order, v.known, v.stale = fold.Chat{}, nil, make(map[string]bool), true
}

// owner is the id of the message that a client shows a call in. A call of no message is in one of its own, without a text.
func (v *agView) owner(t *fold.Tool) string {
	if t.MessageID == "" {
		return t.CallID
	}
	m := v.chat.Message(t.MessageID)
	switch {
	case m == nil:
		return t.MessageID
	case agRole(m) != "assistant":
		return t.CallID
	}
	return m.ID
}

// agRole is the role of a message for AG-UI, which knows few.
func agRole(m *fold.Message) string {
	if slices.Contains([]string{"user", "system", "developer"}, m.Role) {
		return m.Role
	}
	return "assistant"
}

// message returns the message with an id, and whether it is to be shown; it is nil if there are only calls.
func (v *agView) message(id string) (m *fold.Message, shown bool) {
	m = v.chat.Message(id)
	return m, m == nil || m.ID == id && m.Shown()
}

// calls returns the calls that are shown in each message. Calls of a message that was deleted or erased are not shown.
func (v *agView) calls() map[string][]agShownCall {
	calls := make(map[string][]agShownCall)
	for _, t := range v.chat.Tools() {
		id := v.owner(t)
		if m := v.chat.Message(t.MessageID); m != nil && !m.Shown() {
			continue
		}
		call := agShownCall{id: t.CallID, name: t.Name, arguments: "{}"}
		if t.Input != nil && string(t.Input) != "null" {
			call.arguments = string(t.Input)
		}
		call.result = agResultOf(t)
		calls[id] = append(calls[id], call)
	}
	return calls
}

func agResultOf(t *fold.Tool) *agResult {
	switch t.State {
	case "output-available":
		var text string
		if unmarshalText(t.Output, &text) {
			return &agResult{text: text}
		}
		return &agResult{text: string(t.Output)}
	case "output-error", "output-denied":
		return &agResult{text: t.Error, state: t.State}
	}
	return nil
}

// grow writes the events that a change of a message needs, unless the view becomes stale.
func (v *agView) grow(id string, withCalls bool) {
	if v.stale || id == "" {
		return
	}
	m, shown := v.message(id)
	switch {
	case !shown:
		v.stale = v.shown[id] != nil || slices.ContainsFunc(v.ideas, func(i *agIdea) bool { return i.message == id && i.text != "" })
	case m != nil:
		v.stale = !v.growIdeas(m) || !v.growText(m)
	}
	if shown && withCalls && !v.stale {
		v.stale = !v.growCalls(id, v.calls()[id])
	}
}

// growText reports whether the message on the client could be made what it is by adding to it.
func (v *agView) growText(m *fold.Message) bool {
	text, had := m.Text(), v.shown[m.ID]
	switch {
	case had == nil && text == "" && !m.Complete:
		return true
	case had == nil:
		if _, taken := v.roles[m.ID]; taken { // the client has it as something else, or has sent it
			return false
		}
		had = &agShown{role: agRole(m)}
		v.shown[m.ID] = had
		v.join(m.ID, had.role)
		v.open(m.ID, had)
	case had.role != agRole(m) || !strings.HasPrefix(text, had.text):
		return false
	}
	if rest := text[len(had.text):]; rest != "" {
		v.open(m.ID, had)
		v.write(agEvent{Type: "TEXT_MESSAGE_CONTENT", MessageID: m.ID, Delta: rest})
		had.text = text
	}
	if m.Complete {
		v.closeText(m.ID, had)
	}
	return true
}

func (v *agView) open(id string, m *agShown) {
	if !m.open {
		m.open = true
		v.closeIdeas(id)
		v.write(agEvent{Type: "TEXT_MESSAGE_START", MessageID: id, Role: m.role})
	}
}

func (v *agView) closeText(id string, m *agShown) {
	if m.open {
		m.open = false
		v.write(agEvent{Type: "TEXT_MESSAGE_END", MessageID: id})
	}
}

// growIdeas does for the reasoning before a message what growText does for its text.
func (v *agView) growIdeas(m *fold.Message) bool {
	if m.Complete {
		v.closeIdeas(m.ID)
		return true
	}
	parts := make(map[string]string)
	for _, part := range m.Parts {
		if part.Kind != "reasoning" {
			continue
		}
		id := ideaID(m.ID, part.Number)
		parts[id] = part.Text
		if !slices.ContainsFunc(v.ideas, func(i *agIdea) bool { return i.id == id }) && part.Text != "" {
			v.ideas = append(v.ideas, &agIdea{id: id, message: m.ID})
			v.join(id, "reasoning")
		}
	}
	for _, idea := range v.ideas {
		if idea.message != m.ID {
			continue
		}
		text := parts[idea.id]
		if !strings.HasPrefix(text, idea.text) {
			return false
		}
		if rest := text[len(idea.text):]; rest != "" {
			if !idea.open {
				idea.open = true
				v.write(agEvent{Type: "REASONING_START", MessageID: idea.id},
					agEvent{Type: "REASONING_MESSAGE_START", MessageID: idea.id, Role: "reasoning"})
			}
			v.write(agEvent{Type: "REASONING_MESSAGE_CONTENT", MessageID: idea.id, Delta: rest})
			idea.text = text
		}
	}
	return true
}

// closeIdeas ends the reasoning before a message, or all if the id is empty.
func (v *agView) closeIdeas(message string) {
	for _, idea := range v.ideas {
		if idea.open && (message == "" || idea.message == message) {
			idea.open = false
			v.write(agEvent{Type: "REASONING_MESSAGE_END", MessageID: idea.id}, agEvent{Type: "REASONING_END", MessageID: idea.id})
		}
	}
}

// growCalls does for the calls in a message what growText does for its text.
func (v *agView) growCalls(id string, calls []agShownCall) bool {
	had := v.shown[id]
	if had == nil {
		if _, taken := v.roles[id]; taken && len(calls) > 0 {
			return false
		}
		had = &agShown{role: "assistant"}
	}
	for _, call := range had.calls {
		if !slices.ContainsFunc(calls, func(c agShownCall) bool { return c.id == call.id }) {
			return false
		}
	}
	for _, call := range calls {
		at := slices.IndexFunc(had.calls, func(c agShownCall) bool { return c.id == call.id })
		if at < 0 {
			if v.shown[id] == nil {
				v.shown[id] = had
				v.join(id, had.role)
			}
			at = len(had.calls)
			had.calls = append(had.calls, agShownCall{id: call.id, name: call.name, arguments: call.arguments})
			v.write(agEvent{Type: "TOOL_CALL_START", ToolCallID: call.id, ToolCallName: call.name, ParentMessageID: id},
				agEvent{Type: "TOOL_CALL_ARGS", ToolCallID: call.id, Delta: call.arguments},
				agEvent{Type: "TOOL_CALL_END", ToolCallID: call.id})
		}
		if !v.growResult(id, &had.calls[at], call) {
			return false
		}
	}
	return true
}

func (v *agView) growResult(id string, had *agShownCall, call agShownCall) bool {
	switch {
	case had.name != call.name || had.arguments != call.arguments || had.result != nil && call.result == nil:
		return false
	case call.result == nil:
		return true
	case had.result != nil:
		return *had.result == *call.result
	}
	had.result = call.result
	result := agResultMessage(call)
	v.write(agEvent{
		Type: "TOOL_CALL_RESULT", MessageID: result.ID, ToolCallID: call.id, Content: result.Content, Role: "tool", Metadata: result.Metadata,
	})
	// The client puts it after the message with the call, and after the results that are there already.
	at := slices.Index(v.client, id) + 1
	for at < len(v.client) && v.roles[v.client[at]] == "tool" {
		at++
	}
	v.client = slices.Insert(v.client, at, result.ID)
	v.roles[result.ID] = "tool"
	return true
}

// write encodes events at once, since what they point to may change before they are sent.
func (v *agView) write(events ...agEvent) {
	for i := range events {
		text, err := json.Marshal(&events[i])
		v.err = cmp.Or(v.err, err)
		v.events = append(append(append(v.events, "data: "...), text...), "\n\n"...)
	}
}

// recorded notes that a message of this run has come to the feed.
func (v *agView) recorded(id string) {
	v.asking = slices.DeleteFunc(v.asking, func(m agMessage) bool { return m.ID == id })
}
