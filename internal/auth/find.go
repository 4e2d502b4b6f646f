package auth

import (
	"fmt"
	"net/url"
	"strings"
)

// credential is what stood in one of a route's places.
type credential struct {
	place   Place
	value   string // as it stands, for a query parameter decoded; empty for the connection's
	request Request
}

// find returns the one credential that stands in these places: ErrNoCredential
// if there is none, ErrMultiple if there is more than one. A certificate comes
// with the connection and not with the request: it counts where nothing else
// stands, so that a listener that demands one still takes tokens.
func find(places []Place, r Request) (credential, error) {
	found, certificate := 0, false
	c := credential{request: r}
	for _, place := range places {
		if place.In == InConnection {
			certificate = len(r.Certificates()) > 0
			continue
		}
		value, n := valueAt(place, r)
		if n > 0 {
			c.place, c.value = place, value
		}
		if found += n; found > 1 {
			return credential{}, fmt.Errorf("%w in the places of this route", ErrMultiple)
		}
	}
	switch {
	case found == 1:
		return c, nil
	case certificate:
		c.place = Connection
		return c, nil
	}
	return credential{}, ErrNoCredential
}

// valueAt returns how many credentials stand in a place, and the first of them.
func valueAt(place Place, r Request) (value string, n int) {
	switch place.In {
	case InHeader:
		values := r.Values(place.Name)
		if len(values) == 0 {
			return "", 0
		}
		return values[0], len(values)
	case InCookie:
		return cookie(r.Values("Cookie"), place.Name)
	case InQuery:
		return parameter(r.Query(), place.Name)
	}
	return "", 0
}

// cookie finds the cookies of this name (RFC 6265, section 5.4). One that is
// empty, as a log-out leaves it, holds no credential.
func cookie(lines []string, name string) (value string, n int) {
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			key, v, _ := strings.Cut(strings.Trim(pair, " \t"), "=")
			if key != name {
				continue
			}
			if n++; n == 1 {
				value = v
			}
		}
	}
	if n == 1 && value == "" {
		return "", 0
	}
	return value, n
}

// parameter finds the query parameters of this name, their escapes undone. One
// that is empty holds no credential. An escape that is broken leaves the value
// as it stands, which no credential can be.
func parameter(query, name string) (value string, n int) {
	if query == "" {
		return "", 0
	}
	for pair := range strings.SplitSeq(query, "&") {
		key, v, _ := strings.Cut(pair, "=")
		if decoded, err := url.QueryUnescape(key); err != nil || decoded != name {
			continue
		}
		if decoded, err := url.QueryUnescape(v); err == nil {
			v = decoded
		}
		if n++; n == 1 {
			value = v
		}
	}
	if n == 1 && value == "" {
		return "", 0
	}
	return value, n
}

// bearerToken reads the value of an Authorization field (RFC 6750, section 2.1;
// RFC 9110, section 11.4): ErrMalformed if it is anything but the scheme in any
// case, one space, and a token68.
func bearerToken(value string) (string, error) {
	scheme, credentials, _ := strings.Cut(value, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", fmt.Errorf("%w: another scheme", ErrMalformed)
	}
	if !isToken68(credentials) {
		return "", fmt.Errorf("%w: what follows the scheme is not one token", ErrMalformed)
	}
	return credentials, nil
}

// isToken68 reports whether s is a token68 (RFC 9110, section 11.2), the syntax
// RFC 6750 calls b64token.
func isToken68(s string) bool {
	body := strings.TrimRight(s, "=")
	if body == "" {
		return false
	}
	for i := range len(body) {
		c := body[i]
		alphanumeric := '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
		if !alphanumeric && strings.IndexByte("-._~+/", c) < 0 {
			return false
		}
	}
	return true
}
