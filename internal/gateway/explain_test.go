package gateway_test

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sallyport/sallyport/internal/gateway"
	"github.com/sallyport/sallyport/internal/proxy"
)

// explained builds a gateway that serves nothing, to ask it.
func explained(t testing.TB, text string, env environment) *gateway.Gateway {
	t.Helper()
	if _, ok := env["JWT_KEY"]; !ok {
		env["JWT_KEY"] = hmacKey
	}
	g, err := gateway.Build(parse(t, text, env), gateway.Options{Log: slog.New(slog.DiscardHandler), Stdout: io.Discard, Stderr: io.Discard, LookupEnv: env.lookup})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return g
}

func ask(t testing.TB, g *gateway.Gateway, method, url string, headers ...string) proxy.Explanation {
	t.Helper()
	q := gateway.Question{Method: method, URL: url}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		q.Headers = append(q.Headers, gateway.Header{Name: name, Value: value})
	}
	e, err := g.Explain(q)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

const explainConfig = head + `
credentials:
  crm: {type: static, token: "${secret:crm/token}"}
  missing: {type: static, token: "${secret:no/where}", header: X-Key}
routes:
  - name: orders
    hosts: [orders.example.com]
    path: /orders/*
    methods: [GET]
    auth: {issuers: [test], scopes: [orders:read], claims: {tenant: [acme]}}
    rate_limit: [{rate: 10/s, key: ip}, {rate: 1/1h, key: subject}]
    inject: crm
    upstream: {urls: [http://legacy-1:8080/base, http://legacy-2:8080/base], strip_prefix: /orders}
  - {name: stuck, path: /stuck, auth: {issuers: [test]}, inject: [crm, missing], upstream: http://legacy:8080}
  - {name: open, path: /open/*, auth: public, upstream: http://legacy:8080}
`

// Each request is refused by the check named, and the reason has the words.
func TestExplainNamesTheCheckThatRefuses(t *testing.T) {
	t.Parallel()
	g := explained(t, explainConfig, environment{"CRM_TOKEN": "upstream-canary"})
	acme := bearer(mint(t, map[string]any{"tenant": "acme"}))
	for _, c := range []struct {
		name, method, url string
		headers           []string
		status            int
		route, check, why string
	}{
		{"path", "GET", "http://orders.example.com/orders/../x", nil, 400, "", "normalise", "dot segment"},
		{"host", "GET", "http://orders.example.com:x/orders", nil, 400, "", "normalise", "host is not a host name"},
		{"no route", "GET", "http://elsewhere.example.com/orders/1", nil, 404, "", "route", `host "elsewhere.example.com" and path /orders/1`},
		{"method", "POST", "http://orders.example.com/orders/1", nil, 405, "", "route", "POST is not one of the methods here: GET, HEAD"},
		{"no token", "GET", "http://orders.example.com/orders/1", nil, 401, "orders", "authenticate", "no credential"},
		{"two tokens", "GET", "http://orders.example.com/orders/1", []string{acme, acme}, 400, "orders", "authenticate", "more than one"},
		{"signature", "GET", "http://orders.example.com/orders/1", []string{acme[:len(acme)-4] + "AAAA"}, 401, "orders", "authenticate", "signature"},
		{"expired", "GET", "http://orders.example.com/orders/1", []string{bearer(mint(t, map[string]any{"exp": 1}))}, 401, "orders", "authenticate", "expired"},
		{"scope", "GET", "http://orders.example.com/orders/1", []string{bearer(mint(t, map[string]any{"scope": "other"}))}, 403, "orders", "authorise", "missing scope orders:read"},
		{"claim", "GET", "http://orders.example.com/orders/1", []string{bearer(mint(t, map[string]any{"tenant": "evil"}))}, 403, "orders", "authorise", `"tenant"`},
		{"body", "GET", "/open/x", []string{"Content-Length: 99999999"}, 413, "open", "body", "a body of 99999999 bytes is announced, over max_body, 10485760"},
		{"credential", "GET", "/stuck", []string{acme}, 503, "stuck", "inject", "credential missing (static) is not to be had"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := ask(t, g, c.method, c.url, c.headers...)
			if e.Decision != "deny" || e.Status != c.status || e.Route != c.route || len(e.Upstream) > 0 {
				t.Errorf("%+v", e)
			}
			denied := false
			for _, check := range e.Checks {
				switch {
				case check.Result == "deny":
					if denied || check.Name != c.check || !strings.Contains(check.Reason, c.why) {
						t.Errorf("%+v, want %s because of %q", check, c.check, c.why)
					}
					denied = true
				case denied && check.Result != "skip":
					t.Errorf("%s was asked after the refusal", check.Name)
				}
			}
			if !denied || len(e.Checks) < 7 {
				t.Errorf("%+v", e.Checks)
			}
		})
	}
}

