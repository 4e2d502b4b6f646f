package credentials

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/secrets"
	"github.com/sallyport/sallyport/internal/token"
)

// defaultExpiry is how long a token of the gateway's own is valid.
const defaultExpiry = 15 * time.Minute

// SignedOptions say what stands in the tokens the gateway signs for an upstream.
// What is left out is not in them, but for exp, iat, nbf and jti.
type SignedOptions struct {
	Name       string
	Placement  Placement
	SigningKey *secrets.Value // in any form that token.NewSigner reads
	Algorithm  string         // empty: the key's usual one
	KeyID      string         // empty: the JWK's, or none
	Issuer     string
	Audience   []string // one is a text, several an array (RFC 7519, section 4.1.3)
	Subject    string
	Scopes     []string       // in scope, with spaces between them (RFC 8693, section 4.2)
	Claims     map[string]any // more claims, none of those above
	Expiry     time.Duration  // whole seconds; zero means 15 minutes

	RefreshBefore time.Duration // zero means 5 minutes; never sooner than half the lifetime
	Now           func() time.Time
	Log           *slog.Logger
	Metrics       *Metrics
	OnEvent       func(Event) // called for each attempt, with no lock held; it holds the next one up
}

// Signed is a credential whose tokens the gateway signs itself. It is renewed as
// the others are, and at once when its key rotates.
type Signed struct {
	placement Placement
	key       *secrets.Derived[*token.Signer]
	claims    map[string]any
	expiry    time.Duration
	now       func() time.Time
	renewal   *renewer
}

// ownClaims are set by the gateway or have options of their own.
var ownClaims = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "scope"}

// NewSigned returns a credential without a token; Run signs them.
func NewSigned(o SignedOptions) (*Signed, error) {
	fail := func(err error) (*Signed, error) { return nil, fmt.Errorf("credential %s: %w", o.Name, err) }
	if err := o.Placement.Validate(); err != nil {
		return fail(err)
	}
	switch {
	case o.SigningKey == nil:
		return fail(errors.New("there is no signing_key"))
	case o.Expiry < 0 || o.RefreshBefore < 0:
		return fail(errors.New("expiry and refresh_before must not be negative"))
	}
	if o.Expiry = o.Expiry.Truncate(time.Second); o.Expiry == 0 {
		o.Expiry = defaultExpiry
	}
	for _, name := range ownClaims {
		if _, there := o.Claims[name]; there {
			return fail(fmt.Errorf("claims: %s is the token's own", name))
		}
	}
	s := &Signed{
		placement: o.Placement, key: signingKey(o.SigningKey, o.Algorithm, o.KeyID),
		claims: o.fixedClaims(), expiry: o.Expiry, now: orTimeNow(o.Now),
	}
	s.renewal = newRenewer(&renewer{
		name: o.Name, kind: "jwt", fetch: s.sign, before: o.RefreshBefore, eager: true,
		now: o.Now, log: o.Log, series: o.Metrics.of(o.Name), onEvent: o.OnEvent,
	})
	o.SigningKey.Changed(s.renewal.rotate)
	return s, nil
}

// signingKey follows the key in the secret backend.
func signingKey(v *secrets.Value, algorithm, kid string) *secrets.Derived[*token.Signer] {
	return secrets.Derive(v, func(s secrets.Secret) (*token.Signer, error) {
		return token.NewSigner([]byte(s.Reveal()), algorithm, kid)
	})
}

// fixedClaims are those that are the same in every token.
func (o SignedOptions) fixedClaims() map[string]any {
	claims := make(map[string]any, len(o.Claims)+len(ownClaims))
	maps.Copy(claims, o.Claims)
	for name, text := range map[string]string{"iss": o.Issuer, "sub": o.Subject, "scope": strings.Join(o.Scopes, " ")} {
		if text != "" {
			claims[name] = text
		}
	}
	switch len(o.Audience) {
	case 0:
	case 1:
		claims["aud"] = o.Audience[0]
	default:
		claims["aud"] = slices.Clone(o.Audience)
	}
	return claims
}

// Name is the credential's name in the configuration.
func (s *Signed) Name() string { return s.renewal.name }

// Placement is where the token goes.
func (s *Signed) Placement() Placement { return s.placement }

// Value is a token that is valid now.
func (s *Signed) Value(ctx context.Context) (secrets.Secret, error) { return s.renewal.Value(ctx) }

// Status tells how the token and its renewal stand.
func (s *Signed) Status() Status { return s.renewal.Status() }

// Refresh signs another token now, as [Rotating] says.
func (s *Signed) Refresh(ctx context.Context) error { return s.renewal.Refresh(ctx) }

// Run signs a token at once and the next ones ahead of expiry, until ctx ends.
func (s *Signed) Run(ctx context.Context) error { return s.renewal.Run(ctx) }

// sign makes one token. Its times are whole seconds, as some verifiers read
// nothing else; so it lives up to a second less than its expiry says.
func (s *Signed) sign(context.Context) (secrets.Secret, time.Duration, error) {
	signer, err := s.key.Get()
	if err != nil {
		return secrets.Secret{}, 0, fmt.Errorf("signing key: %w", err)
	}
	now := s.now()
	issued := now.Truncate(time.Second)
	expires := issued.Add(s.expiry)
	claims := maps.Clone(s.claims)
	claims["iat"], claims["nbf"], claims["exp"] = issued.Unix(), issued.Unix(), expires.Unix()
	claims["jti"] = rand.Text()
	raw, err := signer.Sign(claims, "JWT")
	if err != nil {
		return secrets.Secret{}, 0, err
	}
	if err := s.placement.check(raw); err != nil {
		return secrets.Secret{}, 0, err
	}
	return secrets.NewSecret(raw), expires.Sub(now), nil
}
