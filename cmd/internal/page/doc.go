// Package page tests the page with the real server, in Chromium.
package page