func TestExplainOfARequestThatPasses(t *testing.T) {
	t.Parallel()
	g := explained(t, explainConfig, environment{"CRM_TOKEN": "upstream-canary"})
	e := ask(t, g, "GET", "https://orders.example.com/orders//%61?token=secret", bearer(mint(t, map[string]any{"tenant": "acme"})))
	if e.Decision != "allow" || e.Status != 200 || e.Route != "orders" || strings.Join(e.Inject, " ") != "crm" {
		t.Errorf("%+v", e)
	}
	if got := strings.Join(e.Upstream, " "); got != "http://legacy-1:8080/base/a http://legacy-2:8080/base/a" {
		t.Errorf("goes to %s", got)
	}
	open := ask(t, g, "GET", "/open/x")
	for _, c := range open.Checks {
		if skipped := c.Name != "normalise" && c.Name != "route"; open.Decision != "allow" || skipped != (c.Result == "skip") {
			t.Errorf("%s: %+v", open.Decision, c)
		}
	}
}

func TestWhatIsNoRequestIsNotExplained(t *testing.T) {
	t.Parallel()
	g := explained(t, explainConfig, environment{})
	for _, q := range []gateway.Question{
		{URL: ""}, {URL: "orders.example.com/x"}, {URL: "ftp://a/x"}, {URL: "http://user:pass@a/x"}, {URL: "/a b"},
		{URL: "/", Method: "G T"}, {URL: "/", Headers: []gateway.Header{{Name: "X", Value: "a\r\nHost: b"}}},
		{URL: "/", Headers: []gateway.Header{{Name: "X Y", Value: "a"}}}, {URL: "/", Headers: []gateway.Header{{Name: "Host", Value: "a"}, {Name: "host", Value: "b"}}},
	} {
		if e, err := g.Explain(q); !errors.Is(err, gateway.ErrQuestion) {
			t.Errorf("%+v: %+v, %v", q, e, err)
		}
	}
}

// explain asks the admin API of a gateway that serves.
func (r *running) explain(t testing.TB, method, url string, headers map[string]string) proxy.Explanation {
	t.Helper()
	body, err := json.Marshal(map[string]any{"method": method, "url": url, "headers": headers})
	if err != nil {
		t.Fatal(err)
	}
	a := send(t, http.MethodPost, r.Admin+"/api/v1/explain", string(body), "Content-Type: application/json")
	var e proxy.Explanation
	if err := json.Unmarshal([]byte(a.Body), &e); err != nil || a.Status != http.StatusOK {
		t.Fatalf("%d: %s", a.Status, a.Body)
	}
	return e
}

