package feed

import "context"

// Reader reads a feed's items. Once Heads or a [Waker] has returned a head of a workflow, every read that starts later must
// see all items of the workflow up to that head. So it reads from the primary, never from a lagging replica.
//
// Its methods are called concurrently. At most 16 calls are running at a time, however many
// subscriptions there are: 1 of the sweep; 2 each of comparisons (Heads), loads (Heads, Erased, After, Before), new
// items (After), pages and single reads (After, Before); and 5 of workflows that fail or are slow. Without failures it is at
// most 8: a second comparison, load or read of new items begins only when the first takes more than half a second. With
// fewer than 16 connections, healthy workflows may have to wait for failing ones.
//
// Each call must end within a timeout that the reader sets, with an error if necessary.
type Reader interface {
	// After returns for each position the oldest items after it, as many as the window allows, in order.
	After(ctx context.Context, at []Position, window Window) ([]Page, error)

	// Before returns for each position the newest items before it, as many as the window allows, in order: the oldest of
	// them first.
	Before(ctx context.Context, at []Position, window Window) ([]Page, error)

	// Heads returns the head of each of the workflows, at most 1,024. A workflow without items is absent.
	Heads(ctx context.Context, workflowIDs []string) (map[string]Head, error)

	// Erased returns the items of a workflow that were erased after the mark, in order of their marks, at most limit. No two
	// of them have the same mark. It returns none if the source no longer knows them.
	Erased(ctx context.Context, workflowID string, after int64, limit int) ([]Gone, error)
}

// Waker reports which workflows may have new items. Its reports are hints: the sweep finds missing ones, and a wrong one costs
// a read. So it need not be the same system as the reader; it can be a message broker between many feeds and one listener.
type Waker interface {
	// Listen calls wake for each workflow that may have new items, with its head, until ctx ends or the waker can no
	// longer receive; the error says why. It calls connected each time that it has begun to listen: from then on it calls
	// wake for every commit. The feed calls Listen again after an error, so Listen need not retry. Neither function
	// blocks. A head of zero means that items of the workflow were erased.
	Listen(ctx context.Context, connected func(), wake func(workflowID string, head Cursor)) error
}

// Source is a [Reader] and a [Waker] in one.
type Source interface {
	Reader
	Waker
}

// Head is the newest state of a workflow as the source has it.
type Head struct {
	At     Cursor // CreatedAt of its newest item
	Born   Cursor // when its history began; a different value after it was erased and written again
	Erased int64  // the mark of the last erasure; it only grows while Born stays the same. All three are from the same instant
}

// Position is a place in a workflow's order: between the item at the cursor and the next.
type Position struct {
	WorkflowID string
	Cursor     Cursor
}

// Bounds limits the number of items and their total bytes.
type Bounds struct {
	Items int
	Bytes int
}

// Window bounds a page. The item that reaches Bytes is the page's last, so a page is empty only if there is no item.
type Window struct {
	Items int
	Bytes int
	Types []string // only items of these types; nil means all
}

// Page is a contiguous run of a workflow's items, oldest first.
type Page struct {
	Items []*Item
	More  bool // there may be more items in the direction of reading
	Final bool // the workflow is known to be closed after these items; set by [Feed.Page] and [Feed.Await]
}
