package gateway_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/peertest"
	"github.com/sallyport/sallyport/internal/token"
)

// signing is an issuer that publishes one key, and what signs with it.
type signing struct {
	*token.Signer
	set []byte
}

func newSigning(t testing.TB, kid string) signing {
	t.Helper()
	s, err := token.NewSigner(ecKey(), "ES256", kid)
	if err != nil {
		t.Fatal(err)
	}
	set, err := s.PublicJWKS()
	if err != nil {
		t.Fatal(err)
	}
	return signing{s, set}
}

func (s signing) mint(t testing.TB, iss string) string {
	t.Helper()
	claims := testClaims()
	claims["iss"] = iss
	raw, err := s.Sign(claims, "at+jwt")
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// ecKey signs in these tests alone.
var ecKey = sync.OnceValue(func() []byte {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
})

const placesConfig = `
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
secrets: {backend: env}
issuers:
  web:
    issuer: https://issuer.test
    audiences: [orders-api]
    keys: [{algorithm: HS256, key: "${secret:jwt/key}"}]
    from: [header, "cookie:session", "query:access_token"]
  header:
    issuer: https://issuer.test
    audiences: [orders-api]
    keys: [{algorithm: HS256, key: "${secret:jwt/key}"}]
routes:
  - {name: web, path: "/web/*", auth: {issuers: [web]}, upstream: "%[1]s"}
  - {name: header, path: "/header/*", auth: {issuers: [header]}, upstream: "%[1]s"}
  - {name: kept, path: "/kept/*", auth: {issuers: [web]}, keep_authorization: true, upstream: "%[1]s"}
`

// A token in each place its issuer takes it from, gone before the upstream; one
// elsewhere is none (CONTRACT 4.4 and 4.7; apikey-03, apikey-04 and apikey-09 for
// tokens).
func TestTokensFromCookieAndQuery(t *testing.T) {
	t.Parallel()
	up := startEcho(t)
	g := start(t, fmt.Sprintf(placesConfig, up.URL), nil)
	raw := mint(t, nil)
	for name, c := range map[string]struct {
		method, target string
		headers        []string
		status         int
	}{
		"header":                     {"GET", "/web/1", []string{bearer(raw)}, 200},
		"cookie":                     {"GET", "/web/1", []string{"Cookie: a=1; session=" + raw + "; b=2"}, 200},
		"query":                      {"GET", "/web/1?a=1&access_token=" + raw + "&b=2", nil, 200},
		"kept":                       {"GET", "/kept/1?access_token=" + raw, nil, 200},
		"header and cookie":          {"GET", "/web/1", []string{bearer(raw), "Cookie: session=" + raw}, 400},
		"header and query":           {"GET", "/web/1?access_token=" + raw, []string{bearer(raw)}, 400},
		"twice in the query":         {"GET", "/web/1?access_token=" + raw + "&access_token=" + raw, nil, 400},
		"twice in the cookie":        {"GET", "/web/1", []string{"Cookie: session=" + raw, "Cookie: session=" + raw}, 400},
		"cookie where header counts": {"GET", "/header/1", []string{"Cookie: session=" + raw}, 401},
		"query where header counts":  {"GET", "/header/1?access_token=" + raw, nil, 401},
		"another cookie":             {"GET", "/web/1", []string{"Cookie: token=" + raw}, 401},
		"nothing":                    {"GET", "/web/1", nil, 401},
		"write with a cookie":        {"POST", "/web/1", []string{"Cookie: session=" + raw, "Sec-Fetch-Site: same-origin"}, 200},
		"write from another site":    {"POST", "/web/1", []string{"Cookie: session=" + raw, "Sec-Fetch-Site: cross-site"}, 403},
		"write, another Origin":      {"POST", "/web/1", []string{"Cookie: session=" + raw, "Origin: https://evil.example"}, 403},
		"write, own Origin":          {"POST", "/web/1", []string{"Cookie: session=" + raw, "Origin: " + g.URL}, 200},
		"a header from another site": {"POST", "/web/1", []string{bearer(raw), "Sec-Fetch-Site: cross-site"}, 200},
	} {
		got := send(t, c.method, g.URL+c.target, "", append(c.headers, "Referer: "+g.URL+"/web/0?access_token="+raw+"&c=3")...)
		if got.Status != c.status {
			t.Errorf("%s: %d, want %d: %s", name, got.Status, c.status, got.Body)
			continue
		}
		if c.status != 200 {
			if got.problem(t); strings.Contains(got.Body+fmt.Sprint(got.Header), raw) {
				t.Errorf("%s: the answer holds the token", name)
			}
			continue
		}
		seen := got.seen(t)
		if where := fmt.Sprint(seen.Query, seen.Header); strings.Contains(where, raw) {
			t.Errorf("%s: the upstream saw the token: %s", name, where)
		}
		if seen.Header.Get("Referer") != g.URL+"/web/0?c=3" {
			t.Errorf("%s: referer is %s", name, seen.Header.Get("Referer"))
		}
	}
	seen := send(t, "GET", g.URL+"/web/1?a=1&access_token="+raw+"&%zz=2", "", "Cookie: a=1; session=; b=2").seen(t)
	if seen.Query != "a=1" || seen.Header.Get("Cookie") != "a=1; b=2" { // a broken escape may be anything
		t.Errorf("upstream saw %s, cookies %s", seen.Query, seen.Header.Get("Cookie"))
	}
	await(t, "the access log", func() bool { return strings.Count(g.Access.String(), "\n") >= 18 })
	if logs := g.Access.String() + g.Log.String(); strings.Contains(logs, raw) {
		t.Error("the log holds the token")
	}
}

// Two issuers with one URL cost one fetch; discovery leads to the same place.
func TestIssuersByDiscoveryShareTheirFetches(t *testing.T) {
	t.Parallel()
	s := newSigning(t, "1")
	var keys, documents atomic.Int32
	mux := http.NewServeMux()
	idp := httptest.NewServer(mux)
	defer idp.Close()
	mux.HandleFunc("/jwks", func(w http.ResponseWriter, _ *http.Request) { keys.Add(1); _, _ = w.Write(s.set) })
	mux.HandleFunc("/tenant/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		documents.Add(1)
		fmt.Fprintf(w, `{"issuer":"%[1]s/tenant","jwks_uri":"%[1]s/jwks","token_endpoint":"%[1]s/token"}`, idp.URL)
	})
	up := startEcho(t)
	g := start(t, fmt.Sprintf(`
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
secrets: {backend: env}
issuers:
  a: {issuer: https://a.test, jwks_url: "%[1]s/jwks", audiences: [orders-api]}
  b: {issuer: https://b.test, jwks_url: "%[1]s/jwks", audiences: [orders-api], token_types: [at+jwt]}
  found: {issuer: "%[1]s/tenant", discovery: true, audiences: [orders-api]}
  lost: {issuer: "%[1]s/nowhere", discovery: true, audiences: [orders-api]}
routes:
  - {name: all, path: "/*", auth: {issuers: [a, b, found, lost]}, forward: {X-Iss: iss}, upstream: "%[2]s"}
`, idp.URL, up.URL), nil)
	for _, iss := range []string{"https://a.test", "https://b.test", idp.URL + "/tenant"} {
		raw := s.mint(t, iss)
		await(t, "the keys of "+iss, func() bool { return send(t, "GET", g.URL+"/", "", bearer(raw)).Status == 200 })
		if got := send(t, "GET", g.URL+"/", "", bearer(raw)).seen(t); got.Header.Get("X-Iss") != iss {
			t.Errorf("a token of %s is taken for one of %s", iss, got.Header.Get("X-Iss"))
		}
	}
	if keys.Load() != 2 || documents.Load() != 1 { // one for a and b, one by discovery
		t.Errorf("%d fetches of keys, %d of documents; want 2 and 1", keys.Load(), documents.Load())
	}
	for iss, want := range map[string]int{idp.URL + "/nowhere": 503, idp.URL + "/tenant/": 401, "https://unknown.test": 401} {
		got := send(t, "GET", g.URL+"/", "", bearer(s.mint(t, iss)))
		if got.Status != want {
			t.Errorf("a token of %s: %d, want %d", iss, got.Status, want)
		}
	}
	if got := send(t, "GET", g.URL+"/", ""); got.Status != 401 || got.Header.Get("Www-Authenticate") != `Bearer realm="gateway"` {
		t.Errorf("no token while an issuer is down: %d %v", got.Status, got.Header)
	}
	for series, want := range map[string]string{
		`gateway_jwks_keys{issuer="a"}`: "1", `gateway_jwks_keys{issuer="b"}`: "1", `gateway_jwks_keys{issuer="found"}`: "1",
		`gateway_jwks_refreshes_total{issuer="b",result="success"}`: "1",
	} {
		if got := scrape(t, g, series); got != want {
			t.Errorf("%s is %q, want %s", series, got, want)
		}
	}
}

