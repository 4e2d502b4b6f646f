package gateway_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// The cases oauth-01, oauth-02, oauth-03, oauth-05, oauth-09 and oauth-11, from
// the caller's side: whatever a token endpoint sends, the caller has its 503 within
// 5 s, nothing goes up, other routes do not notice, and the endpoint's words are
// nowhere to be read.
func TestHostileTokenEndpointsAreSeenByNoCaller(t *testing.T) {
	t.Parallel()
	const head = `{"access_token":"canary-token"`
	write := func(kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			_, _ = io.WriteString(w, body)
		}
	}
	for name, tt := range map[string]struct {
		handle http.HandlerFunc
		reason string
	}{
		"oauth-01 500": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, "canary-trace")
		}, "refused"},
		"oauth-02 hangs": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "timeout"},
		"oauth-02 hangs after the header": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, "timeout"},
		"oauth-02 trickles": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, " ")
				_ = http.NewResponseController(w).Flush()
				time.Sleep(100 * time.Millisecond)
			}
		}, "timeout"},
		"redirects": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/canary", http.StatusPermanentRedirect)
		}, "redirect"},
		"oauth-03 a login page":         {write("text/html", "<html>canary-page</html>"), "format"},
		"oauth-03 an error with a 200":  {write("application/json", `{"error":"invalid_client","error_description":"canary"}`), "refused"},
		"oauth-03 an empty 200":         {func(http.ResponseWriter, *http.Request) {}, "format"},
		"oauth-03 an array":             {write("application/json", `[`+head+`}]`), "format"},
		"2 MiB":                         {write("application/json", head+`,"x":"`+strings.Repeat("x", 2<<20)+`"}`), "too_large"},
		"a bomb":                        {bomb(), "format"},
		"oauth-05 a token with a line":  {write("application/json", `{"access_token":"canary\r\nX-Admin: 1"}`), "token"},
		"oauth-05 a token with control": {write("application/json", `{"access_token":"canary\u0007"}`), "token"},
		"oauth-09 a mac token":          {write("application/json", head+`,"token_type":"mac"}`), "token_type"},
		"oauth-09 a DPoP token":         {write("application/json", head+`,"token_type":"DPoP"}`), "token_type"},
		"a lifetime of 0":               {write("application/json", head+`,"expires_in":0}`), "lifetime"},
		"a lifetime in words":           {write("application/json", head+`,"expires_in":"long"}`), "lifetime"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // or net/http would not notice that the gateway left
				tt.handle(w, r)
			}))
			t.Cleanup(endpoint.Close)
			up := startEcho(t)
			g := start(t, fmt.Sprintf(`
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
secrets: {backend: env}
credentials:
  crm: {type: oauth2, token_url: "%s/canary-path?canary-query=1", client_id: gateway, client_secret: "${secret:crm}"}
  key: {type: static, token: "${secret:crm}"}
routes:
  - {name: crm, path: /crm, auth: public, inject: crm, upstream: "%[2]s/crm"}
  - {name: key, path: /key, auth: public, inject: key, upstream: "%[2]s/key"}
`, endpoint.URL, up.URL), environment{"CRM": "canary-secret"})
			began := time.Now()
			got := send(t, "GET", g.URL+"/crm", "")
			if took := time.Since(began); got.Status != 503 || got.Header.Get("Retry-After") == "" || took >= 5*time.Second {
				t.Errorf("answer %d, Retry-After %q, after %s; want 503 within 5 s", got.Status, got.Header.Get("Retry-After"), took)
			}
			if got := send(t, "GET", g.URL+"/key", ""); got.Status != 200 {
				t.Errorf("the other route: %d", got.Status)
			}
			await(t, "the failure", func() bool {
				return scrape(t, g, fmt.Sprintf(`gateway_credential_failures_total{credential="crm",reason=%q}`, tt.reason)) != ""
			})
			for range 20 { // from the first failure on nobody waits
				began := time.Now()
				if got := send(t, "GET", g.URL+"/crm", ""); got.Status != 503 || time.Since(began) > 3*time.Second { // who waits does so for 4.5 s
					t.Errorf("after the failure: %d after %s", got.Status, time.Since(began))
				}
			}
			told := fmt.Sprint(got, send(t, "GET", g.Admin+"/metrics", ""), send(t, "GET", g.Admin+"/readyz?verbose", ""), g.Access.String())
			if log := g.Log.String(); !strings.Contains(log, "reason="+tt.reason) {
				t.Errorf("the log has no reason %s:\n%s", tt.reason, log)
			} else {
				told += strings.ReplaceAll(log, "/canary-path", "") // the endpoint's address is in the log
			}
			if strings.Contains(told, "canary") || strings.Contains(told, "X-Admin") {
				t.Errorf("a canary is told:\n%s", told)
			}
		})
	}
}

