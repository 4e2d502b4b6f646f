package token

import (
	"errors"
	"fmt"
	"time"
)

// The kinds of error of a token that is not valid, whoever signed it.
var (
	ErrIssuer  = errors.New("token of another issuer")
	ErrExpired = errors.New("token has expired")
	ErrEarly   = errors.New("token is not valid yet")
)

// earlyLeeway is how far the clock of who signed may be ahead.
const earlyLeeway = 30 * time.Second

// maxTried bounds the keys tried on one token.
const maxTried = 5

// A Judge tells whether a token is one of an issuer whose keys are at hand, and
// valid now. For whom it is, and what it allows, is left to its caller.
type Judge struct {
	Issuer string // the exact value of iss; empty: any
	Keys   []Key
}

// Verify returns the token, or an error of one of this package's kinds. A token
// must have exp, and is not valid a moment longer.
func (j Judge) Verify(raw string, now time.Time) (*Parsed, error) {
	p, err := Parse(raw)
	if err != nil {
		return nil, err
	}
	if err := j.signed(p); err != nil {
		return nil, err
	}
	switch c := p.Claims; {
	case j.Issuer != "" && c.Issuer != j.Issuer:
		return nil, fmt.Errorf("%w: iss is %.80q", ErrIssuer, c.Issuer)
	case c.Expiry.IsZero():
		return nil, fmt.Errorf("%w: it has no exp", ErrExpired)
	case !now.Before(c.Expiry):
		return nil, fmt.Errorf("%w: at %s", ErrExpired, c.Expiry.UTC().Format(time.RFC3339))
	case c.NotBefore.After(now.Add(earlyLeeway)), c.IssuedAt.After(now.Add(earlyLeeway)):
		return nil, ErrEarly
	}
	return p, nil
}

// signed tries the keys that may have signed: those of the token's kid and those
// without one, or for a token without kid all that fit its algorithm.
func (j Judge) signed(p *Parsed) error {
	failed := fmt.Errorf("%w: there is no key %.40q for %.16q", ErrSignature, p.Header.KeyID, p.Header.Algorithm)
	tried := 0
	for _, k := range j.Keys {
		if p.Header.KeyID != "" && k.ID != "" && k.ID != p.Header.KeyID || !k.Fits(p.Header.Algorithm) {
			continue
		}
		if tried++; tried > maxTried {
			break
		}
		err := p.Verify(k)
		if err == nil {
			return nil
		}
		failed = err
	}
	return failed
}
