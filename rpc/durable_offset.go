package rpc

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"chatfeed/feed"
)

// What a request of the Durable Streams protocol may ask to be sent live.
const (
	livePoll   = "long-poll"
	liveEvents = "sse"
)

// offsetDigits is the length of an offset: that of the latest cursor.
const offsetDigits = len("9223372036854775807")

// formatOffset writes a cursor as the protocol's offset: microseconds, with leading zeros, so that the order of the texts is
// that of the cursors.
func formatOffset(c feed.Cursor) string {
	return fmt.Sprintf("%0*d", offsetDigits, max(c, 0)) // nothing is stamped before 1970
}

// parseOffset reads an offset, or a cursor as any other transport has it, which is never that long.
func parseOffset(text string) (feed.Cursor, bool) {
	if len(text) == offsetDigits && allDigits(text) {
		micros, err := strconv.ParseInt(text, 10, 64)
		return feed.Cursor(micros), err == nil
	}
	if strings.ContainsAny(text, " \"") { // which a time may have elsewhere
		return 0, false
	}
	return parseTimestamp(text)
}

// durableRequest reads a request of the Durable Streams protocol. Besides what that has, it takes types.
func durableRequest(r *http.Request) (durableRead, error) {
	query := r.URL.Query()
	d := durableRead{
		request: request{from: []start{{workflowID: r.PathValue("id")}}, types: parseTypes(durableForm.types, query)},
		live:    query.Get("live"),
		cursor:  newStreamCursor(time.Now(), query.Get("cursor")),
	}
	switch {
	case d.live != livePoll && d.live != liveEvents && query.Has("live"):
		return d, invalid("live", "is %.100q; %s and %s are accepted", d.live, livePoll, liveEvents)
	case d.live != "" && !query.Has(durableForm.after):
		return d, invalid(durableForm.after, "is missing; with live, -1, now and a Stream-Next-Offset are accepted")
	}
	if err := d.begin(query); err != nil {
		return d, err
	}
	return d, d.check(durableForm)
}

// begin reads where the request begins.
func (d *durableRead) begin(query url.Values) error {
	texts := query[durableForm.after]
	switch {
	case len(texts) == 0, len(texts) == 1 && texts[0] == "-1":
		return nil
	case len(texts) > 1:
		return invalid(durableForm.after, "is given %d times; one is accepted", len(texts))
	case texts[0] == "now":
		d.now = true
		return nil
	}
	after, ok := parseOffset(texts[0])
	if !ok {
		return invalid(durableForm.after, "%.100q is not an offset; -1 for the beginning, now for the end, a Stream-Next-Offset, and a cursor "+
			"in Unix seconds with up to six decimals or as RFC 3339 are accepted", texts[0])
	}
	d.from[0].after = &after
	return nil
}

// streamCursor is the protocol's cursor, which has nothing to do with ours: a number that grows every 20 seconds, which
// clients send back with their next request so that no cache answers them with the same for ever.
type streamCursor struct{ least int64 }

const (
	cursorEpoch    = 1728432000 // Unix seconds: 2024-10-09, the protocol's
	cursorInterval = 20         // seconds
	cursorJitter   = 3600       // seconds
	maxCursorSeen  = 1 << 53    // more than this is not a number that was sent
)

// newStreamCursor returns a cursor that is greater than the one that the client has seen, if that is one.
func newStreamCursor(now time.Time, seen string) streamCursor {
	n, err := strconv.ParseInt(seen, 10, 64)
	if err != nil || n > maxCursorSeen || n < cursorAt(now) {
		return streamCursor{}
	}
	return streamCursor{n + 1 + rand.Int64N(cursorJitter/cursorInterval)} //nolint:gosec // it only spreads requests
}

func cursorAt(now time.Time) int64 { return (now.Unix() - cursorEpoch) / cursorInterval }

func (c streamCursor) text() string {
	return strconv.FormatInt(max(c.least, cursorAt(time.Now())), 10)
}
