package gateway_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

const cookieRoutes = `
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
secrets: {backend: env}
issuers:
  test: {issuer: https://issuer.test, audiences: [orders-api], keys: [{algorithm: HS256, key: "${secret:jwt/key}"}], from: [header, "cookie:session"]}
credentials:
  query: {type: static, token: "${secret:up}", query: api_key}
  cookie: {type: static, token: "${secret:up}", cookie: upstream}
  header: {type: static, token: "${secret:up}", header: X-Upstream}
routes:
  - {name: app, path: "/app/*", auth: {issuers: [test]}, upstream: "%[1]s"}
  - {name: open, path: "/open/*", auth: public, upstream: "%[1]s"}
  - {name: watched, path: "/watched/*", auth: {issuers: [test], mode: observe}, inject: [query, cookie, header], upstream: "%[1]s"}
`

// A browser sends the cookie that opens one route to every path of its host.
func TestTokenInACookieReachesNoUpstreamOfAnotherRoute(t *testing.T) {
	t.Parallel()
	g := start(t, fmt.Sprintf(cookieRoutes, startEcho(t).URL), environment{"JWT_KEY": hmacKey, "UP": "upstream-key"})
	token := mint(t, nil)
	for _, path := range []string{"/app/1", "/open/1", "/watched/1"} {
		seen := send(t, "GET", g.URL+path, "", "Cookie: a=b; session="+token+"; c=d", "Cookie: ses%73ion="+token).seen(t)
		if text := fmt.Sprint(seen); strings.Contains(text, token) || !strings.Contains(text, "a=b; c=d") {
			t.Errorf("%s: the upstream saw %s", path, text)
		}
	}
}

// Where a route only observes, nobody knows who a stranger is: what he puts in the
// place of an injected credential goes no further, as it would not beside one.
func TestObserveLetsNoStrangerSpeakInTheCredentialsPlace(t *testing.T) {
	t.Parallel()
	g := start(t, fmt.Sprintf(cookieRoutes, startEcho(t).URL), environment{"JWT_KEY": hmacKey, "UP": "upstream-key"})
	for name, headers := range map[string][]string{"no token": nil, "a bad one": {bearer("bad")}} {
		seen := send(t, "GET", g.URL+"/watched/1?a=b&api_key=forged&api%5Fkey=forged", "",
			append(headers, "Cookie: upstream=forged; c=d", "X-Upstream: forged", "X_Upstream: forged")...).seen(t)
		if text := fmt.Sprint(seen); strings.Contains(text, "forged") || strings.Contains(text, "upstream-key") || !strings.Contains(text, "a=b") || !strings.Contains(text, "c=d") {
			t.Errorf("%s: the upstream saw %s", name, text)
		}
	}
}

// Who tries what his scopes do not allow is in the audit log, on the gateway's own
// endpoints too.
func TestCryptoOperationWithoutItsScopeIsADenial(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	g := audited(t, path, "continue", `
keyrings: {pii: {type: aes256-gcm, keys: "${secret:absent}"}}
crypto: {path: /crypto/v1, auth: {issuers: [test]}}
routes: [{name: all, path: /*, auth: public, upstream: "http://127.0.0.1:1"}]
`)
	for i, call := range []string{"/keyrings/pii/decrypt", "/keyrings/none/rotate", "/keys", "/keyrings/pii/encrypt"} {
		status := map[bool]int{true: 403, false: 503}[i < 3] // the keyring is not to be had
		a := g.crypto(t, call, `{"plaintext": "x"}`, "crypto:encrypt")
		if a.Status != status {
			t.Fatalf("%s: %d, want %d: %s", call, a.Status, status, a.Body)
		}
		if i >= 3 {
			continue
		}
		await(t, call, func() bool { return len(records(t, path, "deny")) == i+1 })
		got := records(t, path, "deny")[i]
		if got.Route != "(crypto)" || got.Status != 403 || got.Check != "authorise" || got.Reason != "scopes" || got.Subject != "alice" || got.RequestID != a.Header.Get("X-Request-Id") {
			t.Errorf("%s: %+v", call, got)
		}
	}
	await(t, "the access log", func() bool { return len(accessLines(t, g)) == 4 })
	if lines := accessLines(t, g); lines[0]["decision"] != "deny" || lines[0]["reason"] != "scopes" {
		t.Errorf("the access log has %v", lines)
	}
	if got := scrape(t, g, `gateway_auth_decisions_total{reason="scopes",result="deny",route="(crypto)"}`); got != "3" {
		t.Errorf("%s denials are counted, want 3", got)
	}
}
