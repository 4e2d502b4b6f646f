package proxy

import (
	"errors"
	"strings"
)

// Why a request target is refused. Callers are told only that it was.
var (
	errTargetForm    = errors.New("target is neither a path nor an absolute http URL")
	errTargetBytes   = errors.New("target holds a control byte, a backslash or a fragment")
	errTargetEscape  = errors.New("target holds a broken percent escape")
	errTargetSlash   = errors.New("path holds an encoded slash")
	errTargetDots    = errors.New("path holds a dot segment")
	errTargetTooLong = errors.New("target is too long")
)

// maxTarget bounds a request target, in bytes.
const maxTarget = 16 << 10

// target is a request target in its one normal form. What is matched is what
// is forwarded.
type target struct {
	path    string // begins with a slash; escapes are upper case
	query   string // as it came, without the question mark
	asked   bool   // there was a question mark
	slashes bool   // path holds %2F, which a route must ask for
}

// parseTarget normalises a request target (RFC 9112, section 3.2; RFC 3986,
// section 6.2.2): slashes in a row become one, escaped unreserved characters
// are decoded, bytes that no URI may hold are escaped. It refuses what two
// parsers could read differently: dot segments (plain, escaped, or with a
// parameter), backslashes, control bytes, fragments, broken escapes.
func parseTarget(raw string) (target, error) {
	if len(raw) > maxTarget {
		return target{}, errTargetTooLong
	}
	path, query, asked := strings.Cut(originForm(raw), "?")
	if !strings.HasPrefix(path, "/") {
		return target{}, errTargetForm
	}
	if badQuery(query) {
		return target{}, errTargetBytes
	}
	t := target{path: path, query: query, asked: asked}
	if !plain(path) {
		normal, err := normalise(path)
		if err != nil {
			return target{}, err
		}
		t.path, t.slashes = normal, strings.Contains(normal, "%2F")
	}
	if dotSegment(t.path) {
		return target{}, errTargetDots
	}
	return t, nil
}

// originForm cuts scheme and authority from an absolute-form target; the
// authority is the exchange's host, for net/http and http1 alike.
func originForm(raw string) string {
	for _, scheme := range []string{"http://", "https://"} {
		if len(raw) >= len(scheme) && strings.EqualFold(raw[:len(scheme)], scheme) {
			rest := raw[len(scheme):]
			end := strings.IndexAny(rest, "/?")
			authority := rest
			if end >= 0 {
				authority = rest[:end]
			}
			if authority == "" || strings.ContainsAny(authority, "@\\#") {
				return ""
			}
			if end < 0 {
				return "/"
			}
			if rest[end] == '?' {
				return "/" + rest[end:]
			}
			return rest[end:]
		}
	}
	return raw
}

// plain reports whether path is in normal form already, but for dot segments:
// it has no escape, no doubled slash and no byte that needs escaping.
func plain(path string) bool {
	for i := 0; i < len(path); i++ {
		c := path[i]
		if !pathByte(c) || c == '/' && i > 0 && path[i-1] == '/' {
			return false
		}
	}
	return true
}

func normalise(path string) (string, error) {
	var b strings.Builder
	b.Grow(len(path) + 8)
	last := byte(0)
	for i := 0; i < len(path); i++ {
		c := path[i]
		switch {
		case c == '/' && last == '/':
			continue
		case c == '%':
			if i+2 >= len(path) || !isHex(path[i+1]) || !isHex(path[i+2]) {
				return "", errTargetEscape
			}
			c = unhex(path[i+1])<<4 | unhex(path[i+2])
			i += 2
			if c < 0x20 || c == 0x7f || c == '\\' {
				return "", errTargetBytes
			}
			if unreserved(c) {
				b.WriteByte(c)
			} else {
				escape(&b, c)
			}
			last = 0
			continue
		case c < 0x20 || c == 0x7f || c == '\\' || c == '#':
			return "", errTargetBytes
		case pathByte(c):
			b.WriteByte(c)
		default: // space, quotes, braces, bytes above ASCII
			escape(&b, c)
		}
		last = c
	}
	return b.String(), nil
}

func escape(b *strings.Builder, c byte) {
	const digits = "0123456789ABCDEF"
	b.WriteByte('%')
	b.WriteByte(digits[c>>4])
	b.WriteByte(digits[c&15])
}

// dotSegment reports whether a segment of the normal form is . or .., also
// before a parameter (`..;x`, `..%3Bx`, which Java servers cut off) and between
// encoded slashes.
func dotSegment(path string) bool {
	for path != "" {
		if path[0] == '/' {
			path = path[1:]
			continue
		}
		if strings.HasPrefix(path, "%2F") {
			path = path[3:]
			continue
		}
		dots := 0
		for dots < len(path) && path[dots] == '.' {
			dots++
		}
		rest := path[dots:]
		if (dots == 1 || dots == 2) && (rest == "" || rest[0] == '/' || rest[0] == ';' || strings.HasPrefix(rest, "%2F") || strings.HasPrefix(rest, "%3B")) {
			return true
		}
		path = nextSegment(rest)
	}
	return false
}

// nextSegment cuts up to and without the next slash, plain or encoded.
func nextSegment(path string) string {
	for i := 0; i < len(path); i++ {
		if path[i] == '/' || path[i] == '%' && strings.HasPrefix(path[i:], "%2F") {
			return path[i:]
		}
	}
	return ""
}

// badQuery reports whether a query holds bytes that must not go upstream as
// they are. Its escapes are judged where a policy reads them.
func badQuery(query string) bool {
	for i := 0; i < len(query); i++ {
		if c := query[i]; c <= 0x20 || c == 0x7f || c == '#' {
			return true
		}
	}
	return false
}

// pathByte reports whether c may stand unescaped in a path (RFC 3986, section
// 3.3: pchar and the slash).
func pathByte(c byte) bool {
	return unreserved(c) || strings.IndexByte("/!$&'()*+,;=:@", c) >= 0
}

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}
