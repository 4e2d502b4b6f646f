package auth

import (
	"errors"
	"slices"
	"strings"
	"unicode"

	"github.com/sallyport/sallyport/internal/token"
)

// checkClaims judges the claims of a token whose signature is in order, or for
// which its issuer speaks, and returns its scopes. With endless there need be no
// exp.
func (i *Issuer) checkClaims(c *token.Claims, endless bool) ([]string, error) {
	if err := i.checkTimes(c, endless); err != nil {
		return nil, err
	}
	if !i.intended(c.Audience) {
		return nil, refuse(reasonAudience, "aud names none of the audiences of issuer %s", i.name)
	}
	for _, name := range i.required {
		if isEmpty(c.All[name]) {
			return nil, refuse(reasonClaims, "%.40q is required, and absent or empty", name)
		}
	}
	// The subject goes into log lines, bucket keys and header fields.
	if strings.ContainsFunc(c.Subject, unicode.IsControl) {
		return nil, refuse(reasonClaims, "sub has a control character")
	}
	scopes, err := i.scopesOf(c)
	if err != nil {
		return nil, &refusal{reasonClaims, err}
	}
	return scopes, nil
}

// checkTimes judges exp, nbf and iat (RFC 7519, section 4.1), each with leeway.
func (i *Issuer) checkTimes(c *token.Claims, endless bool) error {
	now := i.now()
	switch {
	case c.Expiry.IsZero() && !endless:
		return refuse(reasonClaims, "there is no exp")
	case !c.Expiry.IsZero() && !now.Before(c.Expiry.Add(i.leeway)):
		return refuse(reasonExpired, "exp was %v ago", now.Sub(c.Expiry))
	case now.Before(c.NotBefore.Add(-i.leeway)):
		return refuse(reasonNotYet, "nbf is in %v", c.NotBefore.Sub(now))
	case now.Before(c.IssuedAt.Add(-i.leeway)):
		return refuse(reasonNotYet, "iat is in %v", c.IssuedAt.Sub(now))
	case i.maxLifetime == 0:
		return nil
	case c.IssuedAt.IsZero():
		return refuse(reasonClaims, "there is no iat, which max_lifetime needs")
	case c.Expiry.Sub(c.IssuedAt) > i.maxLifetime:
		return refuse(reasonLifetime, "exp - iat is over %v", i.maxLifetime)
	}
	return nil
}

// intended reports whether one of the issuer's audiences is an element of aud.
func (i *Issuer) intended(aud []string) bool {
	return slices.ContainsFunc(i.audiences, func(own string) bool {
		return own == "*" || slices.Contains(aud, own)
	})
}

// isEmpty reports whether a claim says nothing: absent, null, or empty.
func isEmpty(claim any) bool {
	switch v := claim.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

// scopesOf reads the scope claims, sorted and each scope once.
func (i *Issuer) scopesOf(c *token.Claims) ([]string, error) {
	var all []string
	for _, name := range i.scopes {
		claim, present := c.All[name]
		if !present {
			continue
		}
		scopes, err := readScopes(claim)
		if err != nil {
			return nil, err
		}
		all = append(all, scopes...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// readScopes reads a string with spaces (RFC 6749, section 3.3; RFC 8693,
// section 4.2) or an array of strings. An element with a space in it is refused:
// as one scope here, it would be two for the next reader.
func readScopes(claim any) ([]string, error) {
	var scopes []string
	switch v := claim.(type) {
	case string:
		scopes = strings.Split(v, " ")
	case []any:
		for _, element := range v {
			scope, ok := element.(string)
			if !ok || strings.Contains(scope, " ") {
				return nil, errors.New("a scope claim has an element that is not one scope")
			}
			scopes = append(scopes, scope)
		}
	default:
		return nil, errors.New("a scope claim is neither a string nor an array")
	}
	if slices.ContainsFunc(scopes, func(s string) bool { return strings.ContainsFunc(s, unicode.IsControl) }) {
		return nil, errors.New("a scope has a control character")
	}
	return slices.DeleteFunc(scopes, func(s string) bool { return s == "" }), nil
}
