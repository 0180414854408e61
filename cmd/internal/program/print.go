package program

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"

	"google.golang.org/protobuf/encoding/protojson"

	v1 "chatfeed/rpc/chatfeedv1"
)

// printer prints items as text: a line each, further lines of a text indented below.
func printer(w io.Writer, many bool) func(*v1.Item) error {
	return func(item *v1.Item) error {
		line := item.GetCreatedAt().AsTime().Local().Format("15:04:05.000")
		if many {
			line += "  " + printable(item.GetWorkflowId())
		}
		kind, text := describe(item)
		indent := strings.Repeat(" ", len("15:04:05.000  "))
		text = strings.ReplaceAll(printable(strings.TrimRight(text, " \n\t")), "\n", "\n"+indent)
		_, err := fmt.Fprintf(w, "%s  %-9s %s\n", line, kind, text)
		return err
	}
}

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
		return "stat", fmt.Sprintf("%.3f s, %d tokens", it.Stat.GetProcessingTime(), it.Stat.GetTokenCount())
	case *v1.Item_Progress:
		text = fmt.Sprintf("%3.0f %% %s", it.Progress.GetProgress(), it.Progress.GetStatus())
		if it.Progress.GetResult() != "" {
			text += ": " + it.Progress.GetResult()
		}
		return "progress", text
	}
	return "item", item.GetId()
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
		text, err := protojson.Marshal(item)
		if err != nil {
			return err
		}
		var line bytes.Buffer
		if err := json.Compact(&line, text); err != nil {
			return err
		}
		line.WriteByte('\n')
		_, err = w.Write(line.Bytes())
		return err
	}
}
