package secrets

import (
	"fmt"
	"slices"
	"strings"
)

// maxNames bounds the names of one list.
const maxNames = 10_000

// fits reports whether the pattern fits a name: * stands for any text, slashes
// too, all else for itself. An empty pattern fits all.
func fits(pattern, name string) bool {
	if pattern == "" {
		return true
	}
	parts := strings.Split(pattern, "*")
	first, last := parts[0], parts[len(parts)-1]
	if len(parts) == 1 {
		return name == pattern
	}
	name, begins := strings.CutPrefix(name, first)
	if !begins {
		return false
	}
	name, ends := strings.CutSuffix(name, last)
	for _, part := range parts[1 : len(parts)-1] {
		_, rest, found := strings.Cut(name, part)
		if !found {
			return false
		}
		name = rest
	}
	return ends
}

// names sorts list and takes out what occurs twice. More than maxNames are an
// error, for one who sees a part may take it for all.
func names(list []string) ([]string, error) {
	slices.Sort(list)
	list = slices.Compact(list)
	if len(list) > maxNames {
		return nil, errTooManyNames()
	}
	return list, nil
}

func errTooManyNames() error {
	return fmt.Errorf("%w: more than %d names fit; give a narrower pattern", ErrInvalid, maxNames)
}
