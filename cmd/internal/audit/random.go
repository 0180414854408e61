package audit

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"

	"chatfeed/db"
)

// randomItem makes an item of a random type and returns its index in kinds. Its contents contain its id.
func randomItem(workflow, id string) (made db.Item, kind int) {
	metadata := randomMetadata(id)
	kind = rand.N(4)
	switch kind {
	case 0:
		return db.Message{
			WorkflowID: workflow, ID: id, Role: oneOf("user", "assistant", `r"ô\le`), Message: randomText(id),
			Status: oneOf("", "received", "complete", "🟢"), Metadata: metadata,
		}, kind
	case 1:
		return db.Log{
			WorkflowID: workflow, ID: id, Level: oneOf("debug", "info", "warn", "error"), Message: randomText(id), Metadata: metadata,
		}, kind
	case 2:
		if metadata == nil { // it has no text
			metadata = json.RawMessage(`"` + id + `"`)
		}
		return db.Stat{
			WorkflowID: workflow, ID: id, ProcessingTime: rand.ExpFloat64(), TokenCount: int64(rand.N(math.MaxInt32) * rand.N(2)),
			Metadata: metadata,
		}, kind
	}
	return db.Progress{
		WorkflowID: workflow, ID: id, Progress: oneOf(0, 100, 100*rand.Float64()), Status: oneOf("", "reading", "done"),
		Result: randomText(id), Metadata: metadata,
	}, kind
}

// randomText is a text from a few bytes to some KiB, with characters that encoders may get wrong.
func randomText(id string) string {
	var b strings.Builder
	b.WriteString(id)
	for size := int(8 * math.Exp(rand.Float64()*math.Log(512))); b.Len() < size; {
		b.WriteString(oneOf(" ", "word ", "the quick brown fox ", `"quoted" `, `back\slash \n \u0041 `, "line\nline\r\n\t", "ä€𝄞 ", "👩‍👩‍👧 ",
			"e\u0301 ", "שלום ", "</script><!-- & ", "\u2028\u2029\ufeff", "\x01\x1f\x7f", "日本語 ", "%s %d 'x' -- ;", "\ufffd", "{[:,]} "))
	}
	return b.String()
}

// randomMetadata is nil for most items.
func randomMetadata(id string) json.RawMessage {
	number := strconv.FormatFloat(rand.NormFloat64()*1e6, 'g', -1, 64)
	switch rand.N(20) {
	case 0:
		text, _ := json.Marshal(map[string]any{
			"id": id, "text": randomText(id), "list": []any{1, "two", nil, true, []any{}, map[string]any{}}, "": json.Number(number),
		})
		return text
	case 1:
		return json.RawMessage(`[` + number + `, -0.0, 1e3, "` + id + `"]`)
	case 2:
		return json.RawMessage(`{"of": "` + id + `", "null": null, "é\"": {"b": false, "a": ` + number + `}}`)
	}
	return nil
}

func oneOf[T any](of ...T) T { return of[rand.N(len(of))] }
