package gateway_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"golang.org/x/oauth2/clientcredentials"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/gateway"
)

// freePort is one that nobody listens on: the issuer's URL has to be known before
// the gateway is there.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

const clientSecret = "a client's secret"

func clientList() string {
	sum := sha256.Sum256([]byte(clientSecret))
	return `[{"id": "batch", "hash": "sha256:` + hex.EncodeToString(sum[:]) + `", "scopes": ["orders:read"], "audience": ["orders-api"]}]`
}

// startIssuing runs a gateway that is an issuer, whose own routes take its tokens.
func startIssuing(t *testing.T, path, rest string) (g *running, c *clientcredentials.Config) {
	t.Helper()
	port, up := freePort(t), startEcho(t)
	stored, _ := newJWK(t, "issuer-1")
	issuer := "http://127.0.0.1:" + port + path
	g = start(t, fmt.Sprintf(`
listen: 127.0.0.1:%s
admin: {listen: 127.0.0.1:0}
secrets: {backend: env}
token_service: {path: /oauth2, issuer: "%[2]s", signing_keys: "${secret:signing}", clients: "${secret:clients}"}
issuers: {self: {issuer: "%[2]s", audiences: [orders-api], token_types: [at+jwt], keys: [{key: "${secret:signing}"}]}}
routes:
  - {name: orders, path: "/orders/*", auth: {issuers: [self], scopes: [orders:read]}, forward: {X-User: sub}, upstream: "%[3]s"}
  - {name: rest, path: "%[4]s", auth: public, upstream: "%[3]s"}
`, port, issuer, up.URL, rest), environment{"SIGNING": stored, "CLIENTS": clientList()})
	return g, &clientcredentials.Config{ClientID: "batch", ClientSecret: clientSecret, TokenURL: g.URL + "/oauth2/token"}
}

// Its own routes know its keys from the backend; a token that is revoked while it
// is remembered is refused at once (the case cache-03).
func TestTokenServiceIsTheIssuerOfItsOwnRoutes(t *testing.T) {
	t.Parallel()
	g, client := startIssuing(t, "", "/*")
	token, err := client.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := send(t, "GET", g.URL+"/orders/1", "", bearer(token.AccessToken)).seen(t); got.Header.Get("X-User") != "batch" {
		t.Errorf("upstream saw %v", got.Header)
	}
	form := url.Values{"token": {token.AccessToken}, "client_id": {"batch"}, "client_secret": {clientSecret}}.Encode()
	const formType = "Content-Type: application/x-www-form-urlencoded"
	if got := send(t, "POST", g.URL+"/oauth2/introspect", form, formType); !strings.Contains(got.Body, `"active":true`) {
		t.Errorf("introspection: %d %s", got.Status, got.Body)
	}
	if got := send(t, "POST", g.URL+"/oauth2/revoke", form, formType); got.Status != http.StatusOK {
		t.Errorf("revocation: %d %s", got.Status, got.Body)
	}
	if got := send(t, "GET", g.URL+"/orders/1", "", bearer(token.AccessToken)); got.Status != http.StatusUnauthorized {
		t.Errorf("a revoked token: %d", got.Status)
	}
	if got := send(t, "POST", g.URL+"/oauth2/introspect", form, formType); got.Body != `{"active":false}` {
		t.Errorf("introspection of a revoked token: %s", got.Body)
	}
	if n := scrape(t, g, `gateway_requests_total{code="200",method="POST",route="(token_service)"}`); n != "4" {
		t.Errorf("%s requests counted, want 4", n)
	}
	for _, secret := range []string{clientSecret, url.QueryEscape(clientSecret), token.AccessToken} {
		if strings.Contains(g.Log.String()+g.Access.String(), secret) {
			t.Errorf("a log shows %.20s", secret)
		}
	}
}

// Its own routes may fetch its keys too, from itself.
func TestGatewayFetchesItsOwnKeys(t *testing.T) {
	t.Parallel()
	port, up := freePort(t), startEcho(t)
	stored, _ := newJWK(t, "issuer-1")
	g := start(t, fmt.Sprintf(`
listen: 127.0.0.1:%s
admin: {listen: 127.0.0.1:0}
secrets: {backend: env}
token_service: {path: /oauth2, issuer: "http://127.0.0.1:%[1]s", signing_keys: "${secret:signing}", clients: "${secret:clients}"}
issuers: {self: {issuer: "http://127.0.0.1:%[1]s", audiences: [orders-api], discovery: true}}
routes: [{name: orders, path: "/orders/*", auth: {issuers: [self]}, upstream: "%[2]s"}]
`, port, up.URL), environment{"SIGNING": stored, "CLIENTS": clientList()})
	client := clientcredentials.Config{ClientID: "batch", ClientSecret: clientSecret, TokenURL: g.URL + "/oauth2/token"}
	token, err := client.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	await(t, "its own keys", func() bool { return send(t, "GET", g.URL+"/orders/1", "", bearer(token.AccessToken)).Status == 200 })
}

