package gateway_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/demo"
	"github.com/sallyport/sallyport/internal/peertest"
)

func TestReloadKeepsBuckets(t *testing.T) {
	t.Parallel()
	up := startEcho(t)
	text := head + "routes:\n" + strings.Replace(fmt.Sprintf(publicRoute, "one", "/one", up.URL), "auth: public", "auth: public, rate_limit: {rate: 3/1h}", 1)
	g := startFile(t, text, nil)
	for range 2 {
		_ = send(t, "GET", g.URL+"/one", "")
	}
	g.rewrite(t, text+fmt.Sprintf(publicRoute, "two", "/two", up.URL))
	if got := send(t, "GET", g.URL+"/one", ""); got.Status != 200 || !strings.Contains(got.Header.Get("Ratelimit"), "r=0;") {
		t.Errorf("the third: %d, %s", got.Status, got.Header.Get("Ratelimit"))
	}
	if got := send(t, "GET", g.URL+"/one", ""); got.Status != 429 {
		t.Errorf("the fourth: %d", got.Status)
	}
}

// peers is an issuer of callers' and upstream's tokens that counts what it is
// asked for.
type peers struct {
	URL          string
	keys, tokens atomic.Int64
}

func startPeers(t *testing.T) *peers {
	t.Helper()
	p := new(peers)
	var issuer *demo.Issuer
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/jwks", "/jwks.json":
			p.keys.Add(1)
		case "/token":
			if user, _, _ := r.BasicAuth(); user == "gateway" {
				p.tokens.Add(1)
			}
		}
		issuer.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	p.URL = s.URL
	var err error
	issuer, err = demo.NewIssuer(demo.IssuerOptions{URL: s.URL, Clients: []demo.Client{
		{ID: "gateway", Secret: "s", Audience: "upstream", Scopes: []string{"a", "b"}, Lifetime: time.Hour},
		{ID: "caller", Secret: "s", Audience: "orders-api", Scopes: []string{"orders:read"}, Lifetime: time.Hour},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const peersConfig = `
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
secrets: {backend: env}
issuers: {peer: {issuer: "%[1]s", jwks_url: "%[1]s/jwks", audiences: [orders-api]}}
credentials: {up: {type: oauth2, token_url: "%[1]s/token", client_id: gateway, client_secret: "${secret:client}", scopes: [a]}}
routes:
  - {name: one, path: /one, auth: {issuers: [peer]}, inject: up, upstream: "%[2]s"}
`

// Tokens, key sets and connections to the upstream are kept while what made them
// is the same, and made once where it is not.
func TestReloadKeepsTokensKeysAndConnections(t *testing.T) {
	t.Parallel()
	peer := startPeers(t)
	var connections atomic.Int64
	up := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "ok") }))
	up.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	up.Start()
	t.Cleanup(up.Close)
	text := fmt.Sprintf(peersConfig, peer.URL, up.URL)
	g := startFile(t, text, environment{"CLIENT": "s"})
	token := demoToken(t, peer.URL)
	check := func(keys, tokens, dialled int64) {
		t.Helper()
		if got := send(t, "GET", g.URL+"/one", "", bearer(token)); got.Status != 200 {
			t.Errorf("%d: %s", got.Status, got.Body)
		}
		if k, n, c := peer.keys.Load(), peer.tokens.Load(), connections.Load(); k != keys || n != tokens || c != dialled {
			t.Errorf("%d fetches of keys, %d of tokens, %d connections; want %d, %d, %d", k, n, c, keys, tokens, dialled)
		}
	}
	check(1, 1, 1)
	for i := range 10 {
		g.rewrite(t, text+fmt.Sprintf(publicRoute, "two", fmt.Sprintf("/two/%d", i), up.URL))
	}
	check(1, 1, 1)
	text = strings.Replace(text, "scopes: [a]", "scopes: [a, b]", 1)
	g.rewrite(t, text)
	check(1, 2, 1)
	text = strings.Replace(text, "audiences: [orders-api]", "audiences: [orders-api, other]", 1)
	g.rewrite(t, text)
	check(1, 2, 1)
	text = strings.Replace(text, "/jwks\"", "/jwks.json\"", 1)
	g.rewrite(t, text)
	check(2, 2, 1)
	text = strings.Replace(text, "backend: env", "backend: env, refresh: 30s", 1)
	g.rewrite(t, text)
	check(2, 3, 1)
}

// demoToken is a caller's token of the demo issuer at url.
func demoToken(t *testing.T, url string) string {
	t.Helper()
	return fositeToken(t, url+"/token", peertest.FositeClient{ID: "caller", Secret: "s"})
}

func TestReloadRefusesTokensOfARemovedIssuerAtOnce(t *testing.T) {
	t.Parallel()
	peer, up := startPeers(t), startEcho(t)
	text := head + fmt.Sprintf("  peer: {issuer: %q, jwks_url: %q, audiences: [orders-api]}\nroutes:\n  - {name: one, path: /one, auth: {issuers: [test, peer]}, upstream: %q}\n", peer.URL, peer.URL+"/jwks", up.URL)
	g := startFile(t, text, nil)
	token := demoToken(t, peer.URL)
	for i := range 5 {
		if got := send(t, "GET", g.URL+"/one", "", bearer(token)); got.Status != 200 {
			t.Fatalf("with the issuer: %d", got.Status)
		}
		g.rewrite(t, strings.Replace(text, "[test, peer]", "[test]", 1))
		if got := send(t, "GET", g.URL+"/one", "", bearer(token)); got.Status != 401 {
			t.Errorf("reload %d: without the issuer: %d", i, got.Status)
		}
		if got := get(t, g.URL+"/one"); got.Status != 200 {
			t.Errorf("reload %d: the other issuer: %d", i, got.Status)
		}
		g.rewrite(t, text)
	}
}
