package db

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"
)

// The bounds of an item's parts, in bytes; the tables' checks have the same.
const (
	maxWorkflowID = 1000
	maxID         = 200
	maxLabel      = 1000
	maxBody       = 1 << 20
	maxMetadata   = 64 << 10
)

// The most that one call may write, so that it fits in the timeout of a transaction.
const (
	MaxItems = 10_000
	MaxBytes = 16 << 20 // of texts and metadata
)

// InvalidItemError says which field of an item cannot be stored and why. Nothing of the call has been written.
type InvalidItemError struct {
	Index  int    // of the item in the call; negative if the error concerns the whole call or it is not known which item
	Field  string // by its JSON name
	Reason string // what is invalid and what is accepted

	cause error // ErrClosed or nil
}

// ErrClosed is wrapped by the error of a write to a workflow in which nothing can be written any more, because a progress item of
// it is final.
var ErrClosed = errors.New("the workflow is closed")

// Error implements error, in one line.
func (e *InvalidItemError) Error() string {
	if e.Index < 0 {
		return fmt.Sprintf("%s: %s", e.Field, e.Reason)
	}
	return fmt.Sprintf("item %d: %s: %s", e.Index, e.Field, e.Reason)
}

// Unwrap returns [ErrClosed] if that is the reason, or nil.
func (e *InvalidItemError) Unwrap() error { return e.cause }

// checker keeps the first error of an item.
type checker struct {
	field, reason string
}

func (c *checker) fail(field, format string, args ...any) {
	if c.field == "" {
		c.field, c.reason = field, fmt.Sprintf(format, args...)
	}
}

func (c *checker) text(field, s string, most int) {
	switch {
	case len(s) > most:
		c.fail(field, "is %d bytes long; at most %d bytes are accepted", len(s), most)
	case strings.ContainsRune(s, 0):
		c.fail(field, "contains a NUL byte, which PostgreSQL cannot store; text without NUL is accepted")
	case !utf8.ValidString(s):
		c.fail(field, "is not valid UTF-8; UTF-8 text is accepted")
	}
}

func (c *checker) number(field string, n, least, most float64, accepted string) {
	if !(n >= least && n <= most) { // so that NaN fails
		c.fail(field, "is %v; accepted is %s", n, accepted)
	}
}

func (c *checker) key(k key) {
	if k.workflowID == "" {
		c.fail("workflowId", "is empty; 1 to %d bytes are accepted", maxWorkflowID)
	}
	c.text("workflowId", k.workflowID, maxWorkflowID)
	c.text("id", k.id, maxID)
	c.value("metadata", k.metadata, maxMetadata)
}

// checked returns the items as rows, or an [InvalidItemError].
func checked(items []Item) ([]row, error) {
	if len(items) > MaxItems {
		return nil, &InvalidItemError{Index: -1, Field: "items", Reason: fmt.Sprintf(
			"are %d; at most %d are accepted in one call", len(items), MaxItems)}
	}
	size := 0
	rows := make([]row, len(items))
	for i, item := range items {
		if item == nil || reflect.ValueOf(item).Kind() == reflect.Pointer && reflect.ValueOf(item).IsNil() {
			return nil, &InvalidItemError{Index: i, Field: "item", Reason: "is nil; an item of this package is accepted"}
		}
		k, kind := item.key(), item.kind()
		if k.id == "" {
			k.id = newID(kind.prefix)
		}
		item = item.with(k.workflowID, k.id)
		var c checker
		kind.check(&c, item)
		c.key(k)
		if c.field != "" {
			return nil, &InvalidItemError{Index: i, Field: c.field, Reason: c.reason}
		}
		rows[i] = row{Item: item, workflowID: k.workflowID, id: k.id, metadata: string(k.metadata), index: i}
		size += rows[i].bytes()
	}
	if size > MaxBytes {
		return nil, &InvalidItemError{Index: -1, Field: "items", Reason: fmt.Sprintf(
			"have %d bytes; at most %d are accepted in one call", size, MaxBytes)}
	}
	return rows, nil
}
