// Package faults holds tests only. Each makes a world of its own, with a PostgreSQL, one to three servers in processes of
// their own, and a network between them that can be made bad; it has an audit write and follow workflows on every transport,
// does something bad to that world, and requires that every client was given every item once, in order, and was told what was
// erased. What happens to one workflow must hardly be felt by those who follow others.
//
// Flags (after -args): -long does the same longer, with more of everything; -soak is how long TestSoak lasts; -seed makes it
// do what an earlier one did.
package faults
