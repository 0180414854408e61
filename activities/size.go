package activities

import (
	"fmt"

	"chatfeed/db"
)

// What one call may record. More would hold up everyone who writes, fail on every attempt, and take the worker's memory.
const (
	maxItems = 1000
	maxBytes = 16 << 20
)

func checkSize(items []db.Item) error {
	if len(items) > maxItems {
		return fmt.Errorf("items: are %d; at most %d are accepted in one call", len(items), maxItems)
	}
	bytes := 0
	for _, item := range items {
		bytes += size(item)
	}
	if bytes > maxBytes && len(items) > 1 { // of one alone, a field is too long
		return fmt.Errorf("items: are %d bytes together; at most %d bytes are accepted in one call", bytes, maxBytes)
	}
	return nil
}

// size is how many bytes the texts of an item have.
func size(item db.Item) int {
	switch it := item.(type) {
	case Message:
		return len(it.WorkflowID) + len(it.ID) + len(it.Metadata) + len(it.Role) + len(it.Message) + len(it.Status)
	case Log:
		return len(it.WorkflowID) + len(it.ID) + len(it.Metadata) + len(it.Level) + len(it.Message)
	case Stat:
		return len(it.WorkflowID) + len(it.ID) + len(it.Metadata)
	case Progress:
		return len(it.WorkflowID) + len(it.ID) + len(it.Metadata) + len(it.Status) + len(it.Result)
	default:
		return 0
	}
}
