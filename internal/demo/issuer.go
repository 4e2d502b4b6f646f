// Package demo is what stands on both sides of the gateway in `gateway demo`,
// in docker-compose.yml and in tests: an [Issuer] that callers get their tokens
// from, and a legacy API ([NewLegacy]) that takes none of those tokens, but
// only credentials of its own.
//
// # Security
//
// This is a stage set. The issuer keeps client secrets in the clear, and its
// signing key is new at each start; it is not made to guard anything. Still,
// secrets are compared in constant time, no secret or token is logged, and the
// legacy API shows no more than the last four characters of a credential.
package demo

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/internal/telemetry"
	"github.com/sallyport/sallyport/internal/token"
)

// tokenType marks a JWT as an access token (RFC 9068, section 2.1).
const tokenType = "at+jwt"

// A Client may get tokens from the token endpoint by its id and secret.
type Client struct {
	ID, Secret string
	Audience   string        // the aud of its tokens
	Scopes     []string      // what it may ask for, and gets if it asks for none
	Lifetime   time.Duration // of its tokens, in whole seconds; zero means 15 minutes
}

// IssuerOptions say who an Issuer is and whom it serves.
type IssuerOptions struct {
	URL     string // the iss of its tokens, and where its endpoints are: http://HOST:PORT
	Clients []Client
	Now     func() time.Time // nil means time.Now
	Log     *slog.Logger     // nil means none
}

// An Issuer is a small OAuth 2.0 authorization server. Its tokens are ES256
// JWTs, since such a key is made in no time.
type Issuer struct {
	mux     *http.ServeMux
	url     string
	base    string // url without a final slash
	clients map[string]Client
	signer  *token.Signer
	now     func() time.Time
	log     *slog.Logger
	calls   atomic.Int64
}

// NewIssuer makes an Issuer with a signing key of its own.
func NewIssuer(o IssuerOptions) (*Issuer, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") ||
		u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("demo: issuer URL must be http(s)://HOST[:PORT] and no more")
	}
	clients, err := clientsByID(o.Clients)
	if err != nil {
		return nil, err
	}
	signer, err := newSigner()
	if err != nil {
		return nil, err
	}
	i := &Issuer{
		mux: http.NewServeMux(), url: o.URL, base: strings.TrimRight(o.URL, "/"), clients: clients,
		signer: signer, now: o.Now, log: telemetry.Discard(o.Log),
	}
	if i.now == nil {
		i.now = time.Now
	}
	jwks, err := signer.PublicJWKS()
	if err != nil {
		return nil, fmt.Errorf("demo: publish key: %w", err)
	}
	i.mux.HandleFunc("GET /jwks", document(jwks))
	i.mux.HandleFunc("GET /jwks.json", document(jwks))
	i.mux.HandleFunc("GET /.well-known/openid-configuration", i.metadata)
	i.mux.HandleFunc("GET /.well-known/oauth-authorization-server", i.metadata)
	i.mux.HandleFunc("POST /token", i.token)
	return i, nil
}

func clientsByID(list []Client) (map[string]Client, error) {
	clients := make(map[string]Client, len(list))
	for n, c := range list {
		c.Lifetime = cmp.Or(c.Lifetime, 15*time.Minute)
		switch _, twice := clients[c.ID]; {
		case c.ID == "" || c.Secret == "" || c.Audience == "":
			return nil, fmt.Errorf("demo: client %d: id, secret and audience must all be set", n+1)
		case twice:
			return nil, fmt.Errorf("demo: client %s stands there twice", c.ID)
		case c.Lifetime < time.Second || c.Lifetime%time.Second != 0:
			return nil, fmt.Errorf("demo: client %s: lifetime %s is no whole number of seconds", c.ID, c.Lifetime)
		}
		clients[c.ID] = c
	}
	return clients, nil
}

func newSigner() (*token.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("demo: generate key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("demo: encode key: %w", err)
	}
	// A new name for each new key: who still has the old one sees that it is another.
	kid := "demo-" + strings.ToLower(rand.Text()[:8])
	signer, err := token.NewSigner(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), "ES256", kid)
	if err != nil {
		return nil, fmt.Errorf("demo: use key: %w", err)
	}
	return signer, nil
}

// ServeHTTP answers at /jwks (and /jwks.json), /token and the two well-known
// metadata paths.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) { i.mux.ServeHTTP(w, r) }

// TokenCalls tells how often the token endpoint was asked, whatever it answered.
func (i *Issuer) TokenCalls() int64 { return i.calls.Load() }

// MintOptions say what a token of [Issuer.Mint] states.
type MintOptions struct {
	Subject  string
	Audience string
	Scopes   []string
	Lifetime time.Duration  // zero means 15 minutes; a negative one makes a token that has expired
	Claims   map[string]any // more claims; they win over all others
}

// Mint signs a token without a client's asking: for command lines to be printed
// and for tests.
func (i *Issuer) Mint(o MintOptions) (string, error) {
	now := i.now().Unix()
	claims := map[string]any{ // RFC 9068, section 2.2
		"jti": rand.Text(), "iss": i.url, "aud": []string{o.Audience}, "sub": o.Subject, "client_id": o.Subject,
		"iat": now, "exp": now + int64(cmp.Or(o.Lifetime, 15*time.Minute)/time.Second),
	}
	if len(o.Scopes) > 0 {
		claims["scope"] = strings.Join(o.Scopes, " ")
	}
	maps.Copy(claims, o.Claims)
	signed, err := i.signer.Sign(claims, tokenType)
	if err != nil {
		return "", fmt.Errorf("demo: sign token: %w", err)
	}
	return signed, nil
}

// metadata is the same by either name (RFC 8414; OpenID Connect Discovery asks
// for endpoints this issuer has not, which it therefore does not claim to have).
func (i *Issuer) metadata(w http.ResponseWriter, _ *http.Request) {
	scopes := []string{}
	for _, c := range i.clients {
		scopes = append(scopes, c.Scopes...)
	}
	slices.Sort(scopes)
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                i.url,
		"token_endpoint":                        i.base + "/token",
		"jwks_uri":                              i.base + "/jwks",
		"grant_types_supported":                 []string{"client_credentials"},
		"response_types_supported":              []string{},
		"scopes_supported":                      slices.Compact(scopes),
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post"},
	})
}
