package demo

import (
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

const article = `# Rivers

Rivers carry fresh water from the mountains to the sea. It was raining. A river grows when small rivers join it:

- Rain and snow feed the rivers of a region.
- Lakes store the water.

Towns grew along rivers because rivers gave them water, food and a way to travel. My aunt likes tea. The water of a river
may be used many times on its way to the sea. That is all.
`

func TestTheSummaryHasTheSentencesThatSayMostInTheirOrder(t *testing.T) {
	t.Parallel()
	a := analyze(article)

	require.Equal(t, []string{
		"Rivers carry fresh water from the mountains to the sea.",
		"Rain and snow feed the rivers of a region.",
		"Towns grew along rivers because rivers gave them water, food and a way to travel.",
		"The water of a river may be used many times on its way to the sea.",
	}, a.Summary)
}

func TestTheStatisticsAreCorrect(t *testing.T) {
	t.Parallel()
	a := analyze("The feed is live. The feed, a feed! Is it 42?\n\nIt’s live: ok.")

	require.Equal(t, Analysis{
		Summary:     a.Summary,
		Sentences:   4,
		Words:       14,
		Distinct:    9, // the feed is live a it 42 it’s ok
		Characters:  61,
		Frequent:    []Frequency{{"feed", 3}, {"live", 2}, {"ok", 1}},
		ReadingTime: 14 / 238. * 60,
		Tokens:      20, // and . , ! ? : .
	}, a)
}

func TestAnyTextGetsAnAnswer(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text    string
		summary []string
	}{
		"empty":               {"", []string{}},
		"white space":         {" \n\t\u3000\u2028 ", []string{}},
		"one word":            {"hi", []string{"hi"}},
		"function words only": {"It is. It was.", []string{"It is."}},
		"emoji":               {"😀😀", []string{"😀😀"}},
		"marks":               {"?!", []string{"?!"}},
		"a heading only":      {"# Title", []string{"Title"}},
		"the same again":      {strings.Repeat("The sea is wide. ", 30), []string{"The sea is wide."}},
		"an image only":       {"![x](y)", []string{}},
		"Chinese":             {"河流很长。", []string{"河流很长。"}},
		"invalid UTF-8":       {"broken \xff\xfe text", []string{"broken \xff\xfe text"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := analyze(test.text)
			require.Equal(t, test.summary, a.Summary)
			require.NotEmpty(t, reply(a))
		})
	}
}

func TestLargeTextsAreAnalyzedWhateverTheyAre(t *testing.T) {
	t.Parallel()
	for _, part := range []string{article, "a. ", "a", "(", "`[", "![a](b ", "<a ", "<!--", "你好。", "\n", "\x00", "- ", "|a"} {
		size := 1 << 18
		if part == article {
			size = 1 << 20
		}
		text := strings.Repeat(part, size/len(part))

		a := Analyze(text)

		require.Positive(t, a.ProcessingTime)
		requireSound(t, text, a)
	}
}

func TestTheAnswerReadsAsPlainText(t *testing.T) {
	t.Parallel()
	require.Equal(t, `**Summary** (2 of 1,234 sentences)

> First one.
>
> Second one.

**Statistics**

- 12,345 words, 1,000 distinct
- 1,234 sentences, 1,234,567 characters
- reading time: about 52 minutes
- most frequent words: river (100), sea (1)
`, reply(Analysis{
		Summary: []string{"First one.", "Second one."}, Sentences: 1234, Words: 12345, Distinct: 1000, Characters: 1234567,
		Frequent: []Frequency{{"river", 100}, {"sea", 1}}, ReadingTime: 12345 / wordsPerMinute * 60,
	}))
	require.Equal(t, "There is no text in this message to summarize.", reply(analyze(" ")))
}

func FuzzAnalyze(f *testing.F) {
	for _, text := range []string{
		"", article, "One. Two! Three?", "Dr. A. (b. C) `d. E`", "你好。再见！", "# h\n===\n- [ ] x\n|a|b|\n```\ncode", "a\xff\xc3. B",
		"![a](b) [c][d] <b>e</b> &nbsp; <!-- f -->", "cafe\u0301 \u202e 👩‍👩‍👧 \x00", "\r\n\r\u2028\u2029", strings.Repeat("x", 600), "> > q\n***\n~~~",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		requireSound(t, text, analyze(text))
	})
}

// requireSound checks what holds for any text.
func requireSound(t *testing.T, text string, a Analysis) {
	t.Helper()
	require.LessOrEqual(t, len(a.Summary), maxSummary)
	require.LessOrEqual(t, len(a.Summary), a.Sentences)
	require.Equal(t, a.Sentences > 0, len(a.Summary) > 0)
	require.LessOrEqual(t, a.Distinct, a.Words)
	require.GreaterOrEqual(t, a.Tokens, int64(a.Words))
	require.Equal(t, utf8.RuneCountInString(text), a.Characters)
	require.LessOrEqual(t, len(a.Frequent), min(maxFrequent, a.Distinct))
	sentences := []string{}
	for _, b := range blocks(text) {
		sentences = append(sentences, split(b.text)...)
	}
	rest := withoutSpace(text)
	for _, s := range a.Summary {
		require.NotEmpty(t, strings.TrimSpace(s))
		require.LessOrEqual(t, utf8.RuneCountInString(s), 500)
		require.True(t, utf8.ValidString(s) || !utf8.ValidString(text), "%q", s)
		at := slices.Index(sentences, s)
		require.GreaterOrEqual(t, at, 0, "%q is a sentence of the text, after the one before", s)
		sentences = sentences[at+1:]
		var found bool
		rest, found = without(rest, withoutSpace(s))
		require.True(t, found, "%q is in the text", s)
	}
}

// without returns what follows in text the characters of s, each after the one before; markup may stand between them.
func without(text, s string) (rest string, found bool) {
	for len(s) > 0 {
		if text == "" {
			return "", false
		}
		if text[0] == s[0] {
			s = s[1:]
		}
		text = text[1:]
	}
	return text, true
}

func withoutSpace(s string) string {
	var b strings.Builder
	for _, field := range strings.FieldsFunc(s, unicode.IsSpace) {
		b.WriteString(field)
	}
	return b.String()
}
