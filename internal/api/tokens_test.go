package api

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/sallyport/sallyport/internal/crypto"
	"github.com/sallyport/sallyport/internal/peertest"
	"github.com/sallyport/sallyport/internal/ratelimit"
	"github.com/sallyport/sallyport/internal/secrets"
)

// oddSecret is one that clients get wrong: RFC 6749, section 2.3.1.
const oddSecret = "a:b c%+é&="

// slowHash is that of "slow-secret", as cheap as they come.
var slowHash = sync.OnceValues(func() (string, error) {
	return crypto.HashPassword("slow-secret", crypto.PasswordOptions{Iterations: crypto.MinIterations})
})

func digestOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// signingSet is a JWKS with private keys of these kids.
func signingSet(t *testing.T, kids ...string) string {
	t.Helper()
	var set jose.JSONWebKeySet
	for _, kid := range kids {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: private, KeyID: kid, Algorithm: "ES256", Use: "sig"})
	}
	doc, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return string(doc)
}

// A memory is a secret backend whose secrets the test changes.
type memory struct {
	mu    sync.Mutex
	texts map[string]string
}

func (m *memory) Name() string { return "memory" }

func (m *memory) Read(_ context.Context, path string) (secrets.Document, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	text, ok := m.texts[path]
	if !ok {
		return nil, secrets.ErrNotFound
	}
	return secrets.Text(m.Name(), path, secrets.NewSecret(text)), nil
}

// serving is a token service at a URL, which is its issuer.
type serving struct {
	URL     string
	log     *peertest.Buffer
	clock   *atomic.Int64 // how far ahead it is
	backend *memory
	store   *secrets.Store
}

// change stores a secret; "" takes it away.
func (s *serving) change(path, text string) {
	s.backend.mu.Lock()
	if s.backend.texts[path] = text; text == "" {
		delete(s.backend.texts, path)
	}
	s.backend.mu.Unlock()
	_ = s.store.Fetch(context.Background())
}

func serveTokens(t *testing.T, change func(*TokenOptions)) *serving {
	t.Helper()
	slow, err := slowHash()
	if err != nil {
		t.Fatal(err)
	}
	s := &serving{log: new(peertest.Buffer), clock: new(atomic.Int64), backend: &memory{texts: map[string]string{
		"keys": signingSet(t, "new", "old"),
		"clients": `[
			{"id": "orders", "hash": "` + digestOf("orders-secret") + `", "scopes": ["orders:read", "orders:write"], "audience": ["orders-api", "https://billing.example.com"]},
			{"id": "odd id", "hash": "` + digestOf(oddSecret) + `", "scopes": ["a"], "audience": ["b"]},
			{"id": "slow", "hash": "` + slow + `", "scopes": [], "audience": ["b"]}]`,
	}}}
	s.store = secrets.NewStore(s.backend, secrets.Options{})
	limiter, err := ratelimit.NewTable(0, nil).Limiter(ratelimit.Limit{Name: "failures", Count: 5, Per: time.Minute, Burst: 5})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(nil)
	s.URL = "http://" + server.Listener.Addr().String()
	o := TokenOptions{
		Path: "/oauth2", Issuer: s.URL, SigningKeys: s.store.Watch(secrets.Reference{Path: "keys"}), Clients: s.store.Watch(secrets.Reference{Path: "clients"}),
		Expiry: 15 * time.Minute, Failures: limiter, Log: slog.New(slog.NewTextHandler(s.log, nil)),
		Now: func() time.Time { return time.Now().Add(time.Duration(s.clock.Load())) },
	}
	if change != nil {
		change(&o)
	}
	if err := s.store.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	service := NewTokenService(o)
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		service.Serve(w, r, TokenCaller{RequestID: "r-1", Network: r.Header.Get("X-Test-From")})
	})
	server.Start()
	t.Cleanup(server.Close)
	return s
}

type oauthAnswer struct {
	status int
	header http.Header
	body   map[string]any
	raw    string
}

// post sends a form as the client orders, unless the form says who it is.
func (s *serving) post(t *testing.T, path string, form url.Values, header ...string) oauthAnswer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if !form.Has("client_id") {
		r.SetBasicAuth("orders", "orders-secret")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return do(t, r)
}

