package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/telemetry"
	"github.com/sallyport/sallyport/internal/token"
)

// maxCandidates bounds the keys tried on one token, since each costs a
// signature's worth of CPU.
const maxCandidates = 5

// KeySource gives the keys of one issuer.
type KeySource interface {
	// Lookup returns the keys with that kid, whatever they are for, and those
	// without one that fit alg; for an empty kid all that fit alg. It never waits.
	//
	// An error, which wraps ErrUnavailable, says that there may be more keys
	// than those returned, and none of them can be had now.
	Lookup(kid, alg string) ([]token.Key, error)
}

// refresher is a KeySource that can look again. Missed says that a key was
// wanted and not there, and must not wait either.
type refresher interface{ Missed() }

// IssuerOptions say whose tokens are accepted, and which.
type IssuerOptions struct {
	Name           string // in the configuration
	Issuer         string // the exact value of iss; may be empty without Keys
	Keys           []KeySource
	Introspection  *Introspection // for tokens that Keys do not verify; nil: none
	From           []Place        // where its tokens may stand; nil: Authorization
	Algorithms     []string       // empty: those each key is for
	Audiences      []string       // one of these must be in aud; "*" accepts any
	TokenTypes     []string       // typ, without case or "application/"; empty: any
	RequiredClaims []string       // nil: sub
	ScopeClaims    []string       // nil: scope and scp
	Leeway         time.Duration  // for clocks that differ; zero: none
	MaxLifetime    time.Duration  // of exp - iat; zero: no limit
	Now            func() time.Time
	Log            *slog.Logger
}

// Issuer is someone whose tokens are believed.
type Issuer struct {
	name, issuer        string
	keys                []KeySource
	asks                *Introspection
	from                []Place
	algorithms          []string
	audiences           []string
	types               []string // as normalType has them
	required, scopes    []string
	leeway, maxLifetime time.Duration
	now                 func() time.Time
	log                 *slog.Logger
	ambiguous           sync.Once // that a kid stands for different keys has been logged
}

// NewIssuer checks what can be checked before there are keys: that audiences are
// named, that the algorithms are known ones, and that some key could verify with
// one of them. Keys that can be had already are looked at too.
func NewIssuer(o IssuerOptions) (*Issuer, error) {
	i := &Issuer{
		name: o.Name, issuer: o.Issuer, keys: slices.Clone(o.Keys), asks: o.Introspection, from: o.From, algorithms: o.Algorithms, audiences: o.Audiences,
		required: o.RequiredClaims, scopes: o.ScopeClaims, leeway: o.Leeway, maxLifetime: o.MaxLifetime, now: o.Now, log: o.Log,
	}
	if i.from == nil {
		i.from = []Place{Authorization}
	}
	if i.required == nil {
		i.required = []string{"sub"}
	}
	if i.scopes == nil {
		i.scopes = []string{"scope", "scp"}
	}
	if i.now == nil {
		i.now = time.Now
	}
	i.log = telemetry.Discard(i.log)
	i.log = i.log.With("issuer", i.name)
	for _, typ := range o.TokenTypes {
		i.types = append(i.types, normalType(typ))
	}
	if err := cmp.Or(i.checkOptions(), i.checkKeys()); err != nil {
		return nil, fmt.Errorf("issuer %s: %w", o.Name, err)
	}
	return i, nil
}

func (i *Issuer) checkOptions() error {
	switch {
	case i.issuer == "" && (i.asks == nil || len(i.keys) > 0):
		return errors.New("issuer is empty: it is the exact value of iss")
	case len(i.audiences) == 0 || slices.Contains(i.audiences, ""):
		return errors.New(`audiences names none, or an empty one: name this API, or "*" to accept any`)
	case slices.Contains(i.types, "") || slices.Contains(i.required, "") || slices.Contains(i.scopes, ""):
		return errors.New("an empty name in token_types, required_claims or scope_claims")
	case i.leeway < 0 || i.maxLifetime < 0:
		return errors.New("leeway and max_lifetime must not be negative")
	}
	return nil
}

