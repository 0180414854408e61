package demo

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestSentencesEndAsForAReader(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"plain":                    {"One. Two! Three? Four", []string{"One.", "Two!", "Three?", "Four"}},
		"several marks":            {"Really?! Yes... Well.", []string{"Really?!", "Yes...", "Well."}},
		"ellipsis in the middle":   {"Wait… what is it? Go… Now.", []string{"Wait… what is it?", "Go…", "Now."}},
		"abbreviations":            {"Dr. Smith met J. Doe, e.g. at noon. Then he left.", []string{"Dr. Smith met J. Doe, e.g. at noon.", "Then he left."}},
		"numbers and versions":     {"Pi is 3.14 in v1.2.3. That holds.", []string{"Pi is 3.14 in v1.2.3.", "That holds."}},
		"lower case goes on":       {"Yahoo! is a name. It was.", []string{"Yahoo! is a name.", "It was."}},
		"quotes close":             {"“Stop.” She went. (Why?) Who knows.", []string{"“Stop.”", "She went.", "(Why?) Who knows."}},
		"code is no sentence":      {"Call `a. B()` now. Done.", []string{"Call `a. B()` now.", "Done."}},
		"emphasis closes":          {"**It works.** Try it.", []string{"**It works.**", "Try it."}},
		"open bracket":             {"A smile :( here. Next one.", []string{"A smile :( here.", "Next one."}},
		"Chinese":                  {"你好。今天天气很好！我们走吧", []string{"你好。", "今天天气很好！", "我们走吧"}},
		"Hindi":                    {"यह एक वाक्य है। दूसरा वाक्य।", []string{"यह एक वाक्य है।", "दूसरा वाक्य।"}},
		"Arabic":                   {"هل هذا سؤال؟ نعم.", []string{"هل هذا سؤال؟", "نعم."}},
		"no letters":               {"😀 !!!", []string{"😀 !!!"}},
		"nothing but marks at all": {"...", []string{"..."}},
		"nothing":                  {"", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, split(test.text))
		})
	}
}

func TestALongTextWithoutAnEndIsCutAtWhiteSpace(t *testing.T) {
	t.Parallel()
	spaced := split(strings.TrimSpace(strings.Repeat("größer ", 200)))
	solid := split(strings.Repeat("界", 1200))

	require.Equal(t, strings.TrimSpace(strings.Repeat("größer ", 200)), strings.Join(spaced, " "))
	require.Equal(t, strings.Repeat("界", 1200), strings.Join(solid, ""))
	for _, piece := range append(spaced, solid...) {
		require.LessOrEqual(t, utf8.RuneCountInString(piece), 500)
	}
}

func TestMarkdownIsReadByItsBlocks(t *testing.T) {
	t.Parallel()
	text := strings.Join([]string{
		"# Title #", "[![badge](https://ci/x.svg)](https://ci) <br/>", "", "A paragraph over", "two lines with a [link](https://x \"t\").",
		"<!-- a comment", "over lines -->", "", "Underlined", "===", "> quoted text.", "", "- [x] first item", "  goes on", "2) second item", "",
		"```go", "code. Not Prose.", "```", "| a | b |", "|---|:-:|", "| c &nbsp; | `d` |", "", "[ref]: https://x", "***", "The <b>end</b>.",
		"```not a fence``` it goes on.", "~~~", "never closed",
	}, "\r\n")

	require.Equal(t, []block{
		{"Title", heading},
		{"A paragraph over two lines with a link.", prose},
		{"Underlined", heading},
		{"quoted text.", prose},
		{"first item goes on", item},
		{"second item", item},
		{"a", cell},
		{"b", cell},
		{"c", cell},
		{"`d`", cell},
		{"The end. ```not a fence``` it goes on.", prose},
	}, blocks(text))
}

func TestATextOfOnlyCodeIsAnalyzed(t *testing.T) {
	t.Parallel()
	require.Equal(t, []block{{"``` x := 1 ```", prose}}, blocks("```\nx := 1\n```"))
}

func TestWordsAreFoundInAnyScript(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text  string
		words []string
		marks int
	}{
		"English":       {"Don't panic, it’s state-of-the-art!", []string{"Don't", "panic", "it’s", "state-of-the-art"}, 2},
		"numbers":       {"3.14 and 1,000 or 7.", []string{"3.14", "and", "1,000", "or", "7"}, 1},
		"identifiers":   {"`snake_case` _emphasis_", []string{"snake_case", "emphasis"}, 4},
		"no gap":        {"one.two,three", []string{"one", "two", "three"}, 2},
		"addresses":     {"See https://example.org/a?b. Or x.org/y, and/or z", []string{"See", "Or", "and", "or", "z"}, 3},
		"accents":       {"naïve cafe\u0301", []string{"naïve", "cafe\u0301"}, 0},
		"Chinese":       {"你好, Go", []string{"你", "好", "Go"}, 1},
		"Japanese":      {"東京タワー", []string{"東", "京", "タワー"}, 0},
		"Russian":       {"Привет, мир", []string{"Привет", "мир"}, 1},
		"emoji":         {"👍🏽 ok", []string{"ok"}, 2},
		"invalid UTF-8": {"a\xffb", []string{"a", "b"}, 1},
		"white space":   {" \t\u00a0\n", nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var words []string
			marks := tokens(test.text, func(word string) { words = append(words, word) })
			require.Equal(t, test.words, words)
			require.Equal(t, test.marks, marks)
		})
	}
}
