// Package feed turns hints that a workflow has new items into an ordered, resumable stream of those items for any
// number of subscriptions.
//
// It knows no SQL, no HTTP and no Temporal. It reads through a [Source], whose one duty is the order invariant: within
// one workflow the items' CreatedAt is strictly increasing, and whoever can see an item can see every earlier one. From
// that follows all that the package promises:
//
//   - A cursor is a single number, and the items after it are exactly those that a client at that cursor lacks.
//   - A wake is only a hint. It marks a topic dirty; what the topic then reads is every item after the last it has, so
//     wakes may be lost, repeated, early or out of order. A sweep finds what wakes have missed.
//   - A topic's tail is contiguous: it holds every item of the workflow after its floor. A subscription whose position
//     is at or above the floor is served from memory, any other from the source a page at a time, and either way it
//     moves along one line. Catching up, live, slow and reconnecting are not different states.
//   - A subscription holds positions and no queue, so a slow one costs nothing but itself and can lose nothing.
//   - A topic is registered before its first read. An item that commits before the read is in it; one that commits after
//     has a wake, or a sweep, that finds the topic registered.
//
// # Data's way
//
// [Source].Listen calls wake; wake puts the topic on the dirty list. One loop takes all dirty topics and reads them in
// one batch; what arrives meanwhile is in the next. The items are appended to the tails and the topics' subscriptions
// are told that there is something, once, however much it is. Each takes it at its own pace with [Subscription.Next].
//
// # Who may call what
//
// A [Feed]'s methods may be called at once from any goroutine. A [Subscription] belongs to one goroutine. Items are
// shared and never change; their receivers must not change them either.
package feed
