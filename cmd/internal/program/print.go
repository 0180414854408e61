package program

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"strings"
	"unicode"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"chatfeed/feed"
	"chatfeed/feed/fold"
	v1 "chatfeed/rpc/chatfeedv1"
)

// printer prints items as text: a line each, further lines of a text indented below. A message that is being written is printed
// as it grows.
type printer struct {
	w    io.Writer
	many bool // so that each line names its workflow

	drafts map[string]*fold.Chat // of messages that are being written, by workflow and message
	shown  map[string]int        // bytes of each part of a draft that have been printed
	open   string                // the part that the last line ends with, where that line may go on
}

func newPrinter(w io.Writer, many bool) *printer {
	return &printer{w: w, many: many, drafts: make(map[string]*fold.Chat), shown: make(map[string]int)}
}

const indent = "              " // as wide as the time

func (p *printer) print(item *v1.Item) error {
	if delta := item.GetDelta(); delta != nil {
		return p.grow(item, delta)
	}
	kind, text := describe(item)
	if message := item.GetMessage(); message != nil {
		drafted := p.finish(item.GetWorkflowId(), item.GetId())
		if rest, ok := strings.CutPrefix(message.GetMessage(), drafted); ok && drafted != "" {
			rest = strings.TrimRight(rest, " \n\t") + strings.TrimSuffix(" ["+message.GetStatus()+"]", " []")
			_, err := fmt.Fprintln(p.w, indented(rest))
			p.open = ""
			return err
		}
	}
	return p.write("", p.header(item, kind)+indented(strings.TrimRight(text, " \n\t"))+"\n")
}

// grow prints what a delta adds to its message.
func (p *printer) grow(item *v1.Item, delta *v1.Delta) error {
	draft := item.GetWorkflowId() + "\x00" + delta.GetMessageId()
	chat := p.drafts[draft]
	if chat == nil {
		chat = new(fold.Chat)
		p.drafts[draft] = chat
	}
	body, err := protojson.Marshal(delta)
	if err != nil {
		return err
	}
	if err := chat.Add(&feed.Item{Type: "delta", ID: item.GetId(), Body: body}); err != nil {
		return err
	}
	message := chat.Message(delta.GetMessageId())
	for _, part := range message.Parts {
		name := fmt.Sprintf("%s\x00%d:%d", draft, message.Attempt, part.Number)
		more := part.Text[p.shown[name]:]
		if more == "" {
			continue
		}
		p.shown[name] = len(part.Text)
		text := indented(more)
		if p.open != name {
			kind := fmt.Sprintf("%s [%s]", message.Role, map[bool]string{true: "writing", false: part.Kind}[part.Kind == "text"])
			if message.Attempt > 1 {
				kind = fmt.Sprintf("%s, attempt %d]", strings.TrimSuffix(kind, "]"), message.Attempt)
			}
			text = p.header(item, printable(kind)) + text
		}
		if err := p.write(name, text); err != nil {
			return err
		}
	}
	return nil
}

// finish forgets the draft of a message, and returns its text where the last line ends with all of it.
func (p *printer) finish(workflow, message string) string {
	draft := workflow + "\x00" + message
	chat := p.drafts[draft]
	if chat == nil {
		return ""
	}
	delete(p.drafts, draft)
	maps.DeleteFunc(p.shown, func(name string, _ int) bool { return strings.HasPrefix(name, draft+"\x00") })
	if !strings.HasPrefix(p.open, draft+"\x00") {
		return ""
	}
	return chat.Message(message).Text()
}

// header begins a line.
func (p *printer) header(item *v1.Item, kind string) string {
	line := item.GetCreatedAt().AsTime().Local().Format("15:04:05.000")
	if p.many {
		line += "  " + printable(item.GetWorkflowId())
	}
	return fmt.Sprintf("%s  %-9s ", line, kind)
}

// write writes text that goes on with what is open, or begins a line of its own. What it ends with is open from then on.
func (p *printer) write(open, text string) error {
	if p.open != "" && p.open != open {
		text = "\n" + text
	}
	p.open = open
	_, err := io.WriteString(p.w, text)
	return err
}

// indented is a text as it is printed behind a header.
func indented(text string) string { return strings.ReplaceAll(printable(text), "\n", "\n"+indent) }

func describe(item *v1.Item) (kind, text string) {
	switch it := item.GetItem().(type) {
	case *v1.Item_Message:
		text = it.Message.GetMessage()
		if strings.Contains(strings.TrimSpace(text), "\n") {
			text = "\n" + text
		}
		kind = it.Message.GetRole()
		if it.Message.GetStatus() != "" {
			kind += " [" + it.Message.GetStatus() + "]"
		}
		return printable(kind), text
	case *v1.Item_Log:
		return "log", it.Log.GetLevel() + ": " + it.Log.GetMessage()
	case *v1.Item_Stat:
		return "stat", cost(it.Stat)
	case *v1.Item_Progress:
		text = fmt.Sprintf("%3.0f %% %s", it.Progress.GetProgress(), it.Progress.GetStatus())
		if it.Progress.GetResult() != "" {
			text += ": " + it.Progress.GetResult()
		}
		if it.Progress.GetFinal() {
			text += " (final)"
		}
		return "progress", text
	case *v1.Item_Tool:
		text = it.Tool.GetName() + " [" + it.Tool.GetState() + "]"
		for _, value := range []*structpb.Value{it.Tool.GetInput(), it.Tool.GetOutput()} {
			if _, null := value.GetKind().(*structpb.Value_NullValue); value != nil && !null {
				line, err := compact(value)
				if err != nil {
					line = "?"
				}
				text += " " + line
			}
		}
		return "tool", strings.TrimSpace(text + " " + it.Tool.GetError())
	}
	return "item", item.GetId()
}

// cost is what a stat says, without what it does not know: a time, or tokens, of zero.
func cost(stat *v1.Stat) string {
	tokens := fmt.Sprintf("%d tokens", stat.GetTokenCount())
	took := fmt.Sprintf("%.3f s", stat.GetProcessingTime())
	if seconds := stat.GetProcessingTime(); seconds > 0 && seconds < 1 {
		took = fmt.Sprintf("%.1f ms", max(0.1, seconds*1000))
	}
	switch {
	case stat.GetProcessingTime() == 0:
		return tokens
	case stat.GetTokenCount() == 0:
		return took
	}
	return took + ", " + tokens
}

// printable removes control characters that would affect the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
			return -1
		}
		return r
	}, text)
}

// printJSON prints each item as a line of proto3 JSON.
func printJSON(w io.Writer) func(*v1.Item) error {
	return func(item *v1.Item) error {
		line, err := compact(item)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(w, line)
		return err
	}
}

// compact is a message in proto3 JSON without spaces, which protojson adds at random.
func compact(message proto.Message) (string, error) {
	text, err := protojson.Marshal(message)
	if err != nil {
		return "", err
	}
	var line bytes.Buffer
	if err := json.Compact(&line, text); err != nil {
		return "", err
	}
	return line.String(), nil
}
