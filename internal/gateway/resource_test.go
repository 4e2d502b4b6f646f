package gateway_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// RFC 9728: a client that is refused learns where to ask for a token.
func TestProtectedResourceMetadata(t *testing.T) {
	t.Parallel()
	up := startEcho(t)
	g := start(t, fmt.Sprintf(`
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
secrets: {backend: env}
issuers:
  test:
    issuer: https://issuer.test
    audiences: [orders-api]
    keys: [{algorithm: HS256, key: "${secret:jwt/key}"}]
    from: [header, "cookie:session", "query:access_token"]
  batch:
    issuer: batch-jobs
    audiences: [orders-api]
    keys: [{algorithm: HS256, key: "${secret:jwt/key}"}]
routes:
  - {name: read, path: "/orders/*", methods: [GET], auth: {issuers: [test], scopes: ["orders:read"], resource: "https://orders.test/orders"}, upstream: "%[1]s"}
  - {name: write, path: "/orders/*", methods: [POST], auth: {issuers: [test, batch], scopes: ["orders:read", "orders:write"], resource: "https://orders.test/orders"}, upstream: "%[1]s"}
  - {name: root, path: "/root/*", auth: {issuers: [batch], resource: "https://Orders.test/"}, upstream: "%[1]s"}
  - {name: rest, path: "/*", auth: {issuers: [test]}, upstream: "%[1]s"}
`, up.URL), nil)
	const at = "/.well-known/oauth-protected-resource"
	for path, want := range map[string]map[string]any{
		at + "/orders": {
			"resource": "https://orders.test/orders", "authorization_servers": []any{"https://issuer.test"},
			"scopes_supported": []any{"orders:read", "orders:write"}, "bearer_methods_supported": []any{"header", "query"},
		},
		at: {"resource": "https://Orders.test/", "bearer_methods_supported": []any{"header"}},
	} {
		got := sendTo(t, "GET", g.URL+path, "orders.test")
		var doc map[string]any
		if err := json.Unmarshal([]byte(got.Body), &doc); err != nil || got.Status != 200 || !reflect.DeepEqual(doc, want) {
			t.Errorf("%s: %d %s", path, got.Status, got.Body)
		}
		if got.Header.Get("Content-Type") != "application/json" || got.Header.Get("Access-Control-Allow-Origin") != "*" || got.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s: %v", path, got.Header)
		}
	}
	if got := sendTo(t, "POST", g.URL+at, "orders.test"); got.Status != 405 || got.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d %v", got.Status, got.Header)
	}
	if got := sendTo(t, "HEAD", g.URL+at, "orders.test:443"); got.Status != 200 || got.Body != "" {
		t.Errorf("HEAD: %d %q", got.Status, got.Body)
	}
	for _, path := range []string{at, at + "/nowhere", "/anything"} { // another host, another path: a route's
		host := "other.test"
		if path != at {
			host = "orders.test"
		}
		if got := sendTo(t, "GET", g.URL+path, host); got.Status != 401 || got.Header.Get("Www-Authenticate") != `Bearer realm="gateway"` {
			t.Errorf("%s of %s: %d %v", path, host, got.Status, got.Header)
		}
	}
	const where = `, resource_metadata="https://orders.test/.well-known/oauth-protected-resource/orders"`
	for _, c := range []struct {
		method, token string
		status        int
		want          string
	}{
		{"GET", "", 401, `Bearer realm="gateway"` + where},
		{"GET", "x.y.z", 401, `Bearer realm="gateway", error="invalid_token", error_description="the credential is not valid here"` + where},
		{"POST", mint(t, nil), 403, `Bearer realm="gateway", error="insufficient_scope", scope="orders:write"` + where},
	} {
		var headers []string
		if c.token != "" {
			headers = append(headers, bearer(c.token))
		}
		if got := send(t, c.method, g.URL+"/orders/1", "", headers...); got.Status != c.status || got.Header.Get("Www-Authenticate") != c.want {
			t.Errorf("%s: %d %s, want %d %s", c.method, got.Status, got.Header.Get("Www-Authenticate"), c.status, c.want)
		}
	}
	await(t, "the access log", func() bool { return strings.Contains(g.Access.String(), `"route":"(metadata)"`) })
	if got := scrape(t, g, `gateway_requests_total{code="200",method="GET",route="(metadata)"}`); got != "2" {
		t.Errorf("metadata is counted as %q", got)
	}
}

// sendTo asks for a host that does not resolve.
func sendTo(t testing.TB, method, url, host string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(text)}
}
