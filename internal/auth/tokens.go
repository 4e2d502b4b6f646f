package auth

import (
	"bytes"
	"context"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/token"
)

// bearer is the scheme of tokens (RFC 6750).
const bearer = "Bearer"

// tokens is the Kind of what issuers sign or know.
type tokens struct {
	all []Place
	at  map[Place]*issuers
}

// issuers are those whose tokens may stand in one place.
type issuers struct {
	named  map[string][]*Issuer // by iss
	opaque []*Issuer            // those that are asked about tokens
	open   []*Issuer            // those of them that have no iss
}

// Tokens returns the tokens of these issuers as a Kind: those of each from the
// places it says.
//
// A JWT is of the issuers that its iss names, chosen before any signature is
// looked at: one with keys verifies it itself, and is never asked about it; one
// without is asked. A JWT that names none of the route's is for those to be
// asked that have no iss. What is no JWT is for all that can be asked, in their
// order, until one says that it is active. Where two have the same iss, a token
// that either accepts is accepted.
func Tokens(all ...*Issuer) Kind {
	t := &tokens{at: make(map[Place]*issuers)}
	for _, i := range all {
		for _, place := range i.from {
			at := t.at[place]
			if at == nil {
				at = &issuers{named: make(map[string][]*Issuer)}
				t.at[place], t.all = at, append(t.all, place)
			}
			at.add(i)
		}
	}
	return t
}

func (at *issuers) add(i *Issuer) {
	if i.issuer != "" && !slices.Contains(at.named[i.issuer], i) {
		at.named[i.issuer] = append(at.named[i.issuer], i)
	}
	if i.asks == nil || slices.Contains(at.opaque, i) {
		return
	}
	at.opaque = append(at.opaque, i)
	if i.issuer == "" {
		at.open = append(at.open, i)
	}
}

func (t *tokens) places() []Place { return t.all }

func (t *tokens) scheme() string { return bearer }

func (t *tokens) authenticate(ctx context.Context, c credential) (*Principal, error) {
	raw, err := c.token()
	if err != nil {
		return nil, err
	}
	at := t.at[c.place]
	parsed, err := token.Parse(raw)
	if err != nil {
		// A JWT that is malformed is refused: nobody shall be asked whether it is
		// read otherwise elsewhere.
		if len(at.opaque) == 0 || len(raw) > token.MaxSize || looksSigned(raw) {
			return nil, refuseParse(err)
		}
		return askAll(ctx, at.opaque, raw)
	}
	named := at.named[parsed.Claims.Issuer]
	if len(named) == 0 && len(at.open) > 0 {
		return askAll(ctx, at.open, raw)
	}
	if len(named) == 0 {
		return nil, refuse(reasonIssuer, "iss %.80q is not of an issuer of this route whose tokens may stand in the %s", parsed.Claims.Issuer, c.place.In)
	}
	var refused error
	for _, issuer := range named {
		var principal *Principal
		if len(issuer.keys) > 0 {
			principal, err = issuer.authenticate(ctx, parsed)
		} else {
			principal, err = issuer.introspect(ctx, raw)
		}
		if err == nil {
			return principal, nil
		}
		refused = worse(refused, err)
	}
	return nil, refused
}

// askAll asks these issuers in turn, until one accepts the token.
func askAll(ctx context.Context, issuers []*Issuer, raw string) (*Principal, error) {
	var refused error
	for _, issuer := range issuers {
		principal, err := issuer.introspect(ctx, raw)
		if err == nil {
			return principal, nil
		}
		refused = worse(refused, err)
	}
	return nil, refused
}

// looksSigned reports whether raw has the shape of a JWS: three segments, of
// which the first begins an object.
func looksSigned(raw string) bool {
	if strings.Count(raw, ".") != 2 {
		return false
	}
	header, _, _ := strings.Cut(raw, ".")
	doc, _ := base64.RawURLEncoding.DecodeString(strings.TrimRight(header, "=")) // what came before an error counts too
	return bytes.HasPrefix(bytes.TrimSpace(doc), []byte("{"))
}

// token returns the token of a credential. One in a cookie counts only where no
// other site can have sent it.
func (c credential) token() (string, error) {
	switch {
	case c.place == Authorization:
		return bearerToken(c.value)
	case !isToken68(c.value):
		return "", ErrMalformed
	case c.place.In == InCookie:
		return c.value, sameOrigin(c.request)
	}
	return c.value, nil
}
