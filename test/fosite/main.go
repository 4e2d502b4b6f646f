// Command fositepeer is a real OAuth 2.0 authorization server for the gateway's
// tests: ory/fosite, which nobody here wrote, so that a misreading of the RFCs
// on our side is not repeated on its side.
//
// It grants client_credentials by client_secret_basic, client_secret_post and
// private_key_jwt, and issues RS256 JWTs of a chosen lifetime. It prints one
// JSON line with its URLs and its clients, whose secrets are new at each start,
// and ends on SIGTERM or when its standard input ends, so that it never
// outlives the test that started it.
package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-jose/go-jose/v3"
	"github.com/google/uuid"
	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/storage"
	"github.com/ory/fosite/token/jwt"
)

// A client's name in the line on standard output is its way to authenticate,
// and the server takes no other one from it.
type client struct {
	ID     string `json:"id"`
	Secret string `json:"secret,omitempty"`
}

// A line is what a test has to know; the one thing ever printed on stdout.
type line struct {
	URL           string            `json:"url"`
	Issuer        string            `json:"issuer"`
	JWKSURL       string            `json:"jwks_url"`
	TokenURL      string            `json:"token_url"`
	IntrospectURL string            `json:"introspect_url"`
	RevokeURL     string            `json:"revoke_url"`
	Clients       map[string]client `json:"clients"`
}

type server struct {
	oauth2   fosite.OAuth2Provider
	audience string
	keyID    string
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "fositepeer:", err)
		os.Exit(1)
	}
}

func run() error {
	listen := flag.String("listen", "127.0.0.1:0", "where to listen")
	lifetime := flag.Duration("lifetime", time.Minute, "how long an access token is valid")
	audience := flag.String("audience", "orders-api", "the audience clients may ask for, and get when they ask for none")
	clientJWKS := flag.String("client-jwks", "", "JWKS `JSON` with the public keys of the private_key_jwt client; use must be sig")
	clientAlg := flag.String("client-alg", "RS256", "the only algorithm the private_key_jwt client may sign with")
	flag.Parse()

	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	base := "http://" + l.Addr().String()
	out := line{
		URL: base, Issuer: base, JWKSURL: base + "/jwks", TokenURL: base + "/token",
		IntrospectURL: base + "/introspect", RevokeURL: base + "/revoke", Clients: map[string]client{},
	}
	config := &fosite.Config{
		AccessTokenLifespan:      *lifetime,
		AccessTokenIssuer:        out.Issuer,
		TokenURL:                 out.TokenURL, // the aud a client assertion must have
		ScopeStrategy:            fosite.ExactScopeStrategy,
		AudienceMatchingStrategy: fosite.ExactAudienceMatchingStrategy, // the default one compares URLs
		JWTScopeClaimKey:         jwt.JWTScopeFieldString,
		HashCost:                 4, // bcrypt's least: its default of 12 costs a quarter of a second a call
		GlobalSecret:             []byte(rand.Text() + rand.Text()),
	}
	store := storage.NewMemoryStore()
	if err := addClients(store, config, out.Clients, *audience, *clientJWKS, *clientAlg); err != nil {
		return err
	}
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	key := &jose.JSONWebKey{Key: private, KeyID: "fosite-1", Algorithm: "RS256", Use: "sig"}
	keyOf := func(context.Context) (any, error) { return key, nil }
	s := &server{audience: *audience, keyID: key.KeyID, oauth2: compose.Compose(config, store,
		compose.NewOAuth2JWTStrategy(keyOf, compose.NewOAuth2HMACStrategy(config), config),
		compose.OAuth2ClientCredentialsGrantFactory,
		compose.OAuth2TokenIntrospectionFactory,
		compose.OAuth2TokenRevocationFactory,
	)}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.Public()}})
	})
	mux.HandleFunc("/token", s.token)
	mux.HandleFunc("/introspect", s.introspect)
	mux.HandleFunc("/revoke", s.revoke)
	return serve(l, http.MaxBytesHandler(mux, 64<<10), out)
}

