package program

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	v1 "chatfeed/rpc/chatfeedv1"
)

func TestAMessageIsPrintedAsItGrows(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	p := newPrinter(&out, false)
	at := int64(0)
	show := func(item *v1.Item) {
		at++
		item.WorkflowId, item.CreatedAt = "wf", &timestamppb.Timestamp{Seconds: at}
		require.NoError(t, p.print(item))
	}
	delta := func(message string, attempt, part, at int32, kind, text string) {
		show(&v1.Item{Id: fmt.Sprint(at), Item: &v1.Item_Delta{Delta: &v1.Delta{MessageId: message, Attempt: attempt, Part: part, Kind: kind, At: at, Delta: text}}})
	}
	message := func(id, text string) {
		show(&v1.Item{Id: id, Item: &v1.Item_Message{Message: &v1.Message{Message: text, Role: "assistant", Status: "complete"}}})
	}
	tool := func(state string, input, output *structpb.Value) {
		show(&v1.Item{Item: &v1.Item_Tool{Tool: &v1.Tool{CallId: "c", Name: "count", State: state, Input: input, Output: output}}})
	}
	delta("a", 1, 0, 0, "text", "Hel")
	delta("a", 1, 0, 3, "text", "lo\nwor")
	delta("a", 1, 0, 0, "text", "Hello\nworld") // what overlaps is not printed again
	message("a", "Hello\nworld")
	delta("b", 1, 0, 0, "reasoning", "Let me see.")
	tool("input-available", structpb.NewStringValue("x y"), nil)
	tool("output-available", structpb.NewNullValue(), structpb.NewNumberValue(2))
	delta("b", 1, 1, 0, "text", "Two")
	show(&v1.Item{Item: &v1.Item_Log{Log: &v1.Log{Level: "info", Message: "beside"}}})
	delta("b", 1, 1, 3, "text", " words")
	delta("b", 2, 0, 0, "text", "Once more\x1b[2J: ")
	delta("b", 1, 1, 9, "text", " of an attempt that was superseded")
	delta("b", 2, 0, 15, "text", "2")
	message("b", "There are 2.")
	delta("e", 1, 0, 0, "text", "whose last words")
	message("e", "whose last words come\nwith it")
	delta("c", 1, 0, 0, "text", "first")
	delta("d", 1, 0, 0, "text", "second")
	message("c", "first")
	message("d", "second and all the rest")
	show(&v1.Item{Item: &v1.Item_Progress{Progress: &v1.Progress{Progress: 100, Status: "done", Final: true}}})
	require.Empty(t, p.drafts)
	require.Empty(t, p.shown)

	want := `
assistant [writing] Hello
world [complete]
assistant [reasoning] Let me see.
tool count [input-available] "x y"
tool count [output-available] 2
assistant [writing] Two
log info: beside
assistant [writing] words
assistant [writing, attempt 2] Once more[2J: 2
assistant [complete] There are 2.
assistant [writing] whose last words come
with it [complete]
assistant [writing] first
assistant [writing] second
assistant [complete] first
assistant [complete] second and all the rest
progress 100 % done (final)
`
	got := regexp.MustCompile(`(?m)^[\d:.]{12}`).ReplaceAllString(out.String(), "")
	require.Equal(t, want, "\n"+regexp.MustCompile(`(?m)^ +| +$`).ReplaceAllString(regexp.MustCompile(` {2,}`).ReplaceAllString(got, " "), ""))
}

func TestAStatIsPrintedWithWhatItKnows(t *testing.T) {
	t.Parallel()
	for want, stat := range map[string]*v1.Stat{
		"18 tokens":          {TokenCount: 18},
		"0.1 ms, 18 tokens":  {ProcessingTime: 0.00003, TokenCount: 18},
		"34.6 ms, 1 tokens":  {ProcessingTime: 0.03456, TokenCount: 1},
		"12.346 s":           {ProcessingTime: 12.3456},
		"1.000 s, 20 tokens": {ProcessingTime: 1, TokenCount: 20},
		"0 tokens":           {},
	} {
		var out strings.Builder
		require.NoError(t, newPrinter(&out, false).print(&v1.Item{Item: &v1.Item_Stat{Stat: stat}}))
		_, printed, _ := strings.Cut(out.String(), "  stat      ")
		require.Equal(t, want+"\n", printed)
	}
}
