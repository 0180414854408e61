package feed

import "errors"

// ErrDraining is what [Subscription.Next] returns when the feed is shutting down. The subscription's position is where
// its last batch ended, so its client can resume from its own cursors at another server and misses nothing.
var ErrDraining = errors.New("feed: draining")

// ErrBusy is what [Feed.Page] and [Feed.Await] return when too many reads are waiting to begin, or this one has waited for
// too long. It says nothing about the workflow; the same call may succeed a moment later.
var ErrBusy = errors.New("feed: too many single reads are waiting")

// ErrClosed is what [Subscription.Add] returns when the subscription is closed.
var ErrClosed = errors.New("feed: the subscription is closed")
