// Package durable holds tests only, of what the server serves of the Durable Streams protocol, with the protocol's own
// programs: its client, and its conformance tests for servers. Both are of npm; `just durable` installs them. Without them the
// tests are skipped, except by `just conformance`.
package durable
