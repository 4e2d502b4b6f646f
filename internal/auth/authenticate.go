package auth

import (
	"context"
	"errors"
	"slices"
)

// Kind is one kind of credential that a route accepts: tokens of issuers
// ([Tokens]), API keys, certificates of TLS clients. Each has a file of its own
// with a constructor that returns a Kind.
//
// To add one: say in places where its credentials may stand (what stands in a
// header, cookie or parameter named there is taken away before the upstream), in
// scheme how it is asked for, and judge one credential in authenticate. That
// never waits, but for an answer that is about this one credential and cannot be
// had before; its errors are of this package's kinds, for which refuse and its
// reasons are there; what decides and is not to be had now is ErrUnavailable.
type Kind interface {
	// places are where its credentials may stand.
	places() []Place
	// scheme names it in a challenge (RFC 9110, section 11.3): Bearer, ApiKey;
	// "" for one that no header field can ask for.
	scheme() string
	// authenticate judges a credential that stands in one of its places.
	authenticate(ctx context.Context, c credential) (*Principal, error)
}

// rememberer is a Kind that knows some credentials again without the work it was
// to verify them.
type rememberer interface {
	// remembered returns whose credential it is, if it was accepted before and
	// still is; nil if that takes work to tell, or is not so.
	remembered(c credential) *Principal
}

// Authenticator finds out who calls a route. It is safe for use by many
// goroutines at once.
type Authenticator struct {
	kinds  []Kind
	all    []Place          // of all kinds, each once
	at     map[Place][]Kind // which kinds may stand where
	scheme string
}

// NewAuthenticator returns one that accepts credentials of these kinds; without
// any it accepts none. Where two kinds share a place, one that either accepts is
// accepted.
func NewAuthenticator(kinds ...Kind) *Authenticator {
	a := &Authenticator{kinds: kinds, at: make(map[Place][]Kind)}
	for _, kind := range kinds {
		for _, place := range kind.places() {
			if len(a.at[place]) == 0 {
				a.all = append(a.all, place)
			}
			if !slices.Contains(a.at[place], kind) {
				a.at[place] = append(a.at[place], kind)
			}
		}
		if a.scheme == "" || kind.scheme() == bearer {
			a.scheme = kind.scheme()
		}
	}
	return a
}

// Places returns where credentials may stand. What stands there is the
// gateway's, whether it was accepted or not, and no upstream's.
func (a *Authenticator) Places() []Place { return slices.Clone(a.all) }

// Scheme is what a challenge asks for (RFC 9110, section 11.6.1): Bearer where
// tokens are accepted, ApiKey where only API keys are.
func (a *Authenticator) Scheme() string {
	if a.scheme == "" {
		return bearer
	}
	return a.scheme
}

// Authenticate returns who calls. Its error is of one of this package's kinds.
// It waits for nothing but, where a token has to be introspected, the answer
// about that token, and where an API key has a slow hash its turn to be hashed:
// the one at most until ctx ends, the other two seconds.
func (a *Authenticator) Authenticate(ctx context.Context, r Request) (*Principal, error) {
	c, err := find(a.all, r)
	if err != nil {
		return nil, err
	}
	var refused error
	for _, kind := range a.at[c.place] {
		principal, err := kind.authenticate(ctx, c)
		if err == nil {
			return principal, nil
		}
		refused = worse(refused, err)
	}
	return nil, refused
}

// Remembered returns who calls, if the request's credential was verified before
// and is known again without work; nil if not. For a request with no credential,
// or several, the error is that of [Authenticator.Authenticate].
func (a *Authenticator) Remembered(r Request) (*Principal, error) {
	c, err := find(a.all, r)
	if err != nil {
		return nil, err
	}
	for _, kind := range a.at[c.place] {
		if known, ok := kind.(rememberer); ok {
			if principal := known.remembered(c); principal != nil {
				return principal, nil
			}
		}
	}
	return nil, nil
}

// worse returns the refusal to tell of, of those who might have accepted. While
// one of them cannot answer, nobody knows that all would refuse.
func worse(before, err error) error {
	if before == nil || errors.Is(err, ErrUnavailable) && !errors.Is(before, ErrUnavailable) {
		return err
	}
	return before
}
