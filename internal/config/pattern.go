package config

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// segment is what stands between two slashes of a route's path.
type segment struct {
	text       string // as written; of a parameter, its name
	parameter  bool
	expression string // of a parameter: what it must match, empty for anything
}

// parsePath takes a route's path apart. problem says what is wrong with it;
// empty if nothing is.
func parsePath(path string) (segments []segment, problem, advice string) {
	if !strings.HasPrefix(path, "/") {
		return nil, "a path begins with /", "write /* for every path"
	}
	var names []string
	parts := splitPath(path[1:])
	for i, part := range parts {
		s, problem, advice := parseSegment(part, i == len(parts)-1)
		switch {
		case problem != "":
			return nil, problem, advice
		case s.parameter && slices.Contains(names, s.text):
			return nil, "two parameters of the path have the same name", "give each its own"
		case s.parameter:
			names = append(names, s.text)
		}
		segments = append(segments, s)
	}
	return segments, "", ""
}

// splitPath parts path at its slashes, but for those in braces.
func splitPath(path string) []string {
	var parts []string
	depth, start := 0, 0
	for i := range len(path) {
		switch path[i] {
		case '{':
			depth++
		case '}':
			depth--
		case '/':
			if depth <= 0 {
				parts = append(parts, path[start:i])
				start = i + 1
			}
		}
	}
	return append(parts, path[start:])
}

func parseSegment(text string, last bool) (s segment, problem, advice string) {
	switch {
	case text == "" && !last:
		return s, "the path holds //", "write one slash"
	case text == "*" && last:
		return segment{text: text}, "", ""
	case strings.HasPrefix(text, "{"):
		return parseParameter(text)
	case strings.ContainsAny(text, "{}"):
		return s, "a parameter must be a whole segment of the path", "write it as in /orders/{id}"
	case strings.Contains(text, "*"):
		return s, "a * must be the last segment of the path", "write it as in /orders/*"
	case strings.ContainsAny(text, "?#"):
		return s, "a path holds no query and no fragment", "remove what begins with ? or #"
	case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }):
		return s, "the path holds a backslash or a control character", "write the path without"
	}
	plain, err := url.PathUnescape(text)
	if err != nil || strings.ContainsFunc(plain, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }) {
		return s, "the path holds a broken percent escape", "write %25 for a percent sign"
	}
	for piece := range strings.SplitSeq(plain, "/") {
		if name, _, _ := strings.Cut(piece, ";"); name == "." || name == ".." {
			return s, "the path holds . or .. as a segment", "write the path without"
		}
	}
	return segment{text: text}, "", ""
}

// parseParameter reads {name} or {name:expression}, the expression being one of
// a whole segment.
func parseParameter(text string) (s segment, problem, advice string) {
	depth := 0
	for i := range len(text) {
		switch text[i] {
		case '{':
			depth++
		case '}':
			depth--
		}
		if depth == 0 && i < len(text)-1 {
			return s, "a parameter must be a whole segment of the path", "write it as in /orders/{id}"
		}
	}
	if depth != 0 {
		return s, "a { in the path is not closed", "write a parameter as in /orders/{id}"
	}
	name, expression, has := strings.Cut(text[1:len(text)-1], ":")
	if !isName(name, 64) || strings.ContainsAny(name, ".-") {
		return s, "a parameter of the path has no name of letters, digits and _", "write it as in /orders/{id}"
	}
	if has {
		if _, err := regexp.Compile("^(?:" + expression + ")$"); err != nil || expression == "" {
			return s, "a parameter's regular expression is not one", "write it as in /orders/{id:[0-9]+}"
		}
		if strings.Contains(expression, "/") {
			return s, "a parameter's regular expression holds a slash", "a parameter is one segment; write several"
		}
	}
	return segment{text: name, parameter: true, expression: expression}, "", ""
}

// shape returns what two paths share that match the same requests: literals in
// one spelling, parameters without their names.
func shape(segments []segment) string {
	var b strings.Builder
	for i, s := range segments {
		switch {
		case s.parameter:
			b.WriteString("/{" + strconv.Quote(s.expression) + "}")
		case s.text == "*" && i == len(segments)-1:
			b.WriteString("/*")
		default:
			plain, _ := url.PathUnescape(s.text)
			b.WriteString("/" + url.PathEscape(plain))
		}
	}
	return b.String()
}

// literal returns the segments that a path begins with before any parameter.
func literal(segments []segment) []string {
	var list []string
	for _, s := range segments {
		if s.parameter || s.text == "*" {
			break
		}
		list = append(list, s.text)
	}
	return list
}
