// Package watcher records the status of workflows that do not record it themselves, as Temporal has it: that they run, what a
// query says of their progress, and how they ended, also if they were terminated, timed out or reset and could not say so.
//
// It asks Temporal only about workflows that someone follows. Of several servers one asks about a workflow, the one that holds the
// workflow's advisory lock in PostgreSQL. The lock ends with the session of its owner, however the owner ends, and then another
// server takes it.
//
//	feed ── Followed ──▶ Run: locks ──▶ a poller for each workflow that is locked
//	                                     Temporal.Describe, Query   at most 200 calls a second
//	                                     decide: is it worth an item?
//	                                     Writer.Write ──▶ PostgreSQL ──▶ feed, as any other item
//
// A poller keeps nothing that it could not find out again: what has been said already is read from the workflow's items before
// something is written, and the id of an item is made of the run, of what it says and, if it may be said more than once, of the
// item that it follows. So two servers that write at the same time, because one has lost its locks and does not know it yet,
// write the same item, which is stored once.
package watcher
