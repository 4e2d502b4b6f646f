package config

import (
	"slices"
	"strings"
)

// resource checks the identifier of a protected resource (RFC 9728, section 1.2):
// clients hold what they asked for against it, byte for byte.
func (k *checker) resource(path, raw string) {
	u, ok := parseURL(raw)
	if !ok {
		k.fail(path, "expected a URL such as https://orders.example.com/orders, got "+k.showURL(path, raw), "")
		return
	}
	k.fetched(path, raw)
	segments := strings.Split(strings.Trim(u.EscapedPath(), "/"), "/")
	switch {
	case u.RawQuery != "" || u.ForceQuery:
		k.fail(path, "a resource has no query", "remove what begins with ?")
	case dotted(u) || strings.Contains(u.EscapedPath(), "//") || strings.ContainsAny(u.EscapedPath(), "%;") || slices.ContainsFunc(segments, func(s string) bool { return !isPlain(s) }):
		k.fail(path, "a resource's path has plain segments only, got "+k.show(path, u.EscapedPath()), "use letters, digits, dots, _, ~ and -")
	}
}

// isPlain reports whether a segment of a path reads the same to everybody.
func isPlain(segment string) bool {
	return strings.IndexFunc(segment, func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9') && !strings.ContainsRune("-._~", c)
	}) < 0
}
