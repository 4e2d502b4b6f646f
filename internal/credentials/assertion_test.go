package credentials

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	golangjwt "github.com/golang-jwt/jwt/v5"

	"github.com/sallyport/sallyport/internal/peertest"
	"github.com/sallyport/sallyport/internal/secrets"
)

func TestClientAssertionIsRFC7523(t *testing.T) {
	t.Parallel()
	stored, public := generate(t, "ES256")
	var mu sync.Mutex
	seen := make(map[string]bool)
	server, asked := startEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		f := r.PostForm
		if r.Header.Get("Authorization") != "" || f.Has("client_secret") || f.Get("client_id") != "gateway" || f.Get("grant_type") != "client_credentials" ||
			f.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
			t.Errorf("form %v", f)
		}
		claims := golangjwt.MapClaims{}
		parsed, err := golangjwt.ParseWithClaims(f.Get("client_assertion"), claims, func(*golangjwt.Token) (any, error) { return public, nil },
			golangjwt.WithValidMethods([]string{"ES256"}), golangjwt.WithIssuer("gateway"), golangjwt.WithSubject("gateway"),
			golangjwt.WithAudience("http://"+r.Host+"/token"), golangjwt.WithExpirationRequired())
		if err != nil {
			t.Errorf("assertion: %v", err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		id, _ := claims["jti"].(string)
		if exp, _ := claims.GetExpirationTime(); id == "" || seen[id] || parsed.Header["kid"] != "k1" || time.Until(exp.Time) > time.Minute {
			t.Errorf("assertion %v, %v; seen %v", parsed.Header, claims, seen)
		}
		seen[id] = true
		writeToken(w, "token", 1)
	})
	c := newOAuth2(t, OAuth2Options{
		TokenURL: server.URL + "/token", ClientAuth: "private_key_jwt", SigningKey: fixed(stored), KeyID: "k1",
	})
	start(t, c)
	await(t, "three assertions", func() bool { return asked.Load() >= 3 })
}

func TestNoRequestWithoutASigningKey(t *testing.T) {
	t.Parallel()
	server, asked := startEndpoint(t, func(w http.ResponseWriter, _ *http.Request) { writeToken(w, "token", 3600) })
	key, change := watch(t, "")
	c := newOAuth2(t, OAuth2Options{TokenURL: server.URL, ClientAuth: "private_key_jwt", SigningKey: key})
	start(t, c)
	await(t, "the failure", func() bool { return c.Status().ConsecutiveFailures > 0 })
	mustHaveNone(t, c, secrets.ErrNotFound)
	if asked.Load() != 0 {
		t.Error("the endpoint was asked without an assertion")
	}
	stored, _ := generate(t, "EdDSA")
	change(stored) // tried without waiting for the pause
	await(t, "a token", func() bool { return c.Status().Ready })
}

func TestClientAuthenticationThatCannotWorkIsRefused(t *testing.T) {
	t.Parallel()
	good := OAuth2Options{Name: "crm", Placement: bearer(), TokenURL: "https://auth.example.com/token", ClientID: "id"}
	for name, tt := range map[string]struct {
		change func(*OAuth2Options)
		want   string
	}{
		"basic without a secret":        {func(o *OAuth2Options) { o.SigningKey = fixed(hmacKey) }, "no client_secret"},
		"an assertion without a key":    {func(o *OAuth2Options) { o.ClientAuth, o.ClientSecret = "private_key_jwt", fixed("s") }, "no signing_key"},
		"a certificate, and plain http": {func(o *OAuth2Options) { o.ClientAuth, o.TokenURL = "tls", "http://auth.example.com/token" }, "https"},
		"an assertion among parameters": {func(o *OAuth2Options) {
			o.ClientSecret, o.Parameters = fixed("s"), map[string]string{"client_assertion": "x"}
		}, "the grant's own"},
	} {
		o := good
		tt.change(&o)
		if c, err := NewOAuth2(o); err == nil || c != nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// The real peer takes an assertion once, with the key it knows, for its own URL.
func TestAssertionsBeforeARealServer(t *testing.T) {
	t.Parallel()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := jose.JSONWebKey{Key: private, KeyID: "gateway-1", Algorithm: "ES256", Use: "sig"}
	stored, err := key.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	published, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.Public()}})
	if err != nil {
		t.Fatal(err)
	}
	peer := peertest.Fosite(t, "-lifetime", "2s", "-client-jwks", string(published), "-client-alg", "ES256")
	options := OAuth2Options{
		TokenURL: peer.TokenURL, ClientID: peer.Clients["private_key_jwt"].ID, ClientAuth: "private_key_jwt",
		SigningKey: fixed(string(stored)), Scopes: []string{"orders:read"},
	}
	c := newOAuth2(t, options)
	start(t, c)
	first, err := c.Value(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the renewal, with another jti", func() bool {
		next, err := c.Value(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return !next.Equal(first)
	})
	foreign, _ := generate(t, "ES256")
	options.SigningKey, options.KeyID = fixed(foreign), "gateway-1"
	if _, _, err := newOAuth2(t, options).fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "refused: invalid_client") {
		t.Errorf("with another key: %v", err)
	}
}
