package gateway_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/internal/peertest"
)

// TestFosite has a real OAuth2 server on both sides: as issuer of the callers'
// JWTs, and as token endpoint for the upstream's.
func TestFosite(t *testing.T) {
	t.Parallel()
	peer := peertest.Fosite(t, "-audience", "orders-api", "-lifetime", "1h")
	up := startEcho(t)
	basic, post := peer.Clients["client_secret_basic"], peer.Clients["client_secret_post"]
	g := start(t, fmt.Sprintf(`
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
secrets: {backend: env}
issuers: {fosite: {issuer: "%[1]s", jwks_url: "%[2]s", audiences: [orders-api]}}
credentials:
  basic: {type: oauth2, token_url: "%[3]s", client_id: %[4]q, client_secret: "${secret:basic}", audience: orders-api}
  post:  {type: oauth2, token_url: "%[3]s", client_id: %[5]q, client_secret: "${secret:post}", client_auth: post, audience: orders-api}
routes:
  - {name: basic, path: /basic, auth: {issuers: [fosite]}, inject: basic, upstream: "%[6]s"}
  - {name: post, path: /post, auth: {issuers: [fosite]}, inject: post, upstream: "%[6]s"}
`, peer.Issuer, peer.JWKSURL, peer.TokenURL, basic.ID, post.ID, up.URL), environment{"BASIC": basic.Secret, "POST": post.Secret})

	caller := fositeToken(t, peer.TokenURL, post)
	await(t, "keys and credentials", func() bool { status, body := ready(t, g, "?strict"); return status == 200 && body["status"] == "ok" })
	for _, path := range []string{"/basic", "/post"} {
		got := send(t, "GET", g.URL+path, "", bearer(caller)).seen(t)
		sent := strings.TrimPrefix(got.Header.Get("Authorization"), "Bearer ")
		if sent == "" || sent == caller || strings.Count(sent, ".") != 2 {
			t.Errorf("%s: upstream saw %q", path, sent)
		}
		if got := send(t, "GET", g.URL+path, "", bearer(caller[:len(caller)-4]+"AAAA")); got.Status != 401 {
			t.Errorf("%s: a tampered token: %d", path, got.Status)
		}
	}
	if n := scrape(t, g, `gateway_credential_refreshes_total{credential="basic",result="success"}`); n != "1" {
		t.Errorf("token calls for basic: %s", n)
	}
}

// A short-lived token is renewed in the background while requests pass: none is
// lost, and the upstream never sees an expired one.
func TestFositeTokenIsRenewedUnderLoad(t *testing.T) {
	t.Parallel()
	peer := peertest.Fosite(t, "-audience", "orders-api", "-lifetime", "3s")
	up := startEcho(t)
	basic := peer.Clients["client_secret_basic"]
	g := start(t, fmt.Sprintf(`
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
secrets: {backend: env}
credentials: {basic: {type: oauth2, token_url: "%s", client_id: %q, client_secret: "${secret:basic}", audience: orders-api}}
routes: [{name: basic, path: /basic, auth: public, inject: basic, upstream: "%s"}]
`, peer.TokenURL, basic.ID, up.URL), environment{"BASIC": basic.Secret})
	var mu sync.Mutex
	tokens := make(map[string]int)
	first := make(chan struct{})
	var all sync.WaitGroup
	for range 200 { // all at once, before there is a token
		all.Go(func() {
			<-first
			got := send(t, "GET", g.URL+"/basic", "").seen(t).Header.Get("Authorization")
			mu.Lock()
			defer mu.Unlock()
			tokens[got]++
		})
	}
	close(first)
	all.Wait()
	if len(tokens) != 1 {
		t.Errorf("200 first requests saw %d tokens, want one fetch for all", len(tokens))
	}
	await(t, "three more tokens", func() bool {
		got := send(t, "GET", g.URL+"/basic", "").seen(t).Header.Get("Authorization")
		tokens[got]++
		return len(tokens) >= 4
	})
}

func fositeToken(t *testing.T, endpoint string, c peertest.FositeClient) string {
	t.Helper()
	res, err := http.PostForm(endpoint, url.Values{
		"grant_type": {"client_credentials"}, "client_id": {c.ID}, "client_secret": {c.Secret}, "audience": {"orders-api"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || answer.AccessToken == "" {
		t.Fatalf("token endpoint: %s, %v", res.Status, err)
	}
	return answer.AccessToken
}
