package proxy

import (
	"net/url"
	"slices"
	"strings"
)

// withParameter returns query with one parameter of this name, holding value.
// The others keep their bytes and order. Names are compared as upstreams may
// read them: decoded, and with ; as a separator too.
func withParameter(query, name, value string) string {
	kept := url.QueryEscape(name) + "=" + url.QueryEscape(value)
	if rest := withoutParameter(query, name); rest != "" {
		kept = rest + "&" + kept
	}
	return kept
}

// withoutParameter returns query without the parameters of this name. The others
// keep their bytes and order.
func withoutParameter(query, name string) string {
	if query == "" {
		return ""
	}
	var kept []string
	for pair := range strings.SplitSeq(query, "&") {
		if pair != "" && !mentions(pair, name) {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "&")
}

// mentions reports whether any part of pair has this name. A name whose escapes
// are broken counts, since some upstream may read it as anything.
func mentions(pair, name string) bool {
	for part := range strings.SplitSeq(pair, ";") {
		raw, _, _ := strings.Cut(part, "=")
		decoded, err := url.QueryUnescape(raw)
		if err != nil || sameName(decoded, name) {
			return true
		}
	}
	return false
}

// sameName reports whether an upstream may read raw, which is unescaped, as the
// name of a parameter or cookie: PHP does with a space, dot or bracket for an
// underscore, and with name[] as an array.
func sameName(raw, name string) bool {
	raw, name = strings.TrimSpace(raw), underscored.Replace(name)
	if base, _, found := strings.Cut(raw, "["); found && underscored.Replace(base) == name {
		return true
	}
	return underscored.Replace(raw) == name
}

// underscored has what PHP turns into underscores in names turned into them.
var underscored = strings.NewReplacer(" ", "_", ".", "_", "[", "_")

// withoutCookie returns the cookies of the Cookie header lines but for those of
// this name (RFC 6265, section 5.4), in any spelling that PHP and others read as
// it.
func withoutCookie(lines []string, name string) []string {
	var kept []string
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			pair = strings.TrimSpace(pair)
			cookie, _, _ := strings.Cut(pair, "=")
			if pair != "" && !namesCookie(strings.TrimSpace(cookie), name) {
				kept = append(kept, pair)
			}
		}
	}
	return kept
}

func namesCookie(raw, name string) bool {
	if decoded, err := url.QueryUnescape(raw); err == nil {
		raw = decoded
	}
	return sameName(raw, name)
}

// withoutMention returns a header's text with every parameter of this name cut
// out of the URLs in it, whatever stands around them.
func withoutMention(text, name string) string {
	cut := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		end := i + 1
		if text[i] == '?' || text[i] == '&' || text[i] == ';' {
			for end < len(text) && strings.IndexByte("&;#>\"', ", text[end]) < 0 {
				end++
			}
			if inner := strings.IndexByte(text[i+1:end], '?'); inner >= 0 && !mentions(text[i+1:end], name) {
				end = i + 1 + inner // a URL in a URL, or a query after a path's parameter
			}
			if end > i+1 && mentions(text[i+1:end], name) {
				if text[i] == '?' && end < len(text) && (text[end] == '&' || text[end] == ';') {
					cut = append(cut, '?')
					end++
				}
				i = end
				continue
			}
		}
		cut = append(cut, text[i:end]...)
		i = end
	}
	return string(cut)
}

// shortestSecret is how long a value must be to be looked for, in bytes.
const shortestSecret = 8

// withoutValue returns a header's text without value in any of the spellings a
// URL can give it, also inside another URL's query. It reports false where the
// value is still there in a spelling of its own: then the text must not be sent.
func withoutValue(text, value string) (clean string, ok bool) {
	if len(value) < shortestSecret {
		return text, true // it would be found everywhere
	}
	spellings := []string{value, url.QueryEscape(value), url.PathEscape(value)}
	for _, spelling := range spellings[:3] {
		spellings = append(spellings, url.QueryEscape(spelling))
	}
	slices.SortFunc(spellings, func(a, b string) int { return len(b) - len(a) }) // the longest holds others
	for _, spelling := range spellings {
		text = strings.ReplaceAll(text, spelling, "")
	}
	rest := text
	for range 3 {
		if strings.Contains(rest, value) {
			return "", false
		}
		decoded, err := url.QueryUnescape(rest)
		if err != nil {
			break
		}
		rest = decoded
	}
	return text, true
}
