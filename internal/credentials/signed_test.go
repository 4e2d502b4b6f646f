package credentials

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	golangjwt "github.com/golang-jwt/jwt/v5"

	"github.com/sallyport/sallyport/internal/secrets"
)

const hmacKey = "an HMAC key of 64 bytes or more, so that go-jose takes it for HS512 too"

// generate returns a fresh key for alg: as it is stored, and what verifies.
func generate(t *testing.T, alg string) (stored string, public any) {
	t.Helper()
	var private crypto.Signer
	var err error
	switch alg {
	case "HS256", "HS384", "HS512":
		return hmacKey, []byte(hmacKey)
	case "ES256":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ES512":
		private, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "EdDSA":
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), private.Public()
}

// signed returns a credential with what most tests want in its tokens.
func signed(t *testing.T, key *secrets.Value, change func(*SignedOptions)) *Signed {
	t.Helper()
	o := SignedOptions{
		Name: "svc", Placement: bearer(), SigningKey: key, Issuer: "my-service", Audience: []string{"billing"},
		Subject: "gateway", Scopes: []string{"api:read", "api:write"}, Claims: map[string]any{"user_id": 123},
	}
	if change != nil {
		change(&o)
	}
	c, err := NewSigned(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func claimsOf(t *testing.T, c Credential) (claims map[string]any, header map[string]any) {
	t.Helper()
	value, err := c.Value(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	parsed, _, err := golangjwt.NewParser().ParseUnverified(value.Reveal(), golangjwt.MapClaims{})
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Claims.(golangjwt.MapClaims), parsed.Header
}

// Two verifiers that are not ours read every algorithm's tokens.
func TestSignedTokenIsReadByOthers(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"} {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			stored, public := generate(t, alg)
			c := signed(t, fixed(stored), func(o *SignedOptions) { o.Algorithm, o.KeyID = alg, "2026-01" })
			start(t, c)
			value, err := c.Value(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			raw := value.Reveal()
			parsed, err := jwt.ParseSigned(raw, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
			if err != nil {
				t.Fatal(err)
			}
			var claims jwt.Claims
			var more map[string]any
			if err := parsed.Claims(public, &claims, &more); err != nil {
				t.Fatalf("go-jose: %v", err)
			}
			if err := claims.ValidateWithLeeway(jwt.Expected{Issuer: "my-service", Subject: "gateway", AnyAudience: jwt.Audience{"billing"}, Time: time.Now()}, 0); err != nil {
				t.Errorf("go-jose: %v", err)
			}
			if h := parsed.Headers[0]; h.KeyID != "2026-01" || h.ExtraHeaders["typ"] != "JWT" {
				t.Errorf("header %+v", h)
			}
			if more["scope"] != "api:read api:write" || more["user_id"] != 123.0 || more["aud"] != "billing" {
				t.Errorf("claims %v", more)
			}
			if life := claims.Expiry.Time().Sub(claims.IssuedAt.Time()); life != 15*time.Minute || *claims.NotBefore != *claims.IssuedAt {
				t.Errorf("lives %s, not before %v, issued at %v", life, claims.NotBefore, claims.IssuedAt)
			}
			if _, err := golangjwt.Parse(raw, func(*golangjwt.Token) (any, error) { return public, nil },
				golangjwt.WithValidMethods([]string{alg}), golangjwt.WithIssuer("my-service"), golangjwt.WithAudience("billing"), golangjwt.WithExpirationRequired()); err != nil {
				t.Errorf("golang-jwt: %v", err)
			}
		})
	}
}

func TestSignedTokenHoldsWhatIsAskedAndNoMore(t *testing.T) {
	t.Parallel()
	c := signed(t, fixed(hmacKey), func(o *SignedOptions) {
		*o = SignedOptions{Name: "svc", Placement: bearer(), SigningKey: o.SigningKey, Audience: []string{"a", "b"}, Expiry: 2500 * time.Millisecond}
	})
	start(t, c)
	claims, header := claimsOf(t, c)
	for _, name := range []string{"exp", "iat", "nbf", "jti"} {
		if claims[name] == nil {
			t.Errorf("no %s", name)
		}
	}
	aud, _ := json.Marshal(claims["aud"])
	if len(claims) != 5 || string(aud) != `["a","b"]` || claims["exp"].(float64)-claims["iat"].(float64) != 2 {
		t.Errorf("claims %v", claims)
	}
	if len(header) != 2 || header["alg"] != "HS256" || header["typ"] != "JWT" {
		t.Errorf("header %v", header)
	}
}

func TestSignedTokenIsRenewedAheadOfExpiry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := signed(t, fixed(hmacKey), nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		seen := make(map[any]bool)
		for range 60 * 60 { // seconds
			claims, _ := claimsOf(t, c)
			if left := time.Until(time.Unix(int64(claims["exp"].(float64)), 0)); left < 4*time.Minute {
				t.Fatalf("a token that expires in %s", left)
			}
			seen[claims["jti"]] = true
			time.Sleep(time.Second)
		}
		if len(seen) < 6 || len(seen) > 7 { // every 10 minutes
			t.Errorf("%d tokens in an hour", len(seen))
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestSignedTokenIsSignedAnewWhenItsKeyRotates(t *testing.T) {
	t.Parallel()
	first, _ := generate(t, "ES256")
	second, public := generate(t, "ES256")
	key, change := watch(t, first)
	c := signed(t, key, nil)
	start(t, c)
	if _, err := c.Value(t.Context()); err != nil {
		t.Fatal(err)
	}
	change(second)
	await(t, "a token of the new key", func() bool {
		value, err := c.Value(t.Context())
		if err != nil {
			t.Fatal(err) // nobody waits for the rotation
		}
		_, err = golangjwt.Parse(value.Reveal(), func(*golangjwt.Token) (any, error) { return public, nil })
		return err == nil
	})
	change("no key") // refused; the last good one signs on
	if _, err := c.Value(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestNothingIsSignedWithoutAKey(t *testing.T) {
	t.Parallel()
	key, change := watch(t, "")
	c := signed(t, key, nil)
	start(t, c)
	await(t, "the failure", func() bool { return c.Status().ConsecutiveFailures > 0 })
	mustHaveNone(t, c, secrets.ErrNotFound)
	change("short")
	await(t, "the refusal", func() bool { return strings.Contains(c.Status().LastError, "weak key") })
	mustHaveNone(t, c, secrets.ErrInvalid)
	change(hmacKey)
	await(t, "a token", func() bool { return c.Status().Ready })
	if strings.Contains(c.Status().LastError, "HMAC key of") {
		t.Error("the status quotes the key")
	}
}

func TestSignedThatCannotWorkIsRefused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*SignedOptions){
		"no placement":              func(o *SignedOptions) { o.Placement = Placement{} },
		"no key":                    func(o *SignedOptions) { o.SigningKey = nil },
		"a negative expiry":         func(o *SignedOptions) { o.Expiry = -time.Second },
		"a negative refresh_before": func(o *SignedOptions) { o.RefreshBefore = -time.Second },
		"an expiry among claims":    func(o *SignedOptions) { o.Claims = map[string]any{"exp": 9999999999} },
		"a subject among claims":    func(o *SignedOptions) { o.Claims = map[string]any{"sub": "root"} },
	} {
		o := SignedOptions{Name: "svc", Placement: bearer(), SigningKey: fixed(hmacKey)}
		change(&o)
		if c, err := NewSigned(o); err == nil || c != nil {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
}
