package auth

import (
	"errors"

	"github.com/sallyport/sallyport/internal/token"
)

// Authenticator finds out who calls a route. It is safe for use by many
// goroutines at once.
type Authenticator struct {
	issuers map[string][]*Issuer // by iss
}

// NewAuthenticator returns one that accepts the tokens of these issuers; without
// any it accepts none. Where two have the same iss, a token that either accepts
// is accepted.
func NewAuthenticator(issuers ...*Issuer) *Authenticator {
	a := &Authenticator{issuers: make(map[string][]*Issuer)}
	for _, i := range issuers {
		a.issuers[i.issuer] = append(a.issuers[i.issuer], i)
	}
	return a
}

// Authenticate returns who calls. It never waits. Its error is of one of this
// package's kinds.
func (a *Authenticator) Authenticate(h Fields) (*Principal, error) {
	raw, err := bearerToken(h)
	if err != nil {
		return nil, err
	}
	parsed, err := token.Parse(raw)
	if err != nil {
		return nil, refuseParse(err)
	}
	named := a.issuers[parsed.Claims.Issuer]
	if len(named) == 0 {
		return nil, refuse(reasonIssuer, "iss %.80q is not of an issuer of this route", parsed.Claims.Issuer)
	}
	var refused error
	for _, issuer := range named {
		principal, err := issuer.authenticate(parsed)
		if err == nil {
			return principal, nil
		}
		// While one of them cannot answer, nobody knows that all would refuse.
		if refused == nil || errors.Is(err, ErrKeysUnavailable) {
			refused = err
		}
	}
	return nil, refused
}
