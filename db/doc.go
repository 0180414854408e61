// Package db writes a workflow's items to PostgreSQL and reads them for the feed.
//
// Writing comes in two forms. [Append] takes part in a transaction of the caller's, so that business rows and chat rows
// commit together or not at all. [Writer] is for everyone else: it commits what many callers have queued at once, which is
// several times as fast as a commit for each.
//
// What makes reading safe is in the schema and not here: a trigger stamps "_createdAt" under the lock of the workflow's
// row, which is held until the transaction ends. So within one workflow the order of "_createdAt" is the order of commit,
// and whoever can see an item can see every earlier one, whichever program wrote it, at whichever isolation level. [Source]
// relies on that and reads after a bare timestamp. It must lead to the primary: a lagging copy would break the promise of
// [feed.Source].
//
// An open transaction that has written to a workflow makes other writers of that workflow wait until it ends, and no others:
// transactions that write to different workflows never wait for each other, and writes to a workflow that somebody else has
// locked leave a Writer's group and wait apart.
//
// What is sent to PostgreSQL is named with its schema, so that it may run on a connection with any search path.
package db
