package gateway_test

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// rotation is a token endpoint that hands out token-1, token-2 and so on, and
// upstreams that take a token until it is revoked.
type rotation struct {
	endpoint *httptest.Server
	calls    atomic.Int64 // of the endpoint: the number of the newest token
	revoked  atomic.Int64 // the number of the newest token no upstream takes
	broken   atomic.Bool  // the endpoint refuses
}

func startRotation(t testing.TB) *rotation {
	t.Helper()
	rot := new(rotation)
	rot.endpoint = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := rot.calls.Add(1)
		if rot.broken.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"Bearer","expires_in":3600}`, n)
	}))
	t.Cleanup(rot.endpoint.Close)
	return rot
}

// takes reports whether the token of r is one that is not revoked.
func (rot *rotation) takes(r *http.Request) bool {
	n, err := strconv.ParseInt(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer token-"), 10, 64)
	return err == nil && n > rot.revoked.Load()
}

// revoke has the upstreams refuse every token handed out so far.
func (rot *rotation) revoke() { rot.revoked.Store(rot.calls.Load()) }

const refusal = "the upstream's own refusal"

func (rot *rotation) refuse(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="legacy"`)
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = io.WriteString(w, refusal)
}

// upstream answers with the body it was sent, once it was sent a good token; it
// counts what it was asked.
func (rot *rotation) upstream(t testing.TB) (url string, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		body, _ := io.ReadAll(r.Body)
		if !rot.takes(r) {
			rot.refuse(w)
			return
		}
		_, _ = w.Write(body)
	}))
	t.Cleanup(s.Close)
	return s.URL, asked
}

// gateway starts one whose route injects the rotation's tokens, which are there.
func (rot *rotation) gateway(t testing.TB, upstream string) *running {
	t.Helper()
	g := startCRM(t, rot.endpoint.URL, upstream)
	await(t, "the first token", func() bool {
		return scrape(t, g, `gateway_credential_refreshes_total{credential="crm",result="success"}`) == "1"
	})
	return g
}

func replays(t testing.TB, g *running) string {
	t.Helper()
	return scrape(t, g, `gateway_replays_total{route="crm"}`)
}

// The case oauth-07.
func TestRefusedCredentialIsRenewedAndTheRequestSentAgain(t *testing.T) {
	t.Parallel()
	const limit = 64 << 10
	key := "Idempotency-Key: 7"
	for name, tt := range map[string]struct {
		method  string
		body    int // bytes; negative: in chunks
		headers []string
		again   bool
	}{
		"GET":                                {"GET", 0, nil, true},
		"HEAD":                               {"HEAD", 0, nil, true},
		"OPTIONS":                            {"OPTIONS", 0, nil, true},
		"DELETE":                             {"DELETE", 0, nil, true},
		"PUT":                                {"PUT", 100, nil, true},
		"PUT of 64KiB":                       {"PUT", limit, nil, true},
		"PUT of more":                        {"PUT", limit + 1, nil, false},
		"PUT of 1MiB":                        {"PUT", 1 << 20, nil, false},
		"PUT in chunks":                      {"PUT", -100, nil, true},
		"PUT of 64KiB in chunks":             {"PUT", -limit, nil, true},
		"PUT of more in chunks":              {"PUT", -limit - 1, nil, false},
		"PUT of 1MiB in chunks":              {"PUT", -1 << 20, nil, false},
		"GET with a body":                    {"GET", 10, nil, true},
		"POST":                               {"POST", 100, nil, false},
		"POST without a body":                {"POST", 0, nil, false},
		"POST with an empty Idempotency-Key": {"POST", 100, []string{"Idempotency-Key: "}, false},
		"POST with Idempotency-Key":          {"POST", 100, []string{key}, true},
		"POST of 64KiB with it":              {"POST", limit, []string{key}, true},
		"POST of more with it":               {"POST", limit + 1, []string{key}, false},
		"POST in chunks with it":             {"POST", -100, []string{key}, true},
		"PATCH":                              {"PATCH", 100, nil, false},
		"PATCH with Idempotency-Key":         {"PATCH", 100, []string{key}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rot := startRotation(t)
			up, asked := rot.upstream(t)
			g := rot.gateway(t, up)
			rot.revoke()
			sent := rand.Text() + strings.Repeat("x", max(tt.body, -tt.body))
			sent = sent[:max(tt.body, -tt.body)]
			var body io.Reader
			if tt.body > 0 {
				body = strings.NewReader(sent)
			} else if tt.body < 0 {
				body = struct{ io.Reader }{strings.NewReader(sent)} // of no known length
			}
			got := exchange(t, tt.method, g.URL, body, tt.headers...)
			want, times := answer{Status: 200, Body: sent}, int64(2)
			if !tt.again {
				want, times = answer{Status: 401, Body: refusal}, 1
			}
			if tt.method == "HEAD" {
				want.Body = ""
			}
			if got.Status != want.Status || got.Body != want.Body || asked.Load() != times {
				t.Errorf("%d %.40q after %d requests upstream, want %d %.40q after %d", got.Status, got.Body, asked.Load(), want.Status, want.Body, times)
			}
			if challenge := got.Header.Get("WWW-Authenticate"); (challenge != "") == tt.again {
				t.Errorf("WWW-Authenticate: %s", challenge)
			}
			if got, want := replays(t, g), strconv.FormatInt(times-1, 10); got != want {
				t.Errorf("gateway_replays_total is %s, want %s", got, want)
			}
			// Sent again or not, the credential is renewed, and the next one passes.
			if got := exchange(t, "POST", g.URL, strings.NewReader("next")); got.Status != 200 || rot.calls.Load() != 2 {
				t.Errorf("the next: %d after %d token calls, want 200 after 2", got.Status, rot.calls.Load())
			}
		})
	}
}

