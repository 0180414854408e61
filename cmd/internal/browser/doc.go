// Package browser holds tests only, of the client for browsers in web/client with the server as it is. `just client` installs its
// packages and compiles it.
package browser