// The gateway answers before any route does, in the normal form of the path, and
// nowhere else.
func TestTokenServiceGoesBeforeRoutes(t *testing.T) {
	t.Parallel()
	g, _ := startIssuing(t, "", "/*")
	for path, want := range map[string]string{
		"/oauth2/jwks.json": `"kid":"issuer-1"`, "/oauth2//jwks.json": `"kid":"issuer-1"`, "/oauth2/%6Awks.json": `"kid":"issuer-1"`,
		"/.well-known/oauth-authorization-server": `"token_endpoint":"` + g.URL + `/oauth2/token"`,
		"/oauth2/authorize":                       "not-found", "/oauth2/token": "method-not-allowed", "/oauth2a": `"Path":"/oauth2a"`, "/.well-known/openid-configuration": `"Path":"/.well-known/openid-configuration"`,
	} {
		got := send(t, "GET", g.URL+path, "", "Host: any.test")
		if !strings.Contains(got.Body, want) || got.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s: %d %s", path, got.Status, got.Body)
		}
	}
	if got := send(t, "GET", g.URL+"/oauth2/jwks.json", ""); strings.Contains(got.Body, `"d"`) || got.Header.Get("Content-Type") != "application/json" {
		t.Errorf("keys: %v %s", got.Header, got.Body)
	}
}

// Another gateway finds its keys by discovery, where its issuer has a path too.
func TestTokenServiceIsDiscoveredByAnotherGateway(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"", "/oauth2"} {
		first, client := startIssuing(t, path, "/rest")
		up := startEcho(t)
		second := start(t, fmt.Sprintf(`
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
secrets: {backend: env}
issuers: {first: {issuer: "%s", discovery: true, audiences: [orders-api]}}
routes: [{name: all, path: "/*", auth: {issuers: [first], scopes: [orders:read]}, forward: {X-User: sub}, upstream: "%s"}]
`, first.URL+path, up.URL), nil)
		await(t, "the first gateway's keys", func() bool { status, _ := ready(t, second, "?strict"); return status == 200 })
		token, err := client.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := send(t, "GET", second.URL+"/a", "", bearer(token.AccessToken)).seen(t); got.Header.Get("X-User") != "batch" {
			t.Errorf("upstream saw %v", got.Header)
		}
	}
}

func TestTokenServiceSecretsOfNoUseEndTheStart(t *testing.T) {
	t.Parallel()
	stored, _ := newJWK(t, "k")
	for name, tt := range map[string]struct{ keys, clients, want string }{
		"an HMAC key":     {hmacKey, clientList(), "test.yaml:11:"},
		"a plain secret":  {stored, `[{"id": "batch", "hash": "secret"}]`, "test.yaml:11:"},
		"keys of no form": {"-----BEGIN PRIVATE KEY-----", clientList(), "test.yaml:11:"},
	} {
		env := environment{"JWT_KEY": hmacKey, "SIGNING": tt.keys, "CLIENTS": tt.clients}
		c := parse(t, head+`
token_service: {path: /oauth2, issuer: "https://gw.test", signing_keys: "${secret:signing}", clients: "${secret:clients}"}
routes: [{name: all, path: /*, auth: public, upstream: "http://127.0.0.1:1"}]
`, env)
		g, err := gateway.Build(c, gateway.Options{LookupEnv: env.lookup})
		if err != nil {
			t.Fatal(err)
		}
		err = g.Fetch(t.Context())
		if _, ok := err.(config.Errors); !ok || !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), hmacKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAuditTellsOfTheTokenService(t *testing.T) {
	t.Parallel()
	stored, _ := newJWK(t, "k")
	path := t.TempDir() + "/audit.jsonl"
	g := start(t, head+fmt.Sprintf(`
audit: {path: %q, hmac_key: "${secret:audit}"}
token_service: {path: /oauth2, issuer: "https://gw.test", signing_keys: "${secret:signing}", clients: "${secret:clients}"}
routes: [{name: all, path: /*, auth: public, upstream: "http://127.0.0.1:1"}]
`, path), environment{"SIGNING": stored, "CLIENTS": clientList(), "AUDIT": hmacKey})
	client := clientcredentials.Config{ClientID: "batch", ClientSecret: clientSecret, TokenURL: g.URL + "/oauth2/token"}
	if _, err := client.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	client.ClientSecret = "wrong"
	if _, err := client.Token(t.Context()); err == nil {
		t.Fatal("a wrong secret")
	}
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for line := range strings.Lines(string(text)) {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatal(err)
		}
		if action, _ := record["action"].(string); strings.HasPrefix(action, "token_") {
			kinds = append(kinds, fmt.Sprint(record["event"], " ", action, " ", record["subject"], " ", record["reason"]))
		}
	}
	if got := strings.Join(kinds, "; "); got != "key token_issue batch <nil>; deny token_refuse <nil> invalid_client" {
		t.Errorf("audit: %s", got)
	}
}

// A reload takes away the series of a token service that is no more.
func TestReloadForgetsTheSeriesOfTheTokenService(t *testing.T) {
	t.Parallel()
	stored, _ := newJWK(t, "issuer-1")
	rest := head + "routes:\n  - {name: a, path: /a, auth: public, upstream: \"http://127.0.0.1:1\"}\n"
	service := `token_service: {path: /oauth2, issuer: "https://gateway.test", signing_keys: "${secret:signing}"}` + "\n"
	g := startFile(t, rest+service, environment{"SIGNING": stored})
	told := func() bool {
		return strings.Contains(send(t, "GET", g.Admin+"/metrics", "").Body, `route="(token_service)"`)
	}
	if a := send(t, "GET", g.URL+"/oauth2/jwks.json", ""); a.Status != http.StatusOK || !told() {
		t.Fatalf("keys: %d, series: %t", a.Status, told())
	}
	g.rewrite(t, rest)
	await(t, "its series to go", func() bool { return !told() })
}
