package gateway

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/crypto"
	"github.com/sallyport/sallyport/internal/token"
)

// stage is a gateway in which throw-away keys stand in for those of the issuers
// and for API keys, and a word for each credential. It needs no secret and no
// network, and its clock is set by each case.
type stage struct {
	*Gateway
	now     time.Time
	signers map[string]*token.Signer // by issuer
}

// standIn is the kid of throw-away keys, and what is in a credential's place.
const standIn = "stand-in"

// newStage builds one of c. The lists of API keys have the records that stand in.
func newStage(c *config.Config, o Options, apiKeys map[string]string) (*stage, error) {
	s := &stage{now: time.Now(), signers: make(map[string]*token.Signer)}
	acted := actors(c)
	acted.Secrets = config.Secrets{Backend: config.Strings{"env"}, Refresh: time.Minute}
	acted.Issuers = maps.Clone(c.Issuers)
	for name, issuer := range c.Issuers {
		key, alg, err := throwAwayKey(issuer)
		if err != nil {
			return nil, fmt.Errorf("issuer %s: %w", name, err)
		}
		if s.signers[name], err = token.NewSigner([]byte(key), alg, standIn); err != nil {
			return nil, fmt.Errorf("issuer %s: %w", name, err)
		}
		issuer.Keys = []config.IssuerKey{{KID: standIn, Algorithm: alg, Key: config.LiteralSecret(key)}}
		issuer.JWKSURL, issuer.Discovery, issuer.Introspection, issuer.TLS = "", false, config.Introspection{}, config.ClientTLS{}
		if issuer.Issuer == "" { // one whose tokens are opaque
			issuer.Issuer = "https://" + name + ".invalid"
		}
		acted.Issuers[name] = issuer
	}
	acted.APIKeys = maps.Clone(c.APIKeys)
	for name, list := range c.APIKeys {
		list.Keys = config.LiteralSecret("[]")
		if records, ok := apiKeys[name]; ok {
			list.Keys = config.LiteralSecret(records)
		}
		acted.APIKeys[name] = list
	}
	var err error
	s.Gateway, err = BuildToExplain(&acted, Options{
		Log: o.Log, Version: o.Version, Now: func() time.Time { return s.now },
		LookupEnv: func(string) (string, bool) { return "", false },
	})
	return s, err
}

// actors returns c with a word for each credential and a fresh key for each
// keyring, so that none is fetched or read, and nothing that writes or shares.
func actors(c *config.Config) config.Config {
	acted := *c
	acted.Audit, acted.RateLimits = nil, config.RateLimits{Store: "memory", MaxKeys: c.RateLimits.MaxKeys, OnStoreError: "local"}
	acted.Admin.Token = config.Secret{}
	acted.Credentials = maps.Clone(c.Credentials)
	for name, one := range c.Credentials {
		acted.Credentials[name] = config.Credential{
			Type: "static", Token: config.LiteralSecret(standIn), Header: one.Header, Prefix: one.Prefix, Query: one.Query, Cookie: one.Cookie,
		}
	}
	acted.Keyrings = maps.Clone(c.Keyrings)
	for name, one := range c.Keyrings {
		key, err := crypto.GenerateKey(one.Type)
		if err == nil { // the configuration knows no other types
			acted.Keyrings[name] = config.Keyring{Type: one.Type, Keys: config.LiteralSecret(key)}
		}
	}
	return acted
}

// throwAwayKey makes a private key for an algorithm that the issuer accepts.
func throwAwayKey(c config.Issuer) (key, alg string, err error) {
	accepted := slices.Clone(c.Algorithms)
	for _, k := range c.Keys {
		if k.Algorithm != "" {
			accepted = append(accepted, k.Algorithm)
		}
	}
	alg = "ES256"
	if len(accepted) > 0 {
		alg = accepted[0]
	}
	var private any
	switch {
	case strings.HasPrefix(alg, "HS"):
		secret := make([]byte, 64)
		_, _ = rand.Read(secret) // never fails (crypto/rand)
		return "base64:" + base64.StdEncoding.EncodeToString(secret), alg, nil
	case alg == "ES256":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case alg == "ES384":
		private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case alg == "ES512":
		private, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case alg == "EdDSA":
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		return "", "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), alg, nil
}

// mint signs the token of a case. What the case leaves out is what the issuer
// accepts; a claim that is nil is left out of the token.
func (s *stage) mint(t config.CaseToken, at time.Time) (string, error) {
	issuer := s.current.Load().config.Issuers[t.Issuer]
	claims := map[string]any{
		"iss": issuer.Issuer, "iat": at.Unix(), "exp": at.Add(time.Duration(t.ExpiresIn)).Unix(),
	}
	if t.Subject != "" {
		claims["sub"] = t.Subject
	}
	switch {
	case t.Audience != nil:
		claims["aud"] = []string(t.Audience)
	case len(issuer.Audiences) > 0 && issuer.Audiences[0] != "*":
		claims["aud"] = issuer.Audiences[0]
	}
	if len(t.Scopes) > 0 && len(issuer.ScopeClaims) > 0 {
		claims[issuer.ScopeClaims[0]] = strings.Join(t.Scopes, " ")
	}
	for name, value := range t.Claims {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	kind := "JWT"
	if len(issuer.TokenTypes) > 0 {
		kind = issuer.TokenTypes[0]
	}
	return s.signers[t.Issuer].Sign(claims, kind)
}

// live builds a gateway of c with the issuers' own keys, for tokens that were not
// minted here. Credentials are stood in for as on a stage.
func (s *stage) live(ctx context.Context, c *config.Config, o Options) (*Gateway, error) {
	acted := actors(c)
	g, err := BuildToExplain(&acted, Options{Log: o.Log, Version: o.Version, LookupEnv: o.LookupEnv, Now: func() time.Time { return s.now }})
	if err != nil {
		return nil, err
	}
	return g, g.Ready(ctx)
}
