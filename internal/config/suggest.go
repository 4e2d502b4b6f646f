package config

import (
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// maxSuggested bounds the words that are compared: a longer one was not meant
// to be any of ours, and comparing takes time by the square.
const maxSuggested = 64

// nearestWord returns the one of words that is most like word, if any is like it.
func nearestWord(word string, words []string) (string, bool) {
	if len(word) > maxSuggested {
		return "", false
	}
	best, distance := "", len(word)/3+2
	for _, w := range words {
		if len(w) > maxSuggested {
			continue
		}
		if d := levenshtein.ComputeDistance(strings.ToLower(word), w); d < distance && d < len(w) {
			best, distance = w, d
		}
	}
	return best, best != ""
}

// suggest is the advice for a word that is none of words: the nearest, or all
// of them. what names them, as in "the issuers are".
func suggest(word string, words []string, what string) string {
	if near, ok := nearestWord(word, words); ok {
		return "did you mean " + quote(near) + "?"
	}
	words = slices.Sorted(slices.Values(words))
	const listed = 40
	if len(words) > listed {
		words = append(words[:listed:listed], "…")
	}
	return what + " " + strings.Join(words, ", ")
}
