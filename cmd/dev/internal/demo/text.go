package demo

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The weight of a sentence by the kind of block it is in.
const (
	prose   = 1.0
	item    = 0.7
	heading = 0.2
	cell    = 0.1
)

// block is a piece of text that no sentence crosses, with its white space collapsed and its links reduced to their
// texts.
type block struct {
	text   string
	weight float64
}

var (
	comments   = regexp.MustCompile(`(?s)<!--.*?-->`)
	images     = regexp.MustCompile(`!\[[^\[\]]*\](?:\([^()\s]*(?:\s+"[^"]*")?\)|\[[^\[\]]*\])`)
	links      = regexp.MustCompile(`\[([^\[\]]*)\](?:\([^()\s]*(?:\s+"[^"]*")?\)|\[[^\[\]]*\])`)
	tags       = regexp.MustCompile(`</?[a-zA-Z][a-zA-Z0-9-]*(?:\s+[a-zA-Z-]+(?:=(?:"[^"<>]*"|'[^'<>]*'))?)*\s*/?>`)
	spaces     = regexp.MustCompile(`&(?:nbsp|ensp|emsp|bull|middot);`)
	definition = regexp.MustCompile(`^\[[^\[\]]+\]:\s*\S+`)
	listItem   = regexp.MustCompile(`^(?:[-*+•]|\d{1,9}[.)])\s+(?:\[[ xX]\]\s+)?`)
	fence      = regexp.MustCompile("^(`{3,}|~{3,})[^`]*$")
	title      = regexp.MustCompile(`^#{1,6}(?:\s+|$)`)
	ruler      = regexp.MustCompile(`^(?:=+|(?:-\s*){2,}|(?:\*\s*){3,}|(?:_\s*){3,})$`)
	tableRuler = regexp.MustCompile(`^[|:\-\s]+$`)
)

// blocks splits a text at blank lines and, since it may be Markdown, at headings, list items and table rows. Code blocks
// are left out. If nothing else is found, the text is one block.
func blocks(text string) []block {
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u2028", "\n", "\u2029", "\n\n").Replace(text)
	var b blockBuilder
	for line := range strings.Lines(comments.ReplaceAllString(text, "")) {
		b.add(strings.TrimSpace(line))
	}
	b.flush()
	if len(b.found) == 0 {
		b.emit(text, prose)
	}
	return b.found
}

// blockBuilder takes the lines of a text.
type blockBuilder struct {
	found  []block
	lines  []string // of the open block
	weight float64  // of it
	fence  string   // that ends the open code block; empty if there is none
}

func (b *blockBuilder) add(line string) {
	if b.fence != "" {
		if strings.HasPrefix(line, b.fence) && strings.Trim(line, b.fence[:1]) == "" {
			b.fence = ""
		}
		return
	}
	for strings.HasPrefix(line, ">") {
		line = strings.TrimSpace(line[1:])
	}
	switch {
	case line == "" || definition.MatchString(line):
		b.flush()
	case fence.MatchString(line):
		b.flush()
		b.fence = fence.FindStringSubmatch(line)[1]
	case title.MatchString(line):
		b.flush()
		b.emit(strings.Trim(line, "# "), heading)
	case ruler.MatchString(line):
		if len(b.lines) == 1 && b.weight == prose && line[0] != '*' && line[0] != '_' {
			b.weight = heading // the line was underlined
		}
		b.flush()
	case strings.HasPrefix(line, "|"):
		b.flush()
		if !tableRuler.MatchString(line) {
			for text := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
				b.emit(text, cell)
			}
		}
	case listItem.MatchString(line):
		b.flush()
		b.lines, b.weight = append(b.lines, line[len(listItem.FindString(line)):]), item
	case len(b.lines) == 0:
		b.lines, b.weight = append(b.lines, line), prose
	default:
		b.lines = append(b.lines, line)
	}
}

func (b *blockBuilder) flush() {
	b.emit(strings.Join(b.lines, " "), b.weight)
	b.lines = nil
}

func (b *blockBuilder) emit(text string, weight float64) {
	text = images.ReplaceAllString(text, "")
	text = links.ReplaceAllString(text, "$1")
	text = tags.ReplaceAllString(text, "")
	text = spaces.ReplaceAllString(text, " ")
	if text = strings.Join(strings.Fields(text), " "); text != "" {
		b.found = append(b.found, block{text, weight})
	}
}

// split splits a block into its sentences, none of them longer than 500 characters.
func split(text string) []string {
	var found []string
	start := 0
	for i := 0; i < len(text); {
		if n := enclosed(text[i:]); n > 0 {
			i += n
			continue
		}
		mark, size := utf8.DecodeRuneInString(text[i:])
		end := i + size
		if !isTerminal(mark) {
			i = end
			continue
		}
		for end < len(text) {
			r, size := utf8.DecodeRuneInString(text[end:])
			if !isTerminal(r) && !isCloser(r) {
				break
			}
			end += size
		}
		if ends(text[start:i], mark, text[end:]) {
			found = appendCut(found, text[start:end])
			start = end
		}
		i = end
	}
	return appendCut(found, text[start:])
}

// appendCut appends a sentence, in pieces where it is too long, if possible cut at white space.
func appendCut(found []string, sentence string) []string {
	const most = 500 // characters
	sentence = strings.TrimSpace(sentence)
	for {
		n, space, at := 0, 0, len(sentence)
		for i, r := range sentence {
			if r == ' ' {
				space = i
			}
			if n++; n > most {
				at = i
				break
			}
		}
		if at == len(sentence) {
			break
		}
		if space > 0 {
			at = space
		}
		found = append(found, sentence[:at])
		sentence = strings.TrimSpace(sentence[at:])
	}
	if sentence == "" {
		return found
	}
	return append(found, sentence)
}

// enclosed is the length of the code or bracketed text that rest begins with, in which no sentence ends; zero if there is
// none, or if it is not closed soon.
func enclosed(rest string) int {
	var closer byte
	switch rest[0] {
	case '(':
		closer = ')'
	case '[':
		closer = ']'
	case '`':
		closer = '`'
	default:
		return 0
	}
	const near = 200 // bytes
	at := strings.IndexByte(rest[1:min(len(rest), near)], closer)
	if at < 0 {
		return 0
	}
	return at + 2
}

// ends reports whether the sentence so far ends with the mark, depending on what follows.
func ends(before string, mark rune, after string) bool {
	next, _ := utf8.DecodeRuneInString(strings.TrimLeft(after, " "))
	switch {
	case after == "":
		return true
	case mark > unicode.MaxASCII && mark != '…':
		return true // in its script, no space follows
	case after[0] != ' ' || unicode.IsLower(next):
		return false
	}
	return mark != '.' || !isAbbreviated(before)
}

func isTerminal(r rune) bool { return r == '…' || unicode.Is(unicode.Sentence_Terminal, r) }

func isCloser(r rune) bool {
	return strings.ContainsRune("\"'*_`~", r) || unicode.In(r, unicode.Pe, unicode.Pf)
}

// isAbbreviated reports whether a full stop after this belongs to its last word.
func isAbbreviated(before string) bool {
	word := strings.TrimLeft(before[strings.LastIndexByte(before, ' ')+1:], "([\"'*_“‘")
	if r, size := utf8.DecodeRuneInString(word); size == len(word) && unicode.IsUpper(r) {
		return true // an initial
	}
	return strings.Contains(abbreviations, " "+strings.ToLower(word)+" ")
}