// What is asked of a gateway that serves takes no token of a limit, makes no
// series, fetches no key, and stands in no log.
func TestExplainChangesNothing(t *testing.T) {
	t.Parallel()
	var fetches atomic.Int64
	idp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetches.Add(1)
		_, _ = io.WriteString(w, `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`)
	}))
	t.Cleanup(idp.Close)
	up := startEcho(t)
	g := start(t, head+`
  remote: {issuer: https://remote.test, audiences: [a], jwks_url: `+idp.URL+`}
routes:
  - {name: limited, path: /limited, auth: {issuers: [test]}, rate_limit: [{rate: 2/1h, key: ip}, {rate: 2/1h, key: subject}], upstream: `+up.URL+`}
  - {name: remote, path: /remote, auth: {issuers: [remote]}, upstream: `+up.URL+`}
`, nil)
	await(t, "the keys", func() bool { return fetches.Load() == 1 })
	alice := map[string]string{"Authorization": "Bearer " + mint(t, nil)}
	stranger := map[string]string{"Authorization": "Bearer eyJhbGciOiJFZERTQSIsImtpZCI6Im5ldyJ9.eyJpc3MiOiJodHRwczovL3JlbW90ZS50ZXN0In0." + strings.Repeat("A", 86)}
	if a := get(t, g.URL+"/limited"); a.Status != 200 {
		t.Fatal(a)
	}
	await(t, "the request to be counted", func() bool {
		return strings.Contains(gatewayMetrics(t, g), `gateway_requests_total{code="200",method="GET",route="limited"} 1`)
	})
	await(t, "its access line", func() bool { return strings.Contains(g.Access.String(), "limited") })
	metrics, access := gatewayMetrics(t, g), g.Access.String()
	for range 5 {
		e := g.explain(t, "GET", g.URL+"/limited", alice)
		if e.Decision != "allow" || !strings.Contains(e.Checks[5].Reason, "0 left") {
			t.Fatalf("%+v", e)
		}
		if e := g.explain(t, "GET", "/limited", nil); e.Status != 401 {
			t.Errorf("%+v", e)
		}
		if e := g.explain(t, "GET", "/remote", stranger); e.Status != 401 || !strings.Contains(e.Checks[3].Reason, `no key "new"`) {
			t.Errorf("%+v", e)
		}
	}
	for line := range strings.Lines(gatewayMetrics(t, g)) {
		if !strings.Contains(metrics, line) {
			t.Errorf("a metric changed: %s", line)
		}
	}
	if got := g.Access.String(); got != access {
		t.Errorf("the access log grew: %s", got)
	}
	if a := get(t, g.URL+"/limited"); a.Status != 200 {
		t.Errorf("explaining took a token: %d", a.Status)
	}
	e := g.explain(t, "GET", "/limited", alice)
	if e.Status != 429 || e.Checks[2].Result != "deny" || !strings.Contains(e.Checks[2].Reason, "none left") {
		t.Errorf("%+v", e)
	}
	if a := get(t, g.URL+"/remote", "X-Other: x"); a.Status != 401 || fetches.Load() != 1 {
		t.Errorf("%d, %d fetches", a.Status, fetches.Load())
	}
	// The same request, served, does ask for a fetch.
	if a := send(t, "GET", g.URL+"/remote", "", "Authorization: "+stranger["Authorization"]); a.Status != 401 {
		t.Errorf("%d", a.Status)
	}
	await(t, "a fetch for the unknown key", func() bool { return fetches.Load() == 2 })
}

// gatewayMetrics is what /metrics tells of requests and decisions.
func gatewayMetrics(t testing.TB, g *running) string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(send(t, "GET", g.Admin+"/metrics", "").Body) {
		if strings.HasPrefix(line, "gateway_") && !strings.Contains(line, "_age_seconds") && !strings.Contains(line, "_secret_") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

func TestAdminExplainRefusesWhatIsNoRequest(t *testing.T) {
	t.Parallel()
	g := start(t, head+"routes: [{name: open, path: /*, auth: public, upstream: 'http://127.0.0.1:1'}]", nil)
	for body, want := range map[string]int{
		`{"url": "/", "ip": "nowhere"}`: 400, `{"url": "/", "ip": "2001:db8::1"}`: 200,
		`{"url": "nowhere"}`: 400, `{"url": "/", "headers": {"A B": "c"}}`: 400, `{"url": "/", "nap": 1}`: 400, `{}`: 400, `[]`: 400,
		`{"method": "POST", "url": "https://a.example.com/x?y", "headers": {"X-A": "b"}}`: 200,
	} {
		a := send(t, http.MethodPost, g.Admin+"/api/v1/explain", body, "Content-Type: application/json")
		if a.Status != want {
			t.Errorf("%s: %d %s", body, a.Status, a.Body)
		}
	}
}