// addClients registers one client for each way to authenticate, and tells of
// them in clients. The basic one has an id and a secret which RFC 6749, section
// 2.3.1, form-encodes: a caller that forgets to is refused.
func addClients(store *storage.MemoryStore, config *fosite.Config, clients map[string]client, audience, jwks, alg string) error {
	clients["client_secret_basic"] = client{ID: "gateway:basic client", Secret: rand.Text() + ":+ %2B&=/é"}
	clients["client_secret_post"] = client{ID: "gateway-post", Secret: rand.Text() + "+ &="}
	var keys *jose.JSONWebKeySet
	if jwks != "" {
		clients["private_key_jwt"] = client{ID: "gateway-jwt"}
		if err := json.Unmarshal([]byte(jwks), &keys); err != nil {
			return fmt.Errorf("-client-jwks: %w", err)
		}
	}
	for method, c := range clients {
		hash, err := config.GetSecretsHasher(context.Background()).Hash(context.Background(), []byte(c.Secret))
		if err != nil {
			return fmt.Errorf("client %s: %w", c.ID, err)
		}
		store.Clients[c.ID] = &fosite.DefaultOpenIDConnectClient{
			DefaultClient: &fosite.DefaultClient{
				ID: c.ID, Secret: hash, GrantTypes: []string{"client_credentials"},
				Scopes: []string{"orders:read", "orders:write"}, Audience: []string{audience},
			},
			JSONWebKeys: keys, TokenEndpointAuthMethod: method, TokenEndpointAuthSigningAlgorithm: alg,
		}
	}
	return nil
}

// serve prints out once the socket takes connections, and returns when it is told to end.
func serve(l net.Listener, h http.Handler, out line) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		_ = srv.Close()
	}()
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		return err
	}
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// token grants what was asked for: fosite checks scopes and audiences against
// the client's, but what is granted is the caller's decision.
func (s *server) token(w http.ResponseWriter, r *http.Request) {
	session := &oauth2.JWTSession{
		JWTHeader: &jwt.Headers{Extra: map[string]any{"kid": s.keyID, "typ": "at+jwt"}},
		JWTClaims: &jwt.JWTClaims{JTI: uuid.NewString()}, // else introspection makes up another one
	}
	req, err := s.oauth2.NewAccessRequest(r.Context(), r, session)
	if err != nil {
		s.oauth2.WriteAccessError(r.Context(), w, req, err)
		return
	}
	id := req.GetClient().GetID()
	session.SetSubject(id)
	session.JWTClaims.Subject = id
	session.JWTClaims.Add("client_id", id)
	for _, scope := range req.GetRequestedScopes() {
		req.GrantScope(scope)
	}
	if len(req.GetRequestedAudience()) == 0 {
		req.GrantAudience(s.audience)
	}
	for _, audience := range req.GetRequestedAudience() {
		req.GrantAudience(audience)
	}
	res, err := s.oauth2.NewAccessResponse(r.Context(), req)
	if err != nil {
		s.oauth2.WriteAccessError(r.Context(), w, req, err)
		return
	}
	s.oauth2.WriteAccessResponse(r.Context(), w, req, res)
}

func (s *server) introspect(w http.ResponseWriter, r *http.Request) {
	res, err := s.oauth2.NewIntrospectionRequest(r.Context(), r, &oauth2.JWTSession{})
	if err != nil {
		s.oauth2.WriteIntrospectionError(r.Context(), w, err)
		return
	}
	s.oauth2.WriteIntrospectionResponse(r.Context(), w, res)
}

func (s *server) revoke(w http.ResponseWriter, r *http.Request) {
	s.oauth2.WriteRevocationResponse(r.Context(), w, s.oauth2.NewRevocationRequest(r.Context(), r))
}
