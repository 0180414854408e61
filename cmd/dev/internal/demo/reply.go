package demo

import (
	"fmt"
	"strconv"
	"strings"
)

// reply is the answer to a message: Markdown that reads well as plain text.
func reply(a Analysis) string {
	if len(a.Summary) == 0 {
		return "There is no text in this message to summarize."
	}
	var b strings.Builder
	fmt.Fprintf(&b, "**Summary** (%d of %s)\n\n", len(a.Summary), count(a.Sentences, "sentence", "sentences"))
	for i, s := range a.Summary {
		if i > 0 {
			b.WriteString(">\n")
		}
		fmt.Fprintf(&b, "> %s\n", s)
	}
	b.WriteString("\n**Statistics**\n\n")
	fmt.Fprintf(&b, "- %s, %s distinct\n", count(a.Words, "word", "words"), grouped(a.Distinct))
	fmt.Fprintf(&b, "- %s, %s\n", count(a.Sentences, "sentence", "sentences"), count(a.Characters, "character", "characters"))
	fmt.Fprintf(&b, "- reading time: %s\n", minutes(a.ReadingTime))
	if len(a.Frequent) > 0 {
		words := make([]string, len(a.Frequent))
		for i, f := range a.Frequent {
			words[i] = fmt.Sprintf("%s (%s)", f.Word, grouped(f.Count))
		}
		fmt.Fprintf(&b, "- most frequent words: %s\n", strings.Join(words, ", "))
	}
	return b.String()
}

// reasons says why the reply is as it is.
func reasons(a Analysis) string {
	if len(a.Frequent) == 0 {
		return "The text has no words to look for. "
	}
	words := make([]string, len(a.Frequent))
	for i, f := range a.Frequent {
		words[i] = "\u201c" + f.Word + "\u201d"
	}
	return "Looking for the sentences that say most about " + strings.Join(words, ", ") + ". "
}

// grouped writes a number that is not negative with a comma between groups of three digits.
func grouped(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
