package rpc

import (
	"encoding/base64"
	"encoding/binary"
	"hash/fnv"

	"chatfeed/feed"
)

// The position in one workflow is its cursor, as everywhere. The positions in many are one text that only this package
// reads: a letter, so that it is neither a number nor a time, and in base64 the hash of the workflows' ids in their order,
// the latest position, and for each workflow how far its position is before that, plus one; zero if it has none.
const positionsLetter = "p"

// formatPositions formats a client's positions in all its workflows.
func formatPositions(from []start) string {
	if len(from) == 1 {
		return formatTimestamp(from[0].cursor())
	}
	latest := feed.Cursor(0)
	for i := range from {
		latest = max(latest, from[i].cursor())
	}
	b := binary.AppendVarint(binary.BigEndian.AppendUint32(nil, hashIDs(from)), int64(latest))
	for i := range from {
		if from[i].after == nil {
			b = append(b, 0)
			continue
		}
		behind := uint64(latest - from[i].cursor()) //nolint:gosec // not negative, or it wraps around and back
		b = binary.AppendUvarint(b, behind+1)
	}
	return positionsLetter + base64.RawURLEncoding.EncodeToString(b)
}

// parsePositions reads the output of formatPositions for the same workflows into their starts. A plain time is the position
// in all of them. For anything else it returns false and changes nothing.
func parsePositions(text string, from []start) bool {
	if at, ok := parseTimestamp(text); ok {
		for i := range from {
			from[i].after = &at
		}
		return true
	}
	if len(text) == 0 || text[:1] != positionsLetter {
		return false
	}
	b, err := base64.RawURLEncoding.DecodeString(text[1:])
	if err != nil || len(b) < 4 || binary.BigEndian.Uint32(b) != hashIDs(from) {
		return false
	}
	latest, n := binary.Varint(b[4:])
	if n <= 0 {
		return false
	}
	b = b[4+n:]
	after := make([]*feed.Cursor, len(from))
	for i := range after {
		behind, n := binary.Uvarint(b)
		if n <= 0 {
			return false
		}
		b = b[n:]
		if behind > 0 {
			at := feed.Cursor(latest - int64(behind-1)) //nolint:gosec // it wraps back
			after[i] = &at
		}
	}
	if len(b) > 0 {
		return false
	}
	for i := range from {
		from[i].after = after[i]
	}
	return true
}

// hashIDs distinguishes lists of workflows, including the same ids in another order.
func hashIDs(from []start) uint32 {
	h := fnv.New32a()
	for i := range from {
		_, _ = h.Write([]byte(from[i].workflowID))
		_, _ = h.Write([]byte{0}) // which no id has
	}
	return h.Sum32()
}