// exchange is send with any body.
func exchange(t testing.TB, method, url string, body io.Reader, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}).Do(r)
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

// Section 4.10 of the contract: whoever is truly forbidden does not turn the
// gateway against the token endpoint.
func TestForbiddenRequestsRenewAtMostOnceInTenSeconds(t *testing.T) {
	t.Parallel()
	rot := startRotation(t)
	up, asked := rot.upstream(t)
	g := rot.gateway(t, up)
	rot.revoked.Store(1 << 40)
	const requests = 200
	began := time.Now()
	for range requests {
		if got := exchange(t, "GET", g.URL, nil); got.Status != 401 || got.Body != refusal {
			t.Fatalf("answer %d %q, want the upstream's 401", got.Status, got.Body)
		}
	}
	most := 1 + int64(time.Since(began)/(10*time.Second)) // renewals: one, where the machine is not slow
	calls := rot.calls.Load()
	if calls < 2 || calls > 1+most {
		t.Errorf("%d token calls in %s, want the first and %d renewals at most", calls, time.Since(began), most)
	}
	// Only who had it renewed was sent again: the others went up with the new token.
	if n := asked.Load(); n != requests+calls-1 {
		t.Errorf("%d requests upstream, want %d", n, requests+calls-1)
	}
}

func TestThousandRequestsRefusedTogetherMakeOneRenewal(t *testing.T) {
	t.Parallel()
	const requests = 1000
	rot := startRotation(t)
	var refused, answered sync.WaitGroup
	refused.Add(requests)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !rot.takes(r) {
			refused.Done()
			refused.Wait() // all went up with the old token
			rot.refuse(w)
		}
	}))
	t.Cleanup(up.Close)
	g := rot.gateway(t, up.URL)
	rot.revoke()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: requests}, Timeout: 60 * time.Second}
	defer client.CloseIdleConnections()
	var wrong atomic.Int64
	for range requests {
		answered.Go(func() {
			res, err := client.Get(g.URL)
			if err != nil {
				wrong.Add(1)
				return
			}
			if _ = res.Body.Close(); res.StatusCode != 200 {
				wrong.Add(1)
			}
		})
	}
	answered.Wait()
	if wrong.Load() != 0 || rot.calls.Load() != 2 {
		t.Errorf("%d of %d failed; %d token calls, want 2", wrong.Load(), requests, rot.calls.Load())
	}
	if got := replays(t, g); got != strconv.Itoa(requests) {
		t.Errorf("gateway_replays_total is %s", got)
	}
}

