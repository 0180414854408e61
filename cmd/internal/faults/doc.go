// Package faults holds tests only. Each test makes an environment of its own (a world): a PostgreSQL, one to three servers in
// processes of their own, and a network between them whose conditions can be made bad. An audit writes and follows workflows
// on every transport. The test injects a fault, and requires that every client received every item once, in order, and was
// notified of erasures. A fault of one workflow must hardly affect clients that follow others.
//
// Flags (after -args): -long runs the same for longer, with more of everything; -soak is how long TestSoak lasts; -seed
// repeats an earlier run.
package faults