func do(t *testing.T, r *http.Request) oauthAnswer {
	t.Helper()
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := oauthAnswer{status: res.StatusCode, header: res.Header, raw: string(text)}
	_ = json.Unmarshal(text, &a.body)
	return a
}

func get(t *testing.T, target string) oauthAnswer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, r)
}

func (s *serving) token(t *testing.T, form url.Values) string {
	t.Helper()
	form.Set("grant_type", "client_credentials")
	a := s.post(t, "/oauth2/token", form)
	raw, _ := a.body["access_token"].(string)
	if a.status != http.StatusOK || raw == "" {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	return raw
}

// verified reads a token with the keys that are published.
func (s *serving) verified(t *testing.T, raw string) (claims jwt.MapClaims, header map[string]any) {
	t.Helper()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(get(t, s.URL+"/oauth2/jwks.json").raw), &set); err != nil {
		t.Fatal(err)
	}
	parsed, err := jwt.Parse(raw, func(unverified *jwt.Token) (any, error) {
		kid, _ := unverified.Header["kid"].(string)
		if found := set.Key(kid); len(found) == 1 && found[0].IsPublic() {
			return found[0].Key, nil
		}
		return nil, fmt.Errorf("no key %q", kid)
	}, jwt.WithValidMethods([]string{"ES256"}), jwt.WithIssuer(s.URL), jwt.WithExpirationRequired())
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Claims.(jwt.MapClaims), parsed.Header
}

// The client library that others use, in both its ways.
func TestClientsGetTokensByTheUsualLibrary(t *testing.T) {
	t.Parallel()
	s := serveTokens(t, nil)
	for name, style := range map[string]oauth2.AuthStyle{"basic": oauth2.AuthStyleInHeader, "post": oauth2.AuthStyleInParams} {
		for id, secret := range map[string]string{"orders": "orders-secret", "odd id": oddSecret, "slow": "slow-secret"} {
			c := clientcredentials.Config{ClientID: id, ClientSecret: secret, TokenURL: s.URL + "/oauth2/token", AuthStyle: style}
			got, err := c.Token(t.Context())
			if err != nil {
				t.Errorf("%s by %s: %v", id, name, err)
				continue
			}
			claims, header := s.verified(t, got.AccessToken)
			if got.Type() != "Bearer" || time.Until(got.Expiry) < 14*time.Minute || claims["sub"] != id || claims["client_id"] != id || header["typ"] != "at+jwt" || header["kid"] != "new" {
				t.Errorf("%s by %s: %+v %v %v", id, name, got, claims, header)
			}
		}
	}
}

func TestTokenIsForWhatTheClientMay(t *testing.T) {
	t.Parallel()
	s := serveTokens(t, nil)
	const billing = "https://billing.example.com"
	for _, tt := range []struct {
		form            url.Values
		scope, audience string // as JSON
		refused         string
	}{
		{url.Values{}, `"orders:read orders:write"`, `["orders-api","` + billing + `"]`, ""},
		{url.Values{"scope": {"orders:write"}, "audience": {"orders-api"}}, `"orders:write"`, `"orders-api"`, ""},
		{url.Values{"scope": {"orders:read orders:read"}, "resource": {billing}}, `"orders:read"`, `"` + billing + `"`, ""},
		{url.Values{"audience": {"orders-api"}, "resource": {billing}}, `"orders:read orders:write"`, `["orders-api","` + billing + `"]`, ""},
		{url.Values{"scope": {"orders:read admin"}}, "", "", "invalid_scope"},
		{url.Values{"audience": {"crm"}}, "", "", "invalid_target"},
		{url.Values{"resource": {billing, "crm"}}, "", "", "invalid_target"},
	} {
		tt.form.Set("grant_type", "client_credentials")
		a := s.post(t, "/oauth2/token", tt.form)
		if tt.refused != "" {
			if a.status != http.StatusBadRequest || a.body["error"] != tt.refused || a.body["access_token"] != nil {
				t.Errorf("%v: %d %s, want %s", tt.form, a.status, a.raw, tt.refused)
			}
			continue
		}
		if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Pragma") != "no-cache" || a.header.Get("Content-Type") != "application/json" {
			t.Errorf("header %v", a.header)
		}
		claims, _ := s.verified(t, a.body["access_token"].(string))
		scope, _ := json.Marshal(claims["scope"])
		audience, _ := json.Marshal(claims["aud"])
		if string(scope) != tt.scope || string(audience) != tt.audience || a.body["expires_in"] != 900.0 || a.body["scope"] != claims["scope"] {
			t.Errorf("%v: scope %s, aud %s, answer %s", tt.form, scope, audience, a.raw)
		}
	}
}

