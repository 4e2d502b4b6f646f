package auth

import (
	"context"
	"slices"

	"github.com/sallyport/sallyport/internal/token"
)

// bearer is the scheme of tokens (RFC 6750).
const bearer = "Bearer"

// tokens is the Kind of what issuers sign.
type tokens struct {
	all []Place
	at  map[Place]map[string][]*Issuer // by place, then by iss
}

// Tokens returns the tokens of these issuers as a Kind: those of each from the
// places it says. The issuer is chosen by iss before any signature is looked at.
// Where two have the same iss, a token that either accepts is accepted.
func Tokens(issuers ...*Issuer) Kind {
	t := &tokens{at: make(map[Place]map[string][]*Issuer)}
	for _, i := range issuers {
		for _, place := range i.from {
			if t.at[place] == nil {
				t.at[place] = make(map[string][]*Issuer)
				t.all = append(t.all, place)
			}
			if !slices.Contains(t.at[place][i.issuer], i) {
				t.at[place][i.issuer] = append(t.at[place][i.issuer], i)
			}
		}
	}
	return t
}

func (t *tokens) places() []Place { return t.all }

func (t *tokens) scheme() string { return bearer }

func (t *tokens) authenticate(ctx context.Context, c credential) (*Principal, error) {
	raw, err := c.token()
	if err != nil {
		return nil, err
	}
	parsed, err := token.Parse(raw)
	if err != nil {
		return nil, refuseParse(err)
	}
	named := t.at[c.place][parsed.Claims.Issuer]
	if len(named) == 0 {
		return nil, refuse(reasonIssuer, "iss %.80q is not of an issuer of this route whose tokens may stand in the %s", parsed.Claims.Issuer, c.place.In)
	}
	var refused error
	for _, issuer := range named {
		principal, err := issuer.authenticate(ctx, parsed)
		if err == nil {
			return principal, nil
		}
		refused = worse(refused, err)
	}
	return nil, refused
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
