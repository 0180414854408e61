// Package browser tests the page with the real server, in Chromium.
package browser
