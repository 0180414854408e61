// Package feed turns hints that a workflow has new items into an ordered, resumable stream of those items for any
// number of subscriptions.
//
// It knows no SQL, no HTTP and no Temporal. It reads through a [Reader], whose one duty is the order invariant: within
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
//   - Up to date is a statement about now. It rests on a read or comparison of the topic that began after the
//     subscription, and is taken back when the source has not answered for two sweeps.
//
// # What ends the order
//
// Three things break the line that items otherwise only ever extend, and a topic finds each by comparing itself with the
// source's [Head]. In each case it drops its tail, so that nothing is served from memory that the source no longer has,
// discards what is being read for it, and loads itself again; what followers have to know is in the topic's news, a short
// log of which each follower has heard a part.
//
//   - Items were erased: the mark of the erasures has grown. Followers are told which items are gone.
//   - The workflow was erased, and perhaps written anew: it was born at another time, or is not there. Followers are told,
//     and begin again at the beginning.
//   - The head has gone back, because a failover lost commits. Positions go back to the newest item that the topic and the
//     source both have, and what the source has after it is delivered. This can be seen only while the source's head is
//     below what the topic has read; commits that are lost and replaced by later ones before anyone compares are not missed
//     by new subscriptions, but by those that had passed them.
//
// # Data flow
//
// [Waker].Listen calls wake; wake puts the topic in the lane for new items. Its reader takes all topics that wait and reads
// them in one batch; what arrives meanwhile is in the next. The items are appended to the tails and the topics'
// subscriptions are told that there is something, once, however much it is. Each takes it at its own pace with
// [Subscription.Next].
//
// Comparisons, loads, new items, pages of subscriptions and single reads have a lane each, and none waits for another. What
// fails or is slow leaves its lane: a batch that failed or was slow is read in smaller ones by another reader, until each
// workflow has been read or has failed alone, and a workflow that has failed or been slow alone is read alone, after pauses and with a smaller window,
// until a read of it is quick. So it delays itself. Nothing is read for whom nobody waits.
//
// # Who may call what
//
// A [Feed]'s methods may be called at once from any goroutine. A [Subscription] belongs to one goroutine, but
// any may add workflows to it and drop them. Items are shared and never change; their receivers must not change them either.
package feed