func TestRefusalOfOneOfTwoUpstreamsIsHandedOn(t *testing.T) {
	t.Parallel()
	rot := startRotation(t)
	good, _ := rot.upstream(t)
	bad := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { rot.refuse(w) }))
	t.Cleanup(bad.Close)
	g := rot.gateway(t, fmt.Sprintf("{urls: [%q, %q]}", good, bad.URL))
	var statuses [2]int
	for range 50 {
		switch got := exchange(t, "GET", g.URL, nil); got.Status {
		case 200:
			statuses[0]++
		case 401:
			statuses[1]++
		}
	}
	if statuses != [2]int{25, 25} || rot.calls.Load() != 2 {
		t.Errorf("200 and 401: %v, want 25 each; %d token calls, want 2", statuses, rot.calls.Load())
	}
}

func TestRefusalIsHandedOnWhereThereIsNoOtherCredential(t *testing.T) {
	t.Parallel()
	rot := startRotation(t)
	up, asked := rot.upstream(t)
	g := rot.gateway(t, up)
	rot.revoke()
	rot.broken.Store(true)
	for range 10 { // nobody waits for an endpoint known to fail
		if got := exchange(t, "GET", g.URL, nil); got.Status != 401 || got.Body != refusal {
			t.Errorf("answer %d %q, want the upstream's 401", got.Status, got.Body)
		}
	}
	if asked.Load() != 10 || replays(t, g) != "0" {
		t.Errorf("%d requests upstream, %s replays", asked.Load(), replays(t, g))
	}
	rot.broken.Store(false)
	await(t, "the new token", func() bool { return exchange(t, "GET", g.URL, nil).Status == 200 })
}

// What was written for a credential that stays: its secret is another now.
func TestStaticCredentialIsNotRenewed(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(up.Close)
	g := start(t, fmt.Sprintf(`
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
secrets: {backend: env}
credentials: {crm: {type: static, token: "${secret:crm}"}}
routes: [{name: crm, path: /*, auth: public, inject: crm, upstream: "%s"}]
`, up.URL), environment{"CRM": "key"})
	if got := exchange(t, "GET", g.URL, nil); got.Status != 401 || asked.Load() != 1 || replays(t, g) != "0" {
		t.Errorf("answer %d after %d requests upstream, %s replays", got.Status, asked.Load(), replays(t, g))
	}
}

// The case oauth-11: the token is sent to the upstream and told to nobody else,
// nor is the client secret, whatever happens.
func TestTokenIsToldToTheUpstreamAlone(t *testing.T) {
	t.Parallel()
	rot := startRotation(t)
	up, _ := rot.upstream(t)
	g := rot.gateway(t, fmt.Sprintf("{urls: [%q]}", up))
	var told strings.Builder
	tell := func(a answer, want int) {
		t.Helper()
		if a.Status != want {
			t.Errorf("answer %d, want %d", a.Status, want)
		}
		fmt.Fprintln(&told, a.Status, a.Header, a.Body)
	}
	tell(exchange(t, "GET", g.URL, nil), 200)
	rot.revoke()
	tell(exchange(t, "GET", g.URL, nil), 200) // replayed
	rot.revoke()
	tell(exchange(t, "GET", g.URL, nil), 401)
	tell(exchange(t, "POST", g.Admin+"/api/v1/credentials/crm/refresh", nil), 429) // within 10 s of the one above
	for _, path := range []string{"/metrics", "/readyz?verbose", "/", "/api/v1/status"} {
		fmt.Fprintln(&told, exchange(t, "GET", g.Admin+path, nil))
	}
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(&told, g.Log.String(), g.Access.String())
	for _, canary := range []string{"token-1", "token-2", "client-secret"} {
		if strings.Contains(told.String(), canary) {
			t.Errorf("%s is told:\n%s", canary, told.String())
		}
	}
}
