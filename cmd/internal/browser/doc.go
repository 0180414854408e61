// Package browser holds tests only, of the client for browsers in web/client with the server as it is, in Node and in Chromium. `just
// client`, `just page` and `just chromium` install what they need.
package browser