// jwks-01 over sockets: 10,000 unknown kids cost one fetch in the cooldown, and
// those whose key is known pass all the while.
func TestTenThousandUnknownKidsCostOneFetch(t *testing.T) {
	t.Parallel()
	s := newSigning(t, "1")
	var fetches atomic.Int32
	idp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fetches.Add(1); _, _ = w.Write(s.set) }))
	defer idp.Close()
	up := startEcho(t)
	g := start(t, fmt.Sprintf(`
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
secrets: {backend: env}
issuers: {a: {issuer: https://a.test, jwks_url: "%s", audiences: [orders-api], jwks: {cooldown: 10m}}}
routes: [{name: all, path: "/*", auth: {issuers: [a]}, upstream: "%s"}]
`, idp.URL, up.URL), nil)
	good := s.mint(t, "https://a.test")
	await(t, "the keys", func() bool { return send(t, "GET", g.URL+"/", "", bearer(good)).Status == 200 })
	before := fetches.Load()
	client := &http.Client{Timeout: 10 * time.Second}
	refused := 0
	begun := time.Now()
	for n := range 10_000 {
		stranger, err := token.NewSigner(ecKey(), "ES256", fmt.Sprint("unknown-", n))
		if err != nil {
			t.Fatal(err)
		}
		raw := signing{Signer: stranger}.mint(t, "https://a.test")
		r, _ := http.NewRequestWithContext(t.Context(), "GET", g.URL+"/", nil)
		r.Header.Set("Authorization", "Bearer "+raw)
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode == 401 {
			refused++
		}
		if n%1000 == 0 {
			if got := send(t, "GET", g.URL+"/", "", bearer(good)); got.Status != 200 {
				t.Errorf("a good token in the flood: %d", got.Status)
			}
		}
	}
	if more := fetches.Load() - before; more != 1 || refused != 10_000 {
		t.Errorf("%d of 10,000 unknown kids refused, %d fetches, want 1", refused, more)
	}
	t.Logf("10,000 unknown kids in %v: %d refused, %d fetch of the key set", time.Since(begun).Round(time.Millisecond), refused, fetches.Load()-before)
}