// checkKeys also hands the algorithms on to the static keys, which take from
// them what they are for where the operator does not say.
func (i *Issuer) checkKeys() error {
	if len(i.keys) == 0 && i.asks != nil {
		return nil
	}
	if len(i.keys) == 0 {
		return errors.New("there are no keys")
	}
	symmetric, usable := false, len(i.algorithms) == 0
	for n, source := range i.keys {
		static, ok := source.(*staticKeys)
		if !ok {
			usable = true
			continue
		}
		static, err := static.accepting(i.algorithms, i.log)
		if err != nil {
			return err
		}
		i.keys[n], symmetric = static, true
		usable = usable || static.servesAny(i.algorithms)
	}
	for _, alg := range i.algorithms {
		if !token.KnownAlgorithm(alg) {
			return fmt.Errorf("algorithm %.16q is not known, or never safe", alg)
		}
		if token.SymmetricAlgorithm(alg) && !symmetric {
			return fmt.Errorf("algorithm %s needs keys from the secret store; published ones are never secret", alg)
		}
	}
	if !usable {
		return errors.New("no key is for one of the algorithms: no token could ever be accepted")
	}
	return nil
}

// authenticate judges a token that names this issuer: what is cheap first, then
// the signature, then the claims.
func (i *Issuer) authenticate(ctx context.Context, p *token.Parsed) (*Principal, error) {
	if err := i.checkHeader(p.Header); err != nil {
		return nil, err
	}
	key, err := i.signedBy(ctx, p)
	if err != nil {
		return nil, err
	}
	scopes, err := i.checkClaims(&p.Claims, false)
	if err != nil {
		return nil, err
	}
	return &Principal{
		Subject: p.Claims.Subject, Issuer: i.name, IssuerURL: p.Claims.Issuer, KeyID: key.ID,
		Scopes: scopes, Claims: p.Claims.All, Expires: p.Claims.Expiry,
	}, nil
}

func (i *Issuer) checkHeader(h token.Header) error {
	if !token.KnownAlgorithm(h.Algorithm) || len(i.algorithms) > 0 && !slices.Contains(i.algorithms, h.Algorithm) {
		return refuse(reasonAlgorithm, "alg %.16q is not one of issuer %s", h.Algorithm, i.name)
	}
	if len(i.types) > 0 && !slices.Contains(i.types, normalType(h.Type)) {
		return refuse(reasonType, "typ %.40q is not one of issuer %s", h.Type, i.name)
	}
	return nil
}

// normalType is a media type as typ abbreviates it (RFC 7515, section 4.1.9).
func normalType(typ string) string {
	typ = strings.ToLower(typ)
	if short, ok := strings.CutPrefix(typ, "application/"); ok && !strings.Contains(short, "/") {
		return short
	}
	return typ
}

// signedBy returns the key that verifies the token. Where there is none it has
// the sources look again.
func (i *Issuer) signedBy(ctx context.Context, p *token.Parsed) (token.Key, error) {
	exact, open, unavailable := i.candidates(p.Header.KeyID, p.Header.Algorithm)
	for n := 1; n < len(exact); n++ {
		if !exact[0].Same(exact[n]) {
			i.ambiguous.Do(func() { i.log.Warn("a kid stands for different keys: its tokens are refused", "kid", p.Header.KeyID) })
			return token.Key{}, refuse(reasonAmbiguous, "kid %.40q stands for different keys of issuer %s", p.Header.KeyID, i.name)
		}
	}
	all := append(exact, open...)
	var failed error
	for _, key := range all[:min(len(all), maxCandidates)] {
		err := p.Verify(key)
		if err == nil {
			return key, nil
		}
		if failed == nil {
			failed = refuseParse(err)
		}
	}
	if len(exact) > 0 { // the one key it can be
		return token.Key{}, failed
	}
	if unavailable != nil {
		return token.Key{}, fmt.Errorf("issuer %s: %w", i.name, unavailable)
	}
	for _, source := range i.keys {
		if r, ok := source.(refresher); ok && !explaining(ctx) {
			r.Missed()
		}
	}
	if failed != nil {
		return token.Key{}, failed
	}
	return token.Key{}, refuse(reasonUnknownKey, "issuer %s has no key %.40q for %s", i.name, p.Header.KeyID, p.Header.Algorithm)
}

// candidates returns the keys of that kid, the others that may have signed, and
// why there may be more.
func (i *Issuer) candidates(kid, alg string) (exact, open []token.Key, unavailable error) {
	for _, source := range i.keys {
		keys, err := source.Lookup(kid, alg)
		if err != nil {
			unavailable = err
			if !errors.Is(err, ErrUnavailable) {
				unavailable = fmt.Errorf("%w: %w", ErrUnavailable, err)
			}
		}
		for _, key := range keys {
			switch {
			case kid != "" && key.ID == kid:
				exact = append(exact, key)
			case kid == "" || key.ID == "":
				open = append(open, key)
			}
		}
	}
	return exact, open, unavailable
}
