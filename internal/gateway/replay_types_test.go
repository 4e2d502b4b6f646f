package gateway_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Every type that rotates is renewed and replayed, not oauth2 alone.
func TestEachRotatingCredentialIsReplayed(t *testing.T) {
	t.Parallel()
	for name, credential := range map[string]string{
		"jwt":            `{type: jwt, signing_key: "${secret:signing}", algorithm: ES256, issuer: my-service, audience: [billing]}`,
		"oauth2":         `{type: oauth2, token_url: "%[1]s", client_id: gateway, client_secret: "${secret:client}"}`,
		"token_exchange": `{type: token_exchange, token_url: "%[1]s", client_id: gateway, client_secret: "${secret:client}"}`,
		"in a cookie":    `{type: oauth2, token_url: "%[1]s", client_id: gateway, client_secret: "${secret:client}", cookie: session}`,
		"in the query":   `{type: oauth2, token_url: "%[1]s", client_id: gateway, client_secret: "${secret:client}", query: key}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stored, _ := newJWK(t, "gateway-1")
			endpoint := httptest.NewServer(http.HandlerFunc(exchanging()))
			t.Cleanup(endpoint.Close)
			var mu sync.Mutex
			var sent []string // the credentials the upstream saw, of which it takes all but the first
			up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				sent = append(sent, r.Header.Get("Authorization")+r.Header.Get("Cookie")+r.URL.RawQuery)
				if sent[len(sent)-1] == sent[0] {
					w.WriteHeader(http.StatusUnauthorized)
				}
			}))
			t.Cleanup(up.Close)
			g := start(t, head+"credentials:\n  rotating: "+fmt.Sprintf(credential+"%.0[1]s", endpoint.URL)+fmt.Sprintf(`
routes: [{name: all, path: /*, auth: {issuers: [test]}, inject: rotating, upstream: "%s"}]
`, up.URL), environment{"SIGNING": stored, "CLIENT": "client-secret"})
			caller := bearer(mint(t, nil))
			for n := range 2 {
				if got := send(t, "GET", g.URL+"/a", "", caller); got.Status != 200 {
					t.Errorf("request %d: %d", n+1, got.Status)
				}
			}
			if n := scrape(t, g, `gateway_replays_total{route="all"}`); n != "1" || len(sent) != 3 || sent[1] != sent[2] {
				t.Errorf("%s replays; the upstream saw %q", n, sent)
			}
		})
	}
}

// exchanging is a token endpoint that hands out another token each time.
func exchanging() http.HandlerFunc {
	var mu sync.Mutex
	given := 0
	return func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		given++
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":"token-%d","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":3600}`, given)
	}
}
