package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/auth"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/gateway"
	"github.com/sallyport/sallyport/internal/token"
)

const (
	explainHMAC   = "an HMAC key of 32 bytes or more, for tests alone"
	explainCanary = "canary-of-the-upstream"
	explainConfig = `
listen: 127.0.0.1:0
admin: {listen: ""}
secrets: {backend: env, env: {prefix: "EXPLAIN_"}}
telemetry: {access_log: ""}
issuers:
  corp:
    issuer: https://idp.example.com/
    audiences: [orders-api]
    keys: [{kid: "2026-01", algorithm: HS256, key: "${secret:jwt/key}"}]
api_keys: {partners: {keys: "${secret:partners}"}}
credentials:
  crm: {type: static, token: "${secret:crm/token}"}
  gone: {type: static, token: "${secret:no/where}", header: X-Key}
routes:
  - name: orders
    hosts: [orders.example.com]
    path: /orders/*
    methods: [GET]
    auth: {issuers: [corp], scopes: [orders:read], claims: {tenant: [acme, globex]}}
    rate_limit: [{rate: 100/s, burst: 200, key: ip}, {rate: 60/1h, key: subject}]
    inject: crm
    upstream: {urls: [UPSTREAM/base], strip_prefix: /orders}
  - {name: guarded, path: /guarded, auth: {issuers: [corp]}, rate_limit: {rate: 1/1h, key: ip}, upstream: UPSTREAM}
  - {name: own, path: "/tenants/{tenant}/*", auth: {issuers: [corp], allow: 'claims.tenant == params.tenant || has(claims.level) && claims.level > 3'}, upstream: UPSTREAM}
  - {name: scarce, path: /scarce, auth: {issuers: [corp]}, rate_limit: {rate: 1/1h, key: subject}, upstream: UPSTREAM}
  - {name: reports, path: /reports, auth: {issuers: [corp]}, inject: gone, upstream: UPSTREAM}
  - {name: partners, path: /partners, auth: {api_keys: [partners], scopes: [read]}, upstream: UPSTREAM}
  - {name: health, path: /healthz, auth: public, upstream: UPSTREAM}
`
)

// explainToken signs a token that does not expire while tests run.
func explainToken(t testing.TB, changes map[string]any) string {
	t.Helper()
	claims := map[string]any{
		"iss": "https://idp.example.com/", "aud": "orders-api", "sub": "ann", "exp": 4102444800, "scope": "orders:read", "tenant": "acme",
	}
	for name, value := range changes {
		claims[name] = value
	}
	s, err := token.NewSigner([]byte(explainHMAC), "HS256", "2026-01")
	if err != nil {
		t.Fatal(err)
	}
	signed, err := s.Sign(claims, "JWT")
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares got with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := "testdata/" + name
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if want := read(t, file); got != want {
		t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
	}
}

// TestExplainTranscript asks a gateway that serves about a request that passes,
// and one for each kind of refusal.
func TestExplainTranscript(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(upstream.Close)
	t.Setenv("EXPLAIN_JWT_KEY", explainHMAC)
	t.Setenv("EXPLAIN_CRM_TOKEN", explainCanary)
	partner, record, err := auth.NewAPIKey(auth.NewAPIKeyOptions{ID: "acme-1", Prefix: "sk_live_", Subject: "acme", Scopes: []string{"read"}})
	if err != nil {
		t.Fatal(err)
	}
	records, err := json.Marshal([]auth.APIKeyRecord{record})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("EXPLAIN_PARTNERS", string(records))
	cfg, err := config.Parse("gateway.yaml", []byte(strings.ReplaceAll(explainConfig, "UPSTREAM", upstream.URL)), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	g, err := gateway.Build(cfg, gateway.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	on, err := g.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	ctx, stop := context.WithCancel(context.Background())
	go func() { ended <- g.Run(ctx, on) }()
	t.Cleanup(func() { stop(); <-ended })
	good := explainToken(t, nil)
	for _, path := range []string{"/guarded", "/scarce"} {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+on.Clients.Addr().String()+path, nil)
		r.Header.Set("Authorization", "Bearer "+good)
		res, err := http.DefaultClient.Do(r)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatal(res, err)
		}
		_ = res.Body.Close()
	}
	var transcript strings.Builder
	for _, c := range []struct{ title, method, url, token string }{
		{"let through", "GET", "http://orders.example.com/orders/1", good},
		{"a public route", "GET", "http://api.example.com/healthz", ""},
		{"a path that two servers could read differently", "GET", "http://orders.example.com/orders/..%2f/admin", good},
		{"no route", "GET", "http://www.example.com/orders/1", good},
		{"no route of a host that has some", "GET", "http://orders.example.com/healthz", good},
		{"a method the route has not", "DELETE", "http://orders.example.com/orders/1", good},
		{"too often from one address", "GET", "http://api.example.com/guarded", good},
		{"no token", "GET", "http://orders.example.com/orders/1", ""},
		{"a signature that is wrong", "GET", "http://orders.example.com/orders/1", good[:len(good)-6] + "AAAAAA"},
		{"an expired token", "GET", "http://orders.example.com/orders/1", explainToken(t, map[string]any{"exp": 1, "iat": 0})},
		{"another audience", "GET", "http://orders.example.com/orders/1", explainToken(t, map[string]any{"aud": "billing"})},
		{"a scope that is missing", "GET", "http://orders.example.com/orders/1", explainToken(t, map[string]any{"scope": "orders:write"})},
		{"a claim that differs", "GET", "http://orders.example.com/orders/1", explainToken(t, map[string]any{"tenant": "initech"})},
		{"an allow that says no", "GET", "http://api.example.com/tenants/globex/1", good},
		{"an allow that cannot be evaluated", "GET", "http://api.example.com/tenants/globex/1", explainToken(t, map[string]any{"level": "high"})},
		{"an allow that says yes", "GET", "http://api.example.com/tenants/acme/1", good},
		{"too often by one subject", "GET", "http://api.example.com/scarce", good},
		{"an API key", "GET", "http://api.example.com/partners", partner},
		{"an API key that nobody has", "GET", "http://api.example.com/partners", "sk_live_guess"},
		{"a credential that is not to be had", "GET", "http://api.example.com/reports", good},
	} {
		q := gateway.Question{Method: c.method, URL: c.url, IP: netip.MustParseAddr("127.0.0.1")}
		if strings.HasPrefix(c.token, "sk_live_") {
			q.Headers = []gateway.Header{{Name: "X-API-Key", Value: c.token}}
		} else if c.token != "" {
			q.Headers = []gateway.Header{{Name: "Authorization", Value: "Bearer " + c.token}}
		}
		e, err := g.Explain(q)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&transcript, "# %s\n$ gateway explain -X %s %s\n", c.title, c.method, c.url)
		if err := printExplanation(&transcript, false, e); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&transcript)
	}
	got := strings.ReplaceAll(transcript.String(), upstream.URL, "http://legacy:8080")
	for _, varies := range []string{`exp was (\S+) ago`, `one in (\d+) s`} {
		for _, match := range regexp.MustCompile(varies).FindAllStringSubmatch(got, -1) {
			got = strings.ReplaceAll(got, match[0], strings.Replace(match[0], match[1], "…", 1))
		}
	}
	golden(t, "explain.txt", got)
	for name, secret := range map[string]string{"the caller's token": good[40:], "a credential": explainCanary, "an API key": partner, "its hash": record.Hash, "a key": explainHMAC} {
		if strings.Contains(got, secret) {
			t.Errorf("the transcript shows %s", name)
		}
	}
}

