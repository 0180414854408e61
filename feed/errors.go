package feed

import "errors"

// ErrDraining is what [Subscription.Next] returns when the feed is shutting down. The subscription's position is where
// its last batch ended, so its client resumes from its own cursors elsewhere and misses nothing.
var ErrDraining = errors.New("feed: draining")

// ErrBusy is what [Feed.Page] and [Feed.Await] return when too many reads wait for theirs to begin, or one has waited for
// too long. It says nothing of the workflow; the same call may succeed a moment later.
var ErrBusy = errors.New("feed: too many single reads wait")

// ErrClosed is what [Subscription.Add] returns when the subscription is closed.
var ErrClosed = errors.New("feed: the subscription is closed")