// RFC 6749, section 5.2: what is wrong is oauthAnswer in its words, and nothing else.
func TestTokenRequestsThatAreRefused(t *testing.T) {
	t.Parallel()
	s := serveTokens(t, nil)
	grant := func(more url.Values) url.Values {
		form := url.Values{"grant_type": {"client_credentials"}}
		for name, values := range more {
			form[name] = values
		}
		return form
	}
	for name, tt := range map[string]struct {
		form   url.Values
		header []string
		status int
		code   string
	}{
		"no grant":             {url.Values{}, nil, 400, "invalid_request"},
		"another grant":        {url.Values{"grant_type": {"password"}}, nil, 400, "unsupported_grant_type"},
		"a parameter twice":    {grant(url.Values{"scope": {"orders:read", "orders:write"}}), nil, 400, "invalid_request"},
		"JSON":                 {grant(nil), []string{"Content-Type", "application/json"}, 400, "invalid_request"},
		"no content type":      {grant(nil), []string{"Content-Type", ""}, 400, "invalid_request"},
		"two ways":             {grant(url.Values{"client_secret": {"orders-secret"}}), nil, 400, "invalid_request"},
		"two ids":              {grant(url.Values{"client_id": {"slow"}}), []string{"Authorization", "Basic b3JkZXJzOm9yZGVycy1zZWNyZXQ="}, 400, "invalid_request"},
		"an assertion":         {grant(url.Values{"client_assertion": {"x"}}), nil, 400, "invalid_request"},
		"a wrong secret":       {grant(url.Values{"client_id": {"orders"}, "client_secret": {"x"}}), nil, 401, "invalid_client"},
		"a wrong slow secret":  {grant(url.Values{"client_id": {"slow"}, "client_secret": {"x"}}), nil, 401, "invalid_client"},
		"another's secret":     {grant(url.Values{"client_id": {"slow"}, "client_secret": {"orders-secret"}}), nil, 401, "invalid_client"},
		"an unknown client":    {grant(url.Values{"client_id": {"none"}, "client_secret": {"x"}}), nil, 401, "invalid_client"},
		"an empty secret":      {grant(url.Values{"client_id": {"orders"}}), nil, 401, "invalid_client"},
		"the hash as secret":   {grant(url.Values{"client_id": {"orders"}, "client_secret": {digestOf("orders-secret")}}), nil, 401, "invalid_client"},
		"a bearer token":       {grant(nil), []string{"Authorization", "Bearer x"}, 401, "invalid_client"},
		"broken Basic":         {grant(nil), []string{"Authorization", "Basic !"}, 401, "invalid_client"},
		"Basic, broken escape": {grant(nil), []string{"Authorization", "Basic b3JkZXJzOiV6eg=="}, 401, "invalid_client"},
		"a long secret":        {grant(url.Values{"client_id": {"slow"}, "client_secret": {strings.Repeat("x", 2000)}}), nil, 401, "invalid_client"},
		"a body too large":     {grant(url.Values{"x": {strings.Repeat("x", maxForm)}}), nil, 413, "invalid_request"},
		"too many targets":     {grant(url.Values{"resource": strings.Split(strings.Repeat("orders-api,", 11), ",")}), nil, 400, "invalid_request"},
	} {
		a := s.post(t, "/oauth2/token", tt.form, tt.header...)
		if a.status != tt.status || a.body["error"] != tt.code || len(a.body) != 2 || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %s %v, want %d %s", name, a.status, a.raw, a.header, tt.status, tt.code)
		}
		if challenge := a.header.Get("Www-Authenticate"); (challenge != "") != (tt.status == 401) {
			t.Errorf("%s: challenge %q", name, challenge)
		}
	}
	for _, secret := range []string{"orders-secret", "slow-secret", "sha256:"} {
		if strings.Contains(s.log.String(), secret) {
			t.Errorf("the log shows %s", secret)
		}
	}
}