func TestExplainPrintsJSON(t *testing.T) {
	t.Setenv("EXPLAIN_JWT_KEY", explainHMAC)
	t.Setenv("EXPLAIN_CRM_TOKEN", explainCanary)
	file := write(t, "gateway.yaml", strings.ReplaceAll(explainConfig, "UPSTREAM", "http://legacy:8080"))
	status, out, errs := invoke(t, "explain", "-c", file, "-H", "Authorization: Bearer "+explainToken(t, nil), "--output", "json", "http://orders.example.com/orders/1")
	var got struct {
		Decision, Route string
		Status          int
		Checks          []struct{ Check, Result, Reason string }
		Inject          []string
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || status != exitOK {
		t.Fatalf("%d: %s %s: %v", status, out, errs, err)
	}
	if got.Decision != "allow" || got.Route != "orders" || got.Status != 200 || len(got.Checks) != 7 || strings.Join(got.Inject, "") != "crm" {
		t.Errorf("%+v", got)
	}
	if !strings.Contains(errs, "secret backend: env (") || strings.Contains(out+errs, explainCanary) {
		t.Errorf("stderr: %s", errs)
	}
}

// A decision to deny is an answer: the exit status is 0.
func TestExplainExitStatuses(t *testing.T) {
	t.Parallel()
	file := write(t, "gateway.yaml", validConfig)
	for name, c := range map[string]struct {
		args   []string
		status int
		out    string
		errs   string
	}{
		"allow":           {[]string{"/x"}, 0, "allow", ""},
		"deny":            {[]string{"/x/../y"}, 0, "deny 400", ""},
		"no URL":          {nil, 2, "", "an argument is missing; write gateway "},
		"not a URL":       {[]string{"localhost:8080/x"}, 2, "", "must be a path"},
		"header":          {[]string{"/x", "-H", "canary"}, 2, "", "-H must be"},
		"address":         {[]string{"/x", "--ip", "nowhere"}, 2, "", "--ip must be"},
		"output":          {[]string{"/x", "--output", "xml"}, 2, "", "--output must be"},
		"no such file":    {[]string{"/x", "-c", file + "x"}, 1, "", "--config FILE"},
		"another address": {[]string{"/x", "--ip", "2001:db8::7"}, 0, "from 2001:db8::7", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, out, errs := invoke(t, append([]string{"explain", "-c", file}, c.args...)...)
			if status != c.status || !strings.Contains(out, c.out) || !strings.Contains(errs, c.errs) || strings.Contains(errs, "canary") {
				t.Errorf("%d\n%s\n%s", status, out, errs)
			}
		})
	}
}

func TestExplainNeedsNoFileThatOnlyServingNeeds(t *testing.T) {
	t.Parallel()
	file := write(t, "gateway.yaml", `
listen: 127.0.0.1:0
admin: {listen: ""}
telemetry: {access_log: /no/such/folder/access.log}
tls: {cert_file: /no/such/file, key_file: /no/such/file}
routes:
  - {name: open, path: "/*", auth: public, upstream: {urls: ["https://legacy:8443"], tls: {ca_file: /no/such/file}}}
`)
	if status, out, errs := invoke(t, "explain", "-c", file, "/x"); status != exitOK || !strings.HasPrefix(out, "allow") {
		t.Errorf("%d: %s %s", status, out, errs)
	}
}
