package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/demo"
	"github.com/sallyport/sallyport/internal/peertest"
)

// soakTime is how long the test below sends requests: SALLYPORT_SOAK, or long
// enough for three renewals.
func soakTime(t *testing.T) time.Duration {
	text := os.Getenv("SALLYPORT_SOAK")
	if text == "" {
		return 8 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("SALLYPORT_SOAK: %v", err)
	}
	return d
}

// Tokens of 5 s from a real server, by each way to authenticate, before an
// upstream that verifies every one with no leeway: not one request is refused,
// neither by the upstream nor after a replay.
func TestFiveSecondTokensUnderLoad(t *testing.T) {
	t.Parallel()
	const workers = 4 // of each route
	stored, published := newJWK(t, "gateway-1")
	peer := peertest.Fosite(t, "-audience", "orders-api", "-lifetime", "5s", "-client-jwks", published, "-client-alg", "ES256")
	legacy, err := demo.NewLegacy(demo.LegacyOptions{JWKSURL: peer.JWKSURL, TokenIssuer: peer.Issuer, TokenAudience: "orders-api"})
	if err != nil {
		t.Fatal(err)
	}
	var refusals atomic.Int64 // by the upstream
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen := &statusRecorder{ResponseWriter: w}
		if legacy.ServeHTTP(seen, r); seen.status != http.StatusOK {
			refusals.Add(1)
		}
	}))
	t.Cleanup(up.Close)
	basic, post, key := peer.Clients["client_secret_basic"], peer.Clients["client_secret_post"], peer.Clients["private_key_jwt"]
	g := start(t, fmt.Sprintf(`
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
secrets: {backend: env}
credentials:
  basic: {type: oauth2, token_url: "%[1]s", client_id: %[2]q, client_secret: "${secret:basic}", audience: orders-api}
  post:  {type: oauth2, token_url: "%[1]s", client_id: %[3]q, client_secret: "${secret:post}", client_auth: post, audience: orders-api}
  key:   {type: oauth2, token_url: "%[1]s", client_id: %[4]q, client_auth: private_key_jwt, signing_key: "${secret:signing}", audience: orders-api}
routes:
  - {name: basic, path: /crm/basic, auth: public, inject: basic, upstream: "%[5]s"}
  - {name: post, path: /crm/post, auth: public, inject: post, upstream: "%[5]s"}
  - {name: key, path: /crm/key, auth: public, inject: key, upstream: "%[5]s"}
`, peer.TokenURL, basic.ID, post.ID, key.ID, up.URL), environment{"BASIC": basic.Secret, "POST": post.Secret, "SIGNING": stored})

	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 3 * workers}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	var requests, failed atomic.Int64
	end := time.Now().Add(soakTime(t))
	var all sync.WaitGroup
	names := []string{"basic", "post", "key"}
	for n := range workers * len(names) {
		url := g.URL + "/crm/" + names[n%len(names)]
		all.Go(func() {
			for time.Now().Before(end) {
				requests.Add(1)
				res, err := client.Get(url)
				if err != nil {
					failed.Add(1)
					continue
				}
				_, _ = io.Copy(io.Discard, res.Body)
				if _ = res.Body.Close(); res.StatusCode != http.StatusOK {
					failed.Add(1)
				}
				time.Sleep(2 * time.Millisecond) // steady, not all there is
			}
		})
	}
	all.Wait()
	var renewals, replays int
	for _, name := range names {
		n, _ := strconv.Atoi(scrape(t, g, fmt.Sprintf(`gateway_credential_refreshes_total{credential=%q,result="success"}`, name)))
		if least := int(soakTime(t) / (3 * time.Second)); n < least {
			t.Errorf("%s: %d tokens, want %d at least", name, n, least)
		}
		if failures := scrape(t, g, fmt.Sprintf(`gateway_credential_refreshes_total{credential=%q,result="failure"}`, name)); failures != "0" {
			t.Errorf("%s: %s renewals failed", name, failures)
		}
		renewals += n
		n, _ = strconv.Atoi(scrape(t, g, fmt.Sprintf(`gateway_replays_total{route=%q}`, name)))
		replays += n
	}
	t.Logf("%d requests in %s, %d tokens of 5 s; refused by the upstream: %d, replayed: %d, failed for the caller: %d",
		requests.Load(), soakTime(t), renewals, refusals.Load(), replays, failed.Load())
	if failed.Load() != 0 || refusals.Load() != 0 || replays != 0 {
		t.Error("a request was refused")
	}
}

type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (s *statusRecorder) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}