// A real OAuth2 server is asked about its tokens: one issuer by its iss, one by
// nothing but its URL.
func TestFositeIntrospection(t *testing.T) {
	t.Parallel()
	peer := peertest.Fosite(t, "-audience", "orders-api", "-lifetime", "1h")
	basic, post := peer.Clients["client_secret_basic"], peer.Clients["client_secret_post"]
	up := startEcho(t)
	g := start(t, fmt.Sprintf(`
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
secrets: {backend: env}
issuers:
  named: {issuer: "%[1]s", audiences: [orders-api], introspection: {url: "%[2]s", client_id: %[3]q, client_secret: "${secret:basic}"}}
  open: {audiences: [orders-api], introspection: {url: "%[2]s", client_id: %[3]q, client_secret: "${secret:basic}", cache: 1s}}
  other: {audiences: [billing], introspection: {url: "%[2]s", client_id: %[3]q, client_secret: "${secret:basic}"}}
  wrong: {audiences: [orders-api], introspection: {url: "%[2]s", client_id: %[3]q, client_secret: "${secret:wrong}"}}
  gone: {audiences: [orders-api], introspection: {url: "%[2]s", client_id: %[3]q, client_secret: "${secret:gone}"}}
routes:
  - {name: named, path: /named, auth: {issuers: [named]}, forward: {X-User: sub}, upstream: "%[4]s"}
  - {name: open, path: /open, auth: {issuers: [open]}, forward: {X-User: sub}, upstream: "%[4]s"}
  - {name: other, path: /other, auth: {issuers: [other]}, upstream: "%[4]s"}
  - {name: wrong, path: /wrong, auth: {issuers: [wrong]}, upstream: "%[4]s"}
  - {name: gone, path: /gone, auth: {issuers: [gone]}, upstream: "%[4]s"}
`, peer.Issuer, peer.IntrospectURL, basic.ID, up.URL), environment{"BASIC": basic.Secret, "WRONG": "not the secret"})
	raw := fositeToken(t, peer.TokenURL, post)
	for path, want := range map[string]int{"/named": 200, "/open": 200, "/other": 401, "/wrong": 503, "/gone": 503} {
		got := send(t, "GET", g.URL+path, "", bearer(raw))
		if got.Status != want {
			t.Errorf("%s: %d, want %d: %s", path, got.Status, want, got.Body)
		}
		if want == 200 && got.seen(t).Header.Get("X-User") != post.ID {
			t.Errorf("%s: the caller is %q", path, got.seen(t).Header.Get("X-User"))
		}
		if want == 401 && !strings.Contains(got.Header.Get("Www-Authenticate"), `error="invalid_token"`) {
			t.Errorf("%s: %v", path, got.Header)
		}
	}
	for path, want := range map[string]int{"/named": 401, "/open": 401} {
		if got := send(t, "GET", g.URL+path, "", bearer("no-token-of-theirs")); got.Status != want {
			t.Errorf("%s, a guess: %d, want %d", path, got.Status, want)
		}
		if got := send(t, "GET", g.URL+path, ""); got.Status != 401 {
			t.Errorf("%s, no token: %d", path, got.Status)
		}
	}
	res, err := http.PostForm(peer.RevokeURL, url.Values{"token": {raw}, "client_id": {post.ID}, "client_secret": {post.Secret}})
	if err != nil || res.StatusCode != 200 {
		t.Fatal(res, err)
	}
	res.Body.Close()
	if got := send(t, "GET", g.URL+"/named", "", bearer(raw)); got.Status != 401 {
		t.Errorf("a revoked token, not cached: %d", got.Status)
	}
	await(t, "the cached answer to end", func() bool { return send(t, "GET", g.URL+"/open", "", bearer(raw)).Status == 401 })
	peer.Stop()
	for path, token := range map[string]string{"/named": raw, "/open": "opaque"} {
		if got := send(t, "GET", g.URL+path, "", bearer(token)); got.Status != 503 || got.Header.Get("Retry-After") == "" {
			t.Errorf("%s, the issuer is down: %d, want 503", path, got.Status)
		}
	}
	if got := send(t, "GET", g.URL+"/named", ""); got.Status != 401 {
		t.Errorf("no token while the issuer is down: %d, want 401", got.Status)
	}
}
