package demo

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxSummary     = 5    // sentences
	maxFrequent    = 5    // words
	wordsPerMinute = 238. // silent reading of English non-fiction, the average of Brysbaert 2019
)

// Analysis is the result of [Analyze]. Addresses and code blocks are not counted as words.
type Analysis struct {
	Summary    []string    `json:"-"`          // sentences of the text in its order, at most 5 of at most 500 characters
	Sentences  int         `json:"sentences"`  // including headings, list items and table cells
	Words      int         `json:"words"`      // in scripts without spaces, each ideograph counts
	Distinct   int         `json:"distinct"`   // distinct words, ignoring case
	Characters int         `json:"characters"` // Unicode code points of the text as it was sent
	Frequent   []Frequency `json:"frequent"`   // at most 5, the most frequent first; function words are left out
	// ReadingTime and ProcessingTime are in seconds: an estimate for a reader, and the duration of the analysis.
	ReadingTime    float64 `json:"readingTime"`
	ProcessingTime float64 `json:"processingTime"`
	Tokens         int64   `json:"tokens"` // words and the marks between them
}

// Frequency says how often a word occurs.
type Frequency struct {
	Word  string `json:"word"` // in lower case
	Count int    `json:"count"`
}

// Analyze analyzes a text of any content. It takes less than a second for 1 MiB.
func Analyze(text string) Analysis {
	begin := time.Now()
	a := analyze(text)
	a.ProcessingTime = time.Since(begin).Seconds()
	return a
}

func analyze(text string) Analysis {
	v := vocabulary{ids: map[string]int{}}
	sentences := read(text, &v)
	return Analysis{
		Summary:     summarize(sentences, v.weights()),
		Sentences:   len(sentences),
		Words:       v.words,
		Distinct:    len(v.counts),
		Characters:  utf8.RuneCountInString(text),
		Frequent:    v.frequent(),
		ReadingTime: float64(v.words) / wordsPerMinute * 60,
		Tokens:      int64(v.words + v.marks),
	}
}

// sentence is a sentence of the text with the data for choosing it.
type sentence struct {
	text   string
	weight float64 // of the kind of text that it is in
	words  []int   // ids of its distinct words
}

// read splits a text into sentences and counts its words.
func read(text string, v *vocabulary) []sentence {
	var sentences []sentence
	for _, b := range blocks(text) {
		for _, s := range split(b.text) {
			sentences = append(sentences, sentence{text: s, weight: b.weight * completeness(s), words: v.add(s)})
		}
	}
	return sentences
}

// completeness is lower for text that is not a whole sentence, such as a row of links, and even lower for an introduction of
// what follows.
func completeness(s string) float64 {
	last, _ := utf8.DecodeLastRuneInString(strings.TrimRightFunc(s, isCloser))
	switch {
	case isTerminal(last):
		return 1
	case last == ':' || last == '：':
		return 0.25
	}
	return 0.5
}

// vocabulary counts words. Each distinct one has an id, counting from zero.
type vocabulary struct {
	ids          map[string]int
	known        []string // by id
	counts       []int    // by id
	words, marks int
}

// add counts the words of a sentence and returns the ids of the distinct ones.
func (v *vocabulary) add(sentence string) []int {
	var ids []int
	marks := tokens(sentence, func(word string) {
		v.words++
		word = strings.ToLower(word)
		id, ok := v.ids[word]
		if !ok {
			id = len(v.counts)
			v.ids[word] = id
			v.known = append(v.known, word)
			v.counts = append(v.counts, 0)
		}
		v.counts[id]++
		ids = append(ids, id)
	})
	v.marks += marks
	slices.Sort(ids)
	return slices.Compact(ids)
}

// weights returns by id how much a word counts for a sentence: how often it occurs again, or zero for a function word.
func (v *vocabulary) weights() []float64 {
	weights := make([]float64, len(v.counts))
	for id, n := range v.counts {
		if isContent(v.known[id]) {
			weights[id] = max(float64(n-1), 0.1) / float64(v.words)
		}
	}
	return weights
}

// frequent returns the most frequent content words; of equally frequent ones those that come first in the text.
func (v *vocabulary) frequent() []Frequency {
	found := []Frequency{}
	for id, n := range v.counts {
		if isContent(v.known[id]) {
			found = append(found, Frequency{Word: shortened(v.known[id]), Count: n})
		}
	}
	slices.SortStableFunc(found, func(a, b Frequency) int { return cmp.Compare(b.Count, a.Count) })
	return slices.Clip(found[:min(len(found), maxFrequent)])
}

// summarize chooses up to a third of the sentences, one after the other: the one whose words have the most weight for
// its length. These words then lose weight, so that the next sentence is about something else.
func summarize(sentences []sentence, weights []float64) []string {
	chosen := []int{}
	taken := map[string]bool{}
	for range min(maxSummary, (len(sentences)+2)/3) {
		best, most := -1, 0.0
		for i, s := range sentences {
			score := s.score(weights)
			if i == 0 {
				score *= 1.5 // texts tend to say first what they are about
			}
			if score > most && !taken[s.text] {
				best, most = i, score
			}
		}
		if best < 0 {
			break
		}
		chosen = append(chosen, best)
		taken[sentences[best].text] = true
		for _, id := range sentences[best].words {
			weights[id] *= 0.3
		}
	}
	if len(chosen) == 0 && len(sentences) > 0 {
		chosen = append(chosen, 0)
	}
	slices.Sort(chosen)
	summary := make([]string, len(chosen))
	for i, at := range chosen {
		summary[i] = sentences[at].text
	}
	return summary
}

// score is near the mean weight of the words, and lower for a sentence of a few words.
func (s sentence) score(weights []float64) float64 {
	sum := 0.0
	for _, id := range s.words {
		sum += weights[id]
	}
	return s.weight * sum / float64(len(s.words)+5)
}

// isContent reports whether a word in lower case carries meaning: it is not a number, a single letter or a function word.
func isContent(word string) bool {
	if !strings.ContainsFunc(word, unicode.IsLetter) {
		return false
	}
	first, size := utf8.DecodeRuneInString(word)
	if size == len(word) && !unicode.Is(unicode.Ideographic, first) {
		return false
	}
	return !strings.Contains(functionWords, " "+strings.ReplaceAll(word, "’", "'")+" ")
}

// shortened limits the displayed length of a word.
func shortened(word string) string {
	const most = 40
	n := 0
	for i := range word {
		if n++; n > most {
			return word[:i] + "…"
		}
	}
	return word
}

// minutes formats a reading time as words.
func minutes(seconds float64) string {
	if seconds < 45 {
		return "less than a minute"
	}
	return "about " + count(int(math.Round(seconds/60)), "minute", "minutes")
}
