// Package db writes a workflow's items to PostgreSQL and reads them for the feed.
//
// There are two ways to write. [Append] takes part in the caller's transaction, so that business rows and chat rows commit
// together or not at all. [Writer] is for everyone else: it commits the writes of many callers together, which is several
// times as fast as a commit for each.
//
// What makes reading safe is in the schema, not here: a trigger stamps "_createdAt" under the lock of the workflow's
// row, which is held until the transaction ends. So within one workflow the order of "_createdAt" is the order of commit,
// and a reader that sees an item sees every earlier one, whichever program wrote it, at any isolation level. [Source] relies
// on that and reads after a bare timestamp. It must connect to the primary: a lagging replica would break the contract of
// [feed.Source].
//
// An open transaction that has written to a workflow makes other writers of that workflow wait until it ends, but no others:
// transactions that write to different workflows never wait for each other, and writes to a workflow that someone else has
// locked leave a Writer's group and wait separately.
//
// All names in statements are qualified with their schema, so that they work with any search path.
package db
