// Package feed turns hints that a workflow has new items into an ordered, resumable stream of those items for any
// number of subscriptions.
//
// It knows no SQL, no HTTP and no Temporal. It reads through a [Reader], which must keep one invariant: within
// one workflow the items' CreatedAt is strictly increasing, and a reader that sees an item sees every earlier one. All
// guarantees of the package follow from it:
//
//   - A cursor is a single number, and the items after it are exactly the ones that a client at that cursor does not have.
//   - A wake is only a hint. It marks a topic dirty; the topic then reads every item after its last one. So wakes may be
//     lost, repeated, early or out of order. A sweep finds what wakes have missed.
//   - A topic's tail is contiguous: it holds every item of the workflow after its floor. A subscription whose position
//     is at or above the floor is served from memory, any other from the source, a page at a time. Both move the same
//     position forward: catching up, live, slow and reconnecting are not different states.
//   - A subscription holds positions and no queue, so a slow one delays no other and loses nothing.
//   - A topic is registered before its first read. The read returns every item that committed before it; for an item that
//     commits later, the wake or the sweep finds the topic registered.
//   - Up to date is a statement about now. It is based on a read or comparison of the topic that began after
//     the subscription, and is withdrawn when the source has not answered for two sweeps.
//
// # Erasures and lost commits
//
// Normally a workflow's history only grows. There are three exceptions, and a topic detects each by comparing itself with
// the source's [Head]. In each case it drops its tail, so that nothing is served from memory that the source no longer has,
// discards the reads in flight, and loads again. What followers have to know is in the topic's news, a short log; each
// follower remembers how much of it it has read.
//
//   - Items were erased: the mark of the last erasure has grown. Followers receive the list of erased items.
//   - The workflow was erased, and perhaps written again: its born time differs, or it does not exist. Followers are
//     notified and start again from the beginning.
//   - The head has gone back, because a failover lost commits. Positions go back to the newest item that the topic and the
//     source have in common, and the source's items after it are delivered. This is noticed only while the source's head is
//     below what the topic has read. If lost commits are replaced by later ones before a comparison, new subscriptions
//     receive the replacements; subscriptions that were past them do not.
//
// # Data flow
//
// [Waker].Listen calls wake; wake puts the topic in the lane for new items. Its reader reads all waiting topics
// in one batch; topics that arrive meanwhile are in the next. The items are appended to the tails and the topics'
// subscriptions are woken, once for any number of items. Each takes them at its own pace with [Subscription.Next].
//
// Comparisons, loads, new items, pages of subscriptions and single reads have a lane each, and none waits for another. Failing
// and slow reads are isolated: another reader splits a batch that failed or was slow into smaller ones, until each workflow
// has been read or has failed alone. A workflow that fails or is slow alone is from then on read alone, after pauses and
// with a smaller window, until a read of it is fast. So it delays only itself. Reads that nobody waits for are skipped.
//
// # Concurrency
//
// A [Feed]'s methods may be called concurrently. A [Subscription] belongs to one goroutine, but any goroutine may add and
// drop its workflows. Items are shared and immutable; receivers must not change them.
package feed
