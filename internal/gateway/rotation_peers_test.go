package gateway_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/peertest"
	"github.com/sallyport/sallyport/internal/token"
)

// store writes a secret, the whole value or its fields, into a real backend.
type store func(path string, fields map[string]string)

func vaultStore(t *testing.T, vault *peertest.VaultPeer) store {
	return func(path string, fields map[string]string) {
		t.Helper()
		vault.Do(t, "POST", "secret/data/"+path, map[string]any{"data": fields})
	}
}

func motoStore(t *testing.T, moto *peertest.MotoPeer) store {
	versions := make(map[string]int)
	return func(path string, fields map[string]string) {
		t.Helper()
		text, whole := fields["value"]
		if !whole {
			document, err := json.Marshal(fields)
			if err != nil {
				t.Fatal(err)
			}
			text = string(document)
		}
		versions[path]++
		id := fmt.Sprintf("%032d", versions[path])
		if versions[path] == 1 {
			moto.Do(t, "CreateSecret", map[string]any{"Name": path, "SecretString": text, "ClientRequestToken": id})
			return
		}
		moto.Do(t, "PutSecretValue", map[string]any{"SecretId": path, "SecretString": text, "ClientRequestToken": id, "VersionStages": []string{"AWSCURRENT"}})
	}
}

// caller is an issuer's signing key, and a token it has signed.
type caller struct{ key, jwk, token string }

// newCaller has key as PEM and jwk as a member of a JWKS.
func newCaller(t *testing.T, kid string) caller {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	signer, err := token.NewSigner(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), "ES256", kid)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(testClaims(), "JWT")
	if err != nil {
		t.Fatal(err)
	}
	set, err := signer.PublicJWKS()
	if err != nil {
		t.Fatal(err)
	}
	var keys struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(set, &keys); err != nil {
		t.Fatal(err)
	}
	return caller{string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})), string(keys.Keys[0]), signed}
}

func jwks(callers ...caller) map[string]string {
	var list []string
	for _, c := range callers {
		list = append(list, c.jwk)
	}
	return map[string]string{"value": `{"keys":[` + strings.Join(list, ",") + `]}`}
}

// startAsking is [startLoad] for requests with one of these headers: one is lost
// if none of them gets a 200.
func startAsking(t *testing.T, url string, headers ...string) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l, done := new(load), make(chan struct{})
	ask := func(header string) bool {
		r, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			return false
		}
		if name, value, ok := strings.Cut(header, ": "); ok {
			r.Header.Set(name, value)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			return false
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK
	}
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			served := false
			for _, header := range headers {
				served = served || ask(header)
			}
			if l.sent.Add(1); !served {
				l.lost.Add(1)
			}
		}
	}()
	l.stop = func() { cancel(); <-done }
	t.Cleanup(l.stop)
	return l
}

func (l *load) kept(t *testing.T, what string) {
	t.Helper()
	l.stop()
	if l.lost.Load() > 0 || l.sent.Load() == 0 {
		t.Errorf("%s: lost %d of %d requests", what, l.lost.Load(), l.sent.Load())
	}
	t.Logf("%s: %d requests, %d lost", what, l.sent.Load(), l.lost.Load())
}

// tokens is a token endpoint that knows a client by any of its secrets.
type tokens struct {
	*httptest.Server
	mu    sync.Mutex
	valid map[string]bool
	used  map[string]int
}

