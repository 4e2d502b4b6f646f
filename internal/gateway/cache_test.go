package gateway_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const cacheRoutes = exactIssuer + `
routes:
  - {name: read, path: "/read/{tenant}", auth: {issuers: [test], scopes: ["orders:read"]}, forward: {X-User: sub}, upstream: "%[1]s"}
  - {name: write, path: "/write", auth: {issuers: [test], scopes: ["orders:write"]}, upstream: "%[1]s"}
  - {name: claim, path: "/claim", auth: {issuers: [test], claims: {tenant: [acme]}}, upstream: "%[1]s"}
  - {name: other, path: "/other", auth: {issuers: [other]}, upstream: "%[1]s"}
  - {name: narrow, path: "/narrow", auth: {issuers: [narrow]}, upstream: "%[1]s"}
  - {name: asked, path: "/asked/{tenant}", auth: {issuers: [test], allow: 'claims.tenant == params.tenant && request.query.day == ["mon"]'}, upstream: "%[1]s"}
`

// exactIssuer is head with two more issuers of the same key, and no leeway.
const exactIssuer = `
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
secrets: {backend: env}
issuers:
  test: {issuer: https://issuer.test, audiences: [orders-api], leeway: 0s, keys: [{algorithm: HS256, key: "${secret:jwt/key}"}]}
  other: {issuer: https://other.test, audiences: [orders-api], keys: [{algorithm: HS256, key: "${secret:jwt/key}"}]}
  narrow: {issuer: https://issuer.test, audiences: [billing-api], keys: [{algorithm: HS256, key: "${secret:jwt/key}"}]}
`

// cache-02: a token that one route knows is judged by each route's own issuers
// and policy, and allow is asked each time (THREATS, elevation: decision cache).
func TestCache02EveryRouteDecidesForItself(t *testing.T) {
	t.Parallel()
	g := start(t, fmt.Sprintf(cacheRoutes, startEcho(t).URL), nil)
	acme := bearer(mint(t, map[string]any{"tenant": "acme"}))
	for range 3 {
		for path, want := range map[string]int{
			"/read/x": 200, "/write": 403, "/claim": 200, "/other": 401, "/narrow": 401,
			"/asked/acme?day=mon": 200, "/asked/acme?day=tue": 403, "/asked/globex?day=mon": 403,
		} {
			if got := send(t, "GET", g.URL+path, "", acme); got.Status != want {
				t.Errorf("%s: %d, want %d", path, got.Status, want)
			}
		}
	}
}

// cache-01: a token that is known is refused within a second of its exp.
func TestCache01KnownTokenExpires(t *testing.T) {
	t.Parallel()
	g := start(t, fmt.Sprintf(cacheRoutes, startEcho(t).URL), nil)
	header, at := expiring(t, 500*time.Millisecond)
	status, asked := 200, time.Time{} // by the request's beginning, as its answer may be slow
	for status == 200 && asked.Before(at.Add(time.Second)) {
		asked = time.Now()
		status = send(t, "GET", g.URL+"/read/x", "", "Authorization: "+header.Get("Authorization")).Status
	}
	if status != 401 || time.Now().Before(at) {
		t.Errorf("%d to a request %v after exp", status, asked.Sub(at))
	}
}

// cache-03: a key that is replaced in the secret store takes the tokens it
// verified with it, once it is read.
func TestCache03KeyIsReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(key string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "new"), []byte(key), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "key")); err != nil {
			t.Fatal(err)
		}
	}
	write(hmacKey)
	text := strings.Replace(fmt.Sprintf(cacheRoutes, startEcho(t).URL), "secrets: {backend: env}", "secrets: {backend: file, refresh: 1s, file: {dir: "+dir+"}}", 1)
	g := start(t, strings.ReplaceAll(text, "${secret:jwt/key}", "${secret:key}"), nil)
	alice := bearer(mint(t, nil))
	for range 5 {
		if got := send(t, "GET", g.URL+"/read/x", "", alice); got.Status != 200 {
			t.Fatalf("%d: %s", got.Status, got.Body)
		}
	}
	write(strings.ToUpper(hmacKey))
	begun := time.Now()
	await(t, "the token's refusal", func() bool { return send(t, "GET", g.URL+"/read/x", "", alice).Status == 401 })
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("refused %v after the key was replaced", took)
	}
}

// cache-05: the same URL with other tokens is never another's.
func TestCache05NobodyGetsAnothersIdentity(t *testing.T) {
	t.Parallel()
	g := start(t, fmt.Sprintf(cacheRoutes, startEcho(t).URL), nil)
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			name := fmt.Sprint("caller", n)
			token := bearer(mint(t, map[string]any{"sub": name}))
			for range 50 {
				if got := send(t, "GET", g.URL+"/read/x", "", token).seen(t); got.Header.Get("X-User") != name {
					t.Errorf("%s went up as %v", name, got.Header["X-User"])
					return
				}
			}
		})
	}
	all.Wait()
}
