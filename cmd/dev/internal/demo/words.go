package demo

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// functionWords are the English words that say little about what a text is about, and the Chinese particles.
const functionWords = " a about above after again against all also am an and any are aren't as at be because been before " +
	"being below between both but by can can't cannot could couldn't did didn't do does doesn't doing don't down during " +
	"each else even ever every few for from further get gets got had hadn't has hasn't have haven't having he her here " +
	"hers herself him himself his how however i i'd i'll i'm i've if in into is isn't it it's its itself just let let's " +
	"many may me might more most much must my myself no nor not now of off on once one only onto or other our ours " +
	"ourselves out over own per rather same shall she should shouldn't since so some still such than that that's the " +
	"their theirs them themselves then there there's these they they're this those through thus to too under until up " +
	"upon us use used uses using very via was wasn't we we're were weren't what when where whether which while who whom " +
	"whose why will with within without won't would wouldn't yet you you're your yours yourself yourselves " +
	"的 了 是 在 和 不 也 就 都 而 及 与 着 或 有 我 你 他 她 它 们 这 那 "

// abbreviations are words that end with a full stop, without it, in lower case.
const abbreviations = " al approx bzw ca cf dr e.g eg fig i.e ie mr mrs ms nr prof resp sr st viz vs z.b "

// tokens calls word with each word of a text, in order, and returns the number of the marks between them: anything that
// is neither part of a word nor white space.
//
// A word is a run of letters, digits and combining marks, with hyphens, apostrophes and underscores inside, and
// points or commas between digits. An ideograph is a word of its own.
//
// An address, such as that of a web page or a file, counts as one mark.
func tokens(text string, word func(string)) (marks int) {
	for field := range strings.FieldsSeq(text) {
		if isAddress(field) {
			marks++
		} else {
			marks += fieldTokens(field, word)
		}
	}
	return marks
}

func fieldTokens(text string, word func(string)) (marks int) {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case unicode.Is(unicode.Ideographic, r):
			size += markLength(text[i+size:])
			word(text[i : i+size])
		case isWordRune(r):
			size = wordLength(text[i:])
			word(text[i : i+size])
		default:
			marks++
		}
		i += size
	}
	return marks
}

// isAddress reports whether a field, the text between white space, is an address. In scripts without spaces a field may be a
// whole sentence.
func isAddress(field string) bool {
	for i := range len(field) {
		if field[i] > unicode.MaxASCII {
			return false
		}
	}
	field = strings.TrimRight(field, ".,;:!?)")
	return strings.Contains(field, "://") || strings.Contains(field, "/") && strings.Contains(field, ".")
}

// wordLength is the length of the word that text begins with.
func wordLength(text string) int {
	last, end := utf8.DecodeRuneInString(text)
	for end < len(text) {
		r, size := utf8.DecodeRuneInString(text[end:])
		if joins(r) {
			next, nextSize := utf8.DecodeRuneInString(text[end+size:])
			digits := unicode.IsDigit(last) && unicode.IsDigit(next)
			if !continues(next) || !digits && (r == '.' || r == ',') {
				break
			}
			r, size = next, size+nextSize
		}
		if !continues(r) {
			break
		}
		last = r
		end += size
	}
	return end
}

func markLength(text string) int {
	end := 0
	for end < len(text) {
		r, size := utf8.DecodeRuneInString(text[end:])
		if !unicode.IsMark(r) {
			break
		}
		end += size
	}
	return end
}

func isWordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }

func continues(r rune) bool {
	return (isWordRune(r) || unicode.IsMark(r)) && !unicode.Is(unicode.Ideographic, r)
}

func joins(r rune) bool {
	switch r {
	case '\'', '’', '-', '‐', '_', '.', ',':
		return true
	}
	return false
}
