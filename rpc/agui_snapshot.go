package rpc

import (
	"encoding/json"
	"slices"
)

// agResultMessage is the message that a client makes of a call's result.
func agResultMessage(call agShownCall) agMessage {
	m := agMessage{ID: call.id + ":result", Role: "tool", Content: &call.result.text, ToolCallID: call.id}
	if call.result.state != "" {
		m.Metadata = &agToolMetadata{call.result.state}
	}
	return m
}

// conversation is all messages as the client should have them, with what is there of those that are being written, and the state
// that a client is in which has been given them.
func (v *agView) conversation() ([]agMessage, map[string]*agShown) {
	messages, shown, calls := []agMessage{}, make(map[string]*agShown), v.calls()
	for _, id := range v.order {
		m, visible := v.message(id)
		if !visible {
			continue
		}
		now := &agShown{role: "assistant", calls: calls[id]}
		for _, idea := range v.ideas {
			if idea.message == id {
				messages = append(messages, agMessage{ID: idea.id, Role: "reasoning", Content: &idea.text})
			}
		}
		if m != nil {
			now.role, now.text = agRole(m), m.Text()
		}
		if len(now.calls) == 0 && now.text == "" && (m == nil || !m.Complete) {
			continue
		}
		message := agMessage{ID: id, Role: now.role, Content: &now.text}
		var results []agMessage
		for _, call := range now.calls {
			message.ToolCalls = append(message.ToolCalls, agToolCall{call.id, "function", agFunction{call.name, call.arguments}})
			if call.result != nil {
				results = append(results, agResultMessage(call))
			}
		}
		shown[id] = now
		messages = append(append(messages, message), results...)
	}
	for _, m := range v.asking {
		messages = append(messages, m)
		shown[m.ID] = &agShown{role: m.Role, text: *m.Content}
	}
	return messages, shown
}

// settleIdeas makes the reasoning what it is now. What the client was given of a message that is not shown any more, or of an attempt
// that has failed, is left out if a snapshot has other reasoning, and else emptied: a client gives its reasoning up only for other.
func (v *agView) settleIdeas() {
	for _, idea := range v.ideas {
		m, visible := v.message(idea.message)
		switch {
		case m == nil || !visible:
			idea.text = ""
		case !m.Complete:
			idea.text = ""
			for _, part := range m.Parts {
				if part.Kind == "reasoning" && idea.id == ideaID(m.ID, part.Number) {
					idea.text = part.Text
				}
			}
		}
	}
	for _, id := range v.order {
		m, visible := v.message(id)
		if m == nil || !visible || m.Complete {
			continue
		}
		for _, part := range m.Parts {
			id := ideaID(m.ID, part.Number)
			if part.Kind == "reasoning" && part.Text != "" && !slices.ContainsFunc(v.ideas, func(i *agIdea) bool { return i.id == id }) {
				v.ideas = append(v.ideas, &agIdea{id: id, message: m.ID, text: part.Text})
			}
		}
	}
	empty := func(i *agIdea) bool { return i.text == "" }
	if !slices.ContainsFunc(v.ideas, func(i *agIdea) bool { return !empty(i) }) {
		return
	}
	v.ideas = slices.DeleteFunc(v.ideas, empty)
}

// snapshot makes the client have exactly what there is. Messages that are open are ended first; what follows of them begins with a
// start again, after which the client adds to the text of the snapshot.
func (v *agView) snapshot() {
	v.closeAll()
	v.settleIdeas()
	messages, shown := v.conversation()
	orphans := v.orphans(messages)
	messages = append(orphans, messages...)
	want, reasons := make([]string, len(messages)), false
	roles := make(map[string]string, len(messages))
	for i, m := range messages {
		want[i], roles[m.ID] = m.ID, m.Role
		reasons = reasons || m.Role == "reasoning"
	}
	if !slices.Equal(v.merged(want, roles), want) {
		v.write(agEvent{Type: "MESSAGES_SNAPSHOT", Messages: v.blank(reasons)})
	}
	v.write(agEvent{Type: "MESSAGES_SNAPSHOT", Messages: messages})
	v.client, v.roles, v.shown, v.stale = want, roles, shown, false
}

// orphans are the client's reasoning messages, now empty, that belong to no message which is shown.
func (v *agView) orphans(messages []agMessage) []agMessage {
	var orphans []agMessage
	for _, idea := range v.ideas {
		if !slices.ContainsFunc(messages, func(m agMessage) bool { return m.ID == idea.id }) {
			orphans = append(orphans, agMessage{ID: idea.id, Role: "reasoning", Content: &idea.text})
		}
	}
	return orphans
}

// merged is the order in which a client has the messages after a snapshot: those that it had keep their places, and new ones come
// last. Without reasoning in the snapshot it keeps its own, which does not count here.
func (v *agView) merged(want []string, roles map[string]string) []string {
	var merged []string
	had := make(map[string]bool, len(v.client))
	for _, id := range v.client {
		if _, stays := roles[id]; stays {
			merged = append(merged, id)
			had[id] = true
		}
	}
	for _, id := range want {
		if !had[id] {
			merged = append(merged, id)
		}
	}
	return merged
}

// blank is a snapshot after which the client has none of its messages, so that those of the next one come in their order. A client
// gives its reasoning up only for a snapshot that has some.
func (v *agView) blank(reasons bool) []agMessage {
	if !reasons {
		return []agMessage{}
	}
	none := ""
	return []agMessage{{ID: "none" + ideaMark, Role: "reasoning", Content: &none}}
}

// closeAll ends the messages that are open.
func (v *agView) closeAll() {
	v.closeIdeas("")
	for _, id := range v.client {
		if m := v.shown[id]; m != nil {
			v.closeText(id, m)
		}
	}
}

// inOrder reports whether the client has the messages in the order of the feed. It has not if a message of its own has come to the
// feed after others.
func (v *agView) inOrder() bool {
	at := make(map[string]int, len(v.order))
	for i, id := range v.order {
		at[id] = i
	}
	last := -1
	for _, id := range v.client {
		place, known := at[id]
		if !known || v.shown[id] == nil {
			continue
		}
		if place < last {
			return false
		}
		last = place
	}
	return true
}

// unmarshalText reports whether a JSON value is a text.
func unmarshalText(value json.RawMessage, text *string) bool {
	return len(value) > 0 && value[0] == '"' && json.Unmarshal(value, text) == nil
}