// Guessing costs the guesser: beyond the limit nothing is looked at, while others
// get their tokens.
func TestClientsThatFailTooOftenAreStopped(t *testing.T) {
	t.Parallel()
	s := serveTokens(t, nil)
	form := url.Values{"grant_type": {"client_credentials"}}
	wrong := url.Values{"grant_type": {"client_credentials"}, "client_id": {"orders"}, "client_secret": {"x"}}
	for i := range 5 {
		if a := s.post(t, "/oauth2/token", wrong, "X-Test-From", "192.0.2.1"); a.status != 401 {
			t.Fatalf("attempt %d: %d", i, a.status)
		}
	}
	for _, path := range []string{"/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"} {
		if a := s.post(t, path, form, "X-Test-From", "192.0.2.1"); a.status != 429 || a.header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %v", path, a.status, a.header)
		}
	}
	if a := s.post(t, "/oauth2/token", form, "X-Test-From", "192.0.2.2"); a.status != 200 {
		t.Errorf("another address: %d", a.status)
	}
}

func TestKeysRotateWithOverlap(t *testing.T) {
	t.Parallel()
	s := serveTokens(t, nil)
	before := s.token(t, url.Values{})
	next := signingSet(t, "newest")
	both := strings.TrimSuffix(next, "]}") + "," + strings.TrimPrefix(s.backend.texts["keys"], `{"keys":[`)
	s.change("keys", both)
	after := s.token(t, url.Values{})
	if _, header := s.verified(t, after); header["kid"] != "newest" {
		t.Errorf("signed with %v", header)
	}
	s.verified(t, before) // its key is still published
	for name, raw := range map[string]string{"before": before, "after": after} {
		if a := s.post(t, "/oauth2/introspect", url.Values{"token": {raw}}); a.body["active"] != true {
			t.Errorf("%s: %s", name, a.raw)
		}
	}
	s.change("keys", "no keys") // refused: the last good ones sign on
	s.verified(t, s.token(t, url.Values{}))
	s.change("keys", next)
	if a := s.post(t, "/oauth2/introspect", url.Values{"token": {before}}); a.body["active"] != false {
		t.Errorf("a token of a key that is gone: %s", a.raw)
	}
}

func TestWithoutKeysOrClientsThereIsNoToken(t *testing.T) {
	t.Parallel()
	s := serveTokens(t, nil)
	form := url.Values{"grant_type": {"client_credentials"}, "token": {"x"}}
	for _, gone := range []string{"keys", "clients"} {
		text := s.backend.texts[gone]
		s.change(gone, "")
		for _, path := range []string{"/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"} {
			if a := s.post(t, path, form); a.status != 503 || a.header.Get("Retry-After") == "" || a.body["error"] != "temporarily_unavailable" {
				t.Errorf("without %s, %s: %d %s", gone, path, a.status, a.raw)
			}
		}
		if gone == "keys" {
			if a := get(t, s.URL+"/oauth2/jwks.json"); a.status != 503 || a.header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("jwks.json: %d %s", a.status, a.raw)
			}
		}
		s.change(gone, text)
	}
	s = serveTokens(t, func(o *TokenOptions) { o.Clients = nil })
	if a := s.post(t, "/oauth2/token", form); a.status != 401 {
		t.Errorf("a service without clients: %d %s", a.status, a.raw)
	}
}

func TestOnlyItsOwnPathsAreServed(t *testing.T) {
	t.Parallel()
	s := serveTokens(t, nil)
	for path, want := range map[string]int{
		"/oauth2/jwks.json": 200, WellKnown: 200, "/oauth2": 404, "/oauth2/": 404, "/oauth2/authorize": 404,
		"/oauth2/token": 405, "/oauth2/introspect": 405, "/oauth2/revoke": 405, WellKnown + "/oauth2": 404,
	} {
		if a := get(t, s.URL+path); a.status != want || want == 405 && a.header.Get("Allow") != "POST" {
			t.Errorf("GET %s: %d, want %d", path, a.status, want)
		}
	}
	if a := s.post(t, "/oauth2/jwks.json", url.Values{}); a.status != 405 || a.header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST jwks.json: %d", a.status)
	}
}