// bomb returns what sends 64 MiB as 64 KiB, to whoever did not ask for it.
func bomb() http.HandlerFunc {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = io.WriteString(z, `{"access_token":"canary-token","x":"`)
	for range 64 {
		_, _ = z.Write(make([]byte, 1<<20))
	}
	_ = z.Close()
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(packed.Bytes())
	}
}

// The case oauth-04: a token without a lifetime is used for five minutes.
func TestTokenWithoutLifetimeIsFetchedOnce(t *testing.T) {
	t.Parallel()
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"token"}`)
	}))
	t.Cleanup(endpoint.Close)
	up := startEcho(t)
	g := startCRM(t, endpoint.URL, up.URL)
	for range 20 {
		if got := send(t, "GET", g.URL, "").seen(t); got.Header.Get("Authorization") != "Bearer token" {
			t.Fatalf("upstream saw %v", got.Header)
		}
	}
	if n := scrape(t, g, `gateway_credential_refreshes_total{credential="crm",result="success"}`); n != "1" {
		t.Errorf("%s fetches, want 1", n)
	}
}

// The case oauth-06: the endpoint answers only when all who wait have come.
func TestThousandFirstRequestsMakeOneTokenCall(t *testing.T) {
	t.Parallel()
	const requests = 1000
	release := make(chan struct{})
	calls := 0 // one at a time
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls++
		<-release
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"token","expires_in":3600}`)
	}))
	t.Cleanup(endpoint.Close)
	up := startEcho(t)
	g := startCRM(t, endpoint.URL, up.URL)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: requests}, Timeout: 60 * time.Second}
	defer client.CloseIdleConnections()
	statuses := make(chan int, requests)
	var all sync.WaitGroup
	for range requests {
		all.Go(func() {
			res, err := client.Get(g.URL)
			if err != nil {
				statuses <- 0
				return
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			statuses <- res.StatusCode
		})
	}
	// Let as many as there may be wait for the one call; not longer than they do.
	for enough := time.Now().Add(3 * time.Second); time.Now().Before(enough); time.Sleep(20 * time.Millisecond) {
		if scrape(t, g, "gateway_in_flight_requests") == fmt.Sprint(requests) {
			break
		}
	}
	close(release)
	all.Wait()
	for range requests {
		if status := <-statuses; status != 200 {
			t.Fatalf("a request was answered %d", status)
		}
	}
	if calls != 1 {
		t.Errorf("%d token calls, want 1", calls)
	}
}

// The case oauth-10.
func TestCallersOwnAuthorizationIsReplacedByTheToken(t *testing.T) {
	t.Parallel()
	rot := startRotation(t)
	up := startEcho(t)
	g := rot.gateway(t, up.URL)
	for _, own := range [][]string{nil, {"Authorization: Bearer mine"}, {"Authorization: Basic bWluZQ=="}, {"Connection: Authorization", "Authorization: Bearer mine"}} {
		got := send(t, "GET", g.URL, "", own...).seen(t)
		if all := got.Header["Authorization"]; len(all) != 1 || all[0] != "Bearer token-1" {
			t.Errorf("%v: upstream saw %q", own, all)
		}
	}
}

// startCRM starts a gateway whose only route injects the tokens of endpoint.
func startCRM(t testing.TB, endpoint, upstream string) *running {
	t.Helper()
	return start(t, fmt.Sprintf(`
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
secrets: {backend: env}
credentials: {crm: {type: oauth2, token_url: "%s", client_id: gateway, client_secret: "${secret:crm}"}}
routes: [{name: crm, path: /*, auth: public, inject: crm, upstream: %s}]
`, endpoint, upstream), environment{"CRM": "client-secret"})
}