func startTokens(t *testing.T, secrets ...string) *tokens {
	s := &tokens{valid: make(map[string]bool), used: make(map[string]int)}
	for _, secret := range secrets {
		s.valid[secret] = true
	}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, secret, _ := r.BasicAuth()
		s.mu.Lock()
		defer s.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		if !s.valid[secret] {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"error":"invalid_client"}`)
			return
		}
		s.used[secret]++
		_, _ = fmt.Fprintf(w, `{"access_token":"token-%s-%d","token_type":"bearer","expires_in":2}`, secret, s.used[secret])
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *tokens) drop(secret string) { s.mu.Lock(); defer s.mu.Unlock(); s.valid[secret] = false }

func (s *tokens) uses(secret string) int { s.mu.Lock(); defer s.mu.Unlock(); return s.used[secret] }

const rotatingRoutes = `
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0, token: "${secret:gateway/admin}"}
secrets: {refresh: 1s, %s}
issuers:
  set: {issuer: https://issuer.test, audiences: [orders-api], keys: [{key: "${secret:gateway/set}"}]}
  pem: {issuer: https://issuer.test, audiences: [orders-api], keys: [{kid: old, key: "${secret:gateway/old}"}, {kid: new, key: "${secret:gateway/new}"}]}
credentials:
  crm: {type: oauth2, token_url: "%s/token", client_id: gateway, client_secret: "${secret:gateway/crm#secret}"}
routes:
  - {name: set, path: "/set", auth: {issuers: [set]}, upstream: "%[3]s"}
  - {name: pem, path: "/pem", auth: {issuers: [pem]}, upstream: "%[3]s"}
  - {name: crm, path: "/crm", auth: public, inject: crm, upstream: "%[3]s"}
`

// followsKeysAndTokens rotates what [followsRotation] does not, each under load:
// a JWKS and PEM keys for inbound tokens, an OAuth2 client secret and the admin
// token. A new inbound key is accepted beside the old one while both stand.
func followsKeysAndTokens(t *testing.T, backend string, env environment, put store) {
	t.Helper()
	one, two := newCaller(t, "old"), newCaller(t, "new")
	issuer := startTokens(t, "first", "second")
	put("gateway/admin", map[string]string{"value": "the first admin token"})
	put("gateway/set", jwks(one))
	put("gateway/old", map[string]string{"value": one.key})
	put("gateway/crm", map[string]string{"secret": "first"})
	g := start(t, fmt.Sprintf(rotatingRoutes, backend, issuer.URL, startEcho(t).URL), env)
	status := func(path, token string) int { return send(t, "GET", g.URL+path, "", bearer(token)).Status }
	accepts := func(path, token string) func() bool { return func() bool { return status(path, token) == 200 } }
	refuses := func(path, token string) func() bool { return func() bool { return status(path, token) == 401 } }
	await(t, "a start", func() bool {
		return accepts("/set", one.token)() && accepts("/pem", one.token)() && issuer.uses("first") > 0
	})
	for path, want := range map[string]int{"/set": 401, "/pem": 503} { // of a key that is named, and not there yet
		if got := status(path, two.token); got != want {
			t.Errorf("%s, the new key's token before the rotation: %d, want %d", path, got, want)
		}
	}
	oldSet, oldPEM := startAsking(t, g.URL+"/set", bearer(one.token)), startAsking(t, g.URL+"/pem", bearer(one.token))
	crm := startAsking(t, g.URL+"/crm", "")
	operator := startAsking(t, g.Admin+"/api/v1/status", bearer("the first admin token"), bearer("the second admin token"))

	put("gateway/set", jwks(one, two))
	put("gateway/new", map[string]string{"value": two.key})
	put("gateway/crm", map[string]string{"secret": "second"})
	put("gateway/admin", map[string]string{"value": "the second admin token"})
	await(t, "both keys of the JWKS", func() bool { return accepts("/set", two.token)() && accepts("/set", one.token)() })
	await(t, "both PEM keys", func() bool { return accepts("/pem", two.token)() && accepts("/pem", one.token)() })
	newSet, newPEM := startAsking(t, g.URL+"/set", bearer(two.token)), startAsking(t, g.URL+"/pem", bearer(two.token))
	await(t, "the second client secret", func() bool { return issuer.uses("second") > 0 })
	issuer.drop("first")
	before := issuer.uses("second")
	await(t, "the second admin token", func() bool {
		return send(t, "GET", g.Admin+"/api/v1/status", "", bearer("the second admin token")).Status == 200
	})
	if got := send(t, "GET", g.Admin+"/api/v1/status", "", bearer("the first admin token")).Status; got != 401 {
		t.Errorf("the first admin token after the rotation: %d", got)
	}
	oldSet.kept(t, "JWKS, the old key")
	oldPEM.kept(t, "PEM, the old key")
	put("gateway/set", jwks(two))
	put("gateway/old", map[string]string{"value": two.key})
	await(t, "the old keys' end", func() bool { return refuses("/set", one.token)() && refuses("/pem", one.token)() })
	await(t, "two renewals with the second client secret", func() bool { return issuer.uses("second") > before+1 })
	newSet.kept(t, "JWKS, the new key")
	newPEM.kept(t, "PEM, the new key")
	crm.kept(t, "OAuth2 client secret")
	operator.kept(t, "admin token")
}

func TestVaultRotatesKeysAndTokensUnderLoad(t *testing.T) {
	t.Parallel()
	vault := peertest.Vault(t)
	followsKeysAndTokens(t, fmt.Sprintf("backend: vault, vault: {address: %q}", vault.Address), environment{"VAULT_TOKEN": vault.Token}, vaultStore(t, vault))
}

func TestAWSRotatesKeysAndTokensUnderLoad(t *testing.T) {
	t.Parallel()
	moto := peertest.Moto(t)
	followsKeysAndTokens(t, fmt.Sprintf("backend: aws, aws: {endpoint: %q}", moto.Endpoint), environment{
		"AWS_REGION": moto.Region, "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key",
	}, motoStore(t, moto))
}

// A secret that a hundred routes use is read once a refresh.
func TestVaultSecretOfAHundredRoutesIsReadOnceARefresh(t *testing.T) {
	t.Parallel()
	vault := peertest.Vault(t)
	vaultStore(t, vault)("gateway/up", map[string]string{"value": "upstream-key"})
	target, err := url.Parse(vault.Address)
	if err != nil {
		t.Fatal(err)
	}
	var reads atomic.Int64
	forward := httputil.NewSingleHostReverseProxy(target)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/secret/data/gateway/up" {
			reads.Add(1)
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	up := startEcho(t)
	var credentials, routes bytes.Buffer
	for i := range 100 {
		fmt.Fprintf(&credentials, "  c%d: {type: static, token: \"${secret:gateway/up}\"}\n", i)
		fmt.Fprintf(&routes, "  - {name: r%d, path: /r%d, auth: public, inject: c%d, upstream: %q}\n", i, i, i, up.URL)
	}
	g := start(t, fmt.Sprintf("listen: 127.0.0.1:0\nadmin: {listen: 127.0.0.1:0}\nsecrets: {refresh: 1s, backend: vault, vault: {address: %q}}\ncredentials:\n%sroutes:\n%s",
		front.URL, &credentials, &routes), environment{"VAULT_TOKEN": vault.Token})
	began, first := time.Now(), reads.Load()
	await(t, "four more reads", func() bool { return reads.Load() >= first+4 })
	if took := time.Since(began); took < 2600*time.Millisecond { // a refresh is 0.9 to 1.1 s, and the first was under way
		t.Errorf("four reads took %v", took)
	}
	if first > 2 {
		t.Errorf("%d reads at the start", first)
	}
	for i := range 100 {
		if got := send(t, "GET", fmt.Sprintf("%s/r%d", g.URL, i), "").seen(t).Header.Get("Authorization"); got != "Bearer upstream-key" {
			t.Errorf("route %d: upstream saw %q", i, got)
		}
	}
	await(t, "the load to be counted", func() bool { return reads.Load() >= first+5 })
	if most := first + int64(time.Since(began).Seconds()/0.9) + 2; reads.Load() > most {
		t.Errorf("%d reads in %v, want at most %d", reads.Load(), time.Since(began), most)
	}
}
