package feed

import "context"

// Reader reads a feed's items. All items that a workflow has up to any head that Heads or a [Waker] has given must be
// visible to a read that starts after: it reads from the primary, never from a lagging copy.
//
// Its methods are called from several goroutines at once. At most 16 calls are running at a time, however many
// subscriptions there are: 1 of the sweep; 2 each of comparisons (Heads), loads (Heads, Erased, After, Before), new
// items (After), pages and single reads (After, Before); and 5 of workflows that fail or are slow. Where all is well it is 8:
// a second comparison, load or read of new items begins only when the first takes more than half a second. A reader with
// fewer connections than that makes healthy workflows wait for sick ones.
//
// Each call has to end, with an error if need be, within a time that the reader sets.
type Reader interface {
	// After returns for each position the oldest items after it, as many as the window allows, in order.
	After(ctx context.Context, at []Position, window Window) ([]Page, error)

	// Before returns for each position the newest items before it, as many as the window allows, in order: the oldest of
	// them first.
	Before(ctx context.Context, at []Position, window Window) ([]Page, error)

	// Heads returns the head of each of the workflows, at most 1,024. A workflow without items is absent.
	Heads(ctx context.Context, workflowIDs []string) (map[string]Head, error)

	// Erased returns the items of a workflow that were erased after the mark, in order of their marks, at most limit. No two
	// of them have the same mark. A source that no longer knows any of them returns none.
	Erased(ctx context.Context, workflowID string, after int64, limit int) ([]Gone, error)
}

// Waker says which workflows may have new items. What it says is a hint: what it leaves out is found by the sweep, what it
// says in vain costs a read. So it may be of another kind than the reader, such as a message broker between many feeds and
// one listener.
type Waker interface {
	// Listen calls wake for each workflow that may have new items, with the head it is told of, until ctx ends or the
	// waker can no longer hear; the error says why. It calls connected each time that it has begun to listen: from
	// then on wake is called for all that commits. The feed calls Listen again after an error, so it need not retry.
	// Neither function blocks. A head of zero says that items of the workflow were erased.
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
	Born   Cursor // when its history began; a different value once it was erased and written anew
	Erased int64  // the mark of the last erasure; it only grows while Born stays. All three are of one instant
}

// Position is a place in a workflow's order: between the item at the cursor and the next.
type Position struct {
	WorkflowID string
	Cursor     Cursor
}

// Bounds is how many items, and how many bytes of them, something may hold.
type Bounds struct {
	Items int
	Bytes int
}

// Window bounds a page. The item that reaches Bytes is the page's last, so a page has an item wherever there is one.
type Window struct {
	Items int
	Bytes int
	Types []string // only items of these types; nil means all
}

// Page is a run of a workflow's items without a gap, oldest first.
type Page struct {
	Items []*Item
	More  bool // there may be more items in the direction of reading
}
