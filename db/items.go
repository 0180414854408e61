package db

import "encoding/json"

// Item is what can be appended to a workflow's feed: a [Message], [Log], [Stat], [Progress], [Delta] or [Tool]. Its JSON names are those
// that clients see.
//
// In each of them WorkflowID is 1 to 1,000 bytes; ID is at most 200 bytes and unique among the workflow's items of the
// type, and an empty one is replaced by a new unique one; Metadata is any JSON value of at most 64 KiB, or nil. Texts
// are UTF-8 without NUL, labels (role, status, level) at most 1,000 bytes and bodies (message, result) at most 1 MiB.
type Item interface {
	kind() *Kind
	key() key
	// with returns the item, as a value and not a pointer, with the given ids.
	with(workflowID, id string) Item
}

// WithDefaults returns the item and its id. An empty workflow is replaced by the given one, an empty id by the prefix of the
// item's type and the result of makeID.
func WithDefaults(item Item, workflowID string, makeID func() string) (with Item, id string) {
	k := item.key()
	if k.workflowID != "" {
		workflowID = k.workflowID
	}
	if k.id == "" {
		k.id = item.kind().prefix + makeID()
	}
	return item.with(workflowID, k.id), k.id
}

// key is the fields that every type of item has.
type key struct {
	workflowID string
	id         string
	metadata   json.RawMessage
}

// row is a checked item with its id.
type row struct {
	Item
	workflowID string
	id         string
	metadata   string // empty means none
	index      int    // in the items of its call or group
}

// bytes is the size of the row's body and metadata.
func (r row) bytes() int { return r.kind().size(r.Item) + len(r.metadata) }
