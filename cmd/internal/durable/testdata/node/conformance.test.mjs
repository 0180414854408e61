// Runs the protocol's conformance tests against the server at CONFORMANCE_TEST_URL, whose long polls take a second.
import { runConformanceTests } from "@durable-streams/server-conformance-tests"

runConformanceTests({ baseUrl: process.env.CONFORMANCE_TEST_URL, longPollTimeoutMs: 1000 })
