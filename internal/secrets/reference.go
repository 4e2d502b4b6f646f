package secrets

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxReference bounds a path, and a field, in bytes.
const maxReference = 1024

// Reference says where a secret is: at Path, or in the field Field of what is
// there.
type Reference struct{ Path, Field string }

// ParseReference reads ${secret:PATH} or ${secret:PATH#FIELD}, which must be
// the whole of s. Its errors wrap [ErrInvalid] and quote nothing of s, which
// may well be a secret written in the wrong place.
func ParseReference(s string) (Reference, error) {
	name, opened := strings.CutPrefix(s, "${secret:")
	name, closed := strings.CutSuffix(name, "}")
	if !opened || !closed {
		return Reference{}, fmt.Errorf("secret reference: %w: must be ${secret:PATH} or ${secret:PATH#FIELD} and nothing else", ErrInvalid)
	}
	return ParseName(name)
}

// ParseName reads PATH or PATH#FIELD, as on a command line. Its errors wrap
// [ErrInvalid] and quote nothing of s either.
func ParseName(s string) (Reference, error) {
	path, field, hasField := strings.Cut(s, "#")
	if fault := faultOf(path); fault != "" {
		return Reference{}, fmt.Errorf("secret reference: %w: the path %s", ErrInvalid, fault)
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return Reference{}, fmt.Errorf("secret reference: %w: a . or .. stands as a segment of the path", ErrInvalid)
		}
	}
	if !hasField {
		return Reference{Path: path}, nil
	}
	if fault := faultOf(field); fault != "" {
		return Reference{}, fmt.Errorf("secret reference: %w: the field after # %s", ErrInvalid, fault)
	}
	return Reference{Path: path, Field: field}, nil
}

// faultOf tells what is wrong with a path or a field.
func faultOf(part string) string {
	unprintable := func(r rune) bool { return !unicode.IsPrint(r) }
	switch {
	case part == "":
		return "is empty"
	case len(part) > maxReference:
		return fmt.Sprintf("is longer than %d bytes", maxReference)
	case !utf8.ValidString(part) || strings.ContainsFunc(part, unprintable):
		return "has a character that cannot be printed"
	case strings.TrimSpace(part) != part:
		return "begins or ends with a space"
	case strings.ContainsAny(part, "{}"):
		return "has a brace: one reference must be the whole value"
	case strings.Contains(part, "#"):
		return "has a second #"
	}
	return ""
}

// String returns PATH#FIELD, or PATH where there is no field.
func (r Reference) String() string {
	if r.Field == "" {
		return r.Path
	}
	return r.Path + "#" + r.Field
}
