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
	all   []Place
	at    map[Place]*issuers
	cache *Cache // nil: none
	user  uint64 // of the cache
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

// CachedTokens is [Tokens] with a cache of those that issuers verified themselves.
func CachedTokens(cache *Cache, all ...*Issuer) Kind {
	t := Tokens(all...).(*tokens)
	t.cache, t.user = cache, cache.user()
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
	if t.cache == nil || explaining(ctx) {
		principal, _, err := t.judge(ctx, c.place, raw)
		return principal, err
	}
	key := t.cache.key(t.user, c.place, raw)
	if principal, ok := t.cache.get(key); ok {
		return principal, nil
	}
	principal, proof, err := t.judge(ctx, c.place, raw)
	if proof != nil {
		t.cache.put(key, *proof)
	}
	return principal, err
}

// remembered implements rememberer.
func (t *tokens) remembered(c credential) *Principal {
	raw, err := c.token()
	if err != nil || t.cache == nil {
		return nil
	}
	principal, _ := t.cache.get(t.cache.key(t.user, c.place, raw))
	return principal
}

// judge finds out whose token raw is. Where an issuer verified it itself, proof is
// what can be remembered of that.
func (t *tokens) judge(ctx context.Context, place Place, raw string) (principal *Principal, proof *verified, err error) {
	at := t.at[place]
	parsed, err := token.Parse(raw)
	if err != nil {
		// A JWT that is malformed is refused: nobody shall be asked whether it is
		// read otherwise elsewhere.
		if len(at.opaque) == 0 || len(raw) > token.MaxSize || looksSigned(raw) {
			return nil, nil, refuseParse(err)
		}
		principal, err = askAll(ctx, at.opaque, raw)
		return principal, nil, err
	}
	named := at.named[parsed.Claims.Issuer]
	if len(named) == 0 && len(at.open) > 0 {
		principal, err = askAll(ctx, at.open, raw)
		return principal, nil, err
	}
	if len(named) == 0 {
		return nil, nil, refuse(reasonIssuer, "iss %.80q is not of an issuer of this route whose tokens may stand in the %s", parsed.Claims.Issuer, place.In)
	}
	var refused error
	for _, issuer := range named {
		if len(issuer.keys) > 0 {
			generation, whole := issuer.generation() // from before the keys are asked: they may change meanwhile
			if principal, err = issuer.authenticate(ctx, parsed); err == nil && whole {
				proof = &verified{issuer, generation, &parsed.Claims, principal, len(raw)}
			}
		} else {
			principal, err = issuer.introspect(ctx, raw)
		}
		if err == nil {
			return principal, proof, nil
		}
		refused = worse(refused, err)
	}
	return nil, nil, refused
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
