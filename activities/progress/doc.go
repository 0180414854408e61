// Package progress lets a workflow say how far it has come, and its watchers learn it, without a poll of the workflow.
//
// A workflow makes a [Tracker] and sets its progress; options say how watchers learn of it:
//
//   - [Feed], the default: each change is an item of the workflow's feed, for any number of watchers, with its history.
//   - [LongPoll]: an Update that is answered when the progress has changed.
//   - [Hybrid]: watchers subscribe with a signal, are told of changes by an activity, and ask with a query.
//   - [Push]: a webhook is called with the changes.
//
// [NewInterceptor] records the beginning and the end of all workflows of a worker, without a line in them.
//
// Everything here is deterministic, so workflows may be replayed. It records with the activities of package
// chatfeed/activities.
package progress
