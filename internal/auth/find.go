package auth

import (
	"fmt"
	"strings"
)

// Fields looks up request header fields by canonical name.
type Fields interface {
	// Values returns the values of all fields of that name, in order.
	Values(name string) []string
}

// bearerToken returns the token of the Authorization field (RFC 6750, section
// 2.1; RFC 9110, section 11.4): ErrNoCredential if there is no such field,
// ErrMultiple if there are two, ErrMalformed if it holds anything but the scheme
// in any case, one space, and a token68.
func bearerToken(h Fields) (string, error) {
	values := h.Values("Authorization")
	switch len(values) {
	case 0:
		return "", ErrNoCredential
	case 1:
	default:
		return "", fmt.Errorf("%w: %d Authorization fields", ErrMultiple, len(values))
	}
	scheme, credentials, _ := strings.Cut(values[0], " ")
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
