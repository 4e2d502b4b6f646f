package gateway_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

const walkRoutes = head + `
trusted_proxies: []
credentials:
  up:     {type: static, token: "${secret:up}"}
  key:    {type: static, header: X-Legacy-Key, prefix: "", token: "${secret:up}"}
  login:  {type: basic, username: "${secret:login#user}", password: "${secret:login#password}"}
  query:  {type: static, query: api_key, token: "${secret:up}"}
  cookie: {type: static, cookie: session, token: "${secret:up}"}
  gone:   {type: static, token: "${secret:not/there}"}
routes:
  - {name: open, path: "/open/*", auth: public, upstream: "%[1]s"}
  - {name: up, path: "/up/*", auth: {issuers: [test]}, inject: up, forward: {X-User: sub, X-Tenant: tenant}, upstream: "%[1]s"}
  - {name: key, path: "/key/*", auth: {issuers: [test]}, inject: key, upstream: "%[1]s"}
  - {name: login, path: "/login/*", auth: {issuers: [test]}, inject: login, upstream: "%[1]s"}
  - {name: query, path: "/query/*", auth: {issuers: [test]}, inject: query, upstream: "%[1]s"}
  - {name: cookie, path: "/cookie/*", auth: {issuers: [test]}, inject: cookie, upstream: "%[1]s"}
  - {name: both, path: "/both/*", auth: {issuers: [test]}, inject: [up, key], upstream: "%[1]s"}
  - {name: gone, path: "/gone/*", auth: {issuers: [test]}, inject: gone, upstream: "%[1]s"}
  - {name: keep, path: "/keep/*", auth: {issuers: [test]}, keep_authorization: true, upstream: "%[1]s"}
  - {name: scoped, path: "/scoped/*", auth: {issuers: [test], scopes: ["orders:read", "orders:write"]}, upstream: "%[1]s"}
  - {name: claimed, path: "/claimed/*", auth: {issuers: [test], claims: {tenant: [acme, globex]}}, upstream: "%[1]s"}
  - {name: posts, path: "/posts", methods: [POST], auth: {issuers: [test]}, max_body: 10, upstream: "%[1]s"}
  - {name: slash, path: "/slash/*", encoded_slash: keep, auth: public, upstream: "%[1]s"}
  - name: edit
    path: /edit/*
    auth: public
    request_headers: {set: {X-Set: mine}, remove: [X-Remove]}
    response_headers: {set: {X-Answer: mine}, remove: [Content-Type]}
    upstream: {urls: ["%[1]s/base/"], strip_prefix: /edit, add_prefix: /v1, host: legacy.internal}
  - {name: preserve, path: "/preserve/*", auth: public, upstream: {urls: ["%[1]s"], host: preserve}}
`

func startWalk(t *testing.T) (*running, echo) {
	up := startEcho(t)
	g := start(t, fmt.Sprintf(walkRoutes, up.URL), environment{"UP": "upstream-key", "LOGIN_USER": "svc", "LOGIN_PASSWORD": "pa:ss"})
	return g, up
}

func TestCallerCredentialIsReplaced(t *testing.T) {
	t.Parallel()
	g, _ := startWalk(t)
	for path, want := range map[string]map[string]string{
		"/up/1":     {"Authorization": "Bearer upstream-key"},
		"/key/1":    {"X-Legacy-Key": "upstream-key", "Authorization": ""},
		"/login/1":  {"Authorization": "Basic c3ZjOnBhOnNz"},
		"/query/1":  {"Authorization": ""},
		"/cookie/1": {"Authorization": "", "Cookie": "a=1; session=upstream-key"},
		"/both/1":   {"Authorization": "Bearer upstream-key", "X-Legacy-Key": "upstream-key"},
		"/open/1":   {"Authorization": ""},
		"/keep/1":   {"Authorization": "Bearer " + mint(t, nil)[:20]},
	} {
		for name, sent := range map[string][]string{
			"plain":               nil,
			"named by Connection": {"Connection: Authorization, X-Legacy-Key"},
			"with twins":          {"X_Legacy_Key: mine", "x.legacy.key: mine", "X-Legacy-Key: mine"},
		} {
			got := get(t, g.URL+path, append(sent, "Cookie: a=1; session=mine")...).seen(t)
			for header, value := range want {
				if have := strings.Join(got.Header[header], " | "); !strings.HasPrefix(have, value) || value == "" && have != "" {
					t.Errorf("%s, %s: upstream saw %s: %q, want %q", path, name, header, have, value)
				}
			}
			for header := range got.Header {
				if strings.Contains(strings.Join(got.Header[header], ""), "mine") && header != "Cookie" && path != "/open/1" {
					if want[header] == "" && strings.HasPrefix(strings.ToLower(header), "x") && path != "/key/1" && path != "/both/1" {
						continue // no secret of the gateway's on this route
					}
					t.Errorf("%s, %s: upstream saw the caller's %s", path, name, header)
				}
			}
		}
	}
	if got := get(t, g.URL+"/query/1?a=1&api_key=mine&api%5Fkey=mine").seen(t); got.Query != "a=1&api_key=upstream-key" {
		t.Errorf("query is %s", got.Query)
	}
}

func TestIdentityHeadersComeFromTheToken(t *testing.T) {
	t.Parallel()
	g, _ := startWalk(t)
	got := get(t, g.URL+"/up/1", "X-User: root", "X_User: root", "x.tenant: root", "X-Forwarded-For: 6.6.6.6", "X-Real-IP: 6.6.6.6", "X-Request-Id: mine").seen(t)
	for header, want := range map[string]string{
		"X-User": "alice", "X-Tenant": "", "X_user": "", "X.tenant": "", "X-Forwarded-For": "127.0.0.1", "X-Real-Ip": "",
		"X-Forwarded-Proto": "http", "X-Forwarded-Host": strings.TrimPrefix(g.URL, "http://"),
	} {
		if have := strings.Join(got.Header[header], " | "); have != want {
			t.Errorf("upstream saw %s: %q, want %q", header, have, want)
		}
	}
	if id := got.Header.Get("X-Request-Id"); len(id) != 32 {
		t.Errorf("request id is %q", id)
	}
	if parent := got.Header.Get("Traceparent"); len(parent) != 55 {
		t.Errorf("traceparent is %q", parent)
	}
	tenant := send(t, "GET", g.URL+"/up/1", "", bearer(mint(t, map[string]any{"tenant": []string{"acme", "globex"}}))).seen(t)
	if tenant.Header.Get("X-Tenant") != "acme,globex" {
		t.Errorf("tenants are %q", tenant.Header["X-Tenant"])
	}
}

// A claim with a line break must not become a header of its own (headers-14).
func TestClaimWithControlCharactersIsRefused(t *testing.T) {
	t.Parallel()
	g, _ := startWalk(t)
	for claim, status := range map[string]int{"sub": 401, "tenant": 403} {
		got := send(t, "GET", g.URL+"/up/1", "", bearer(mint(t, map[string]any{claim: "a\r\nX-Role: admin"})))
		if got.Status != status {
			t.Errorf("%s with a line break: %d, want %d", claim, got.Status, status)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	g, _ := startWalk(t)
	good := bearer(mint(t, nil))
	for name, c := range map[string]struct {
		method, path, body string
		headers            []string
		status             int
		header             map[string]string
	}{
		"no route":       {path: "/", status: 404},
		"wrong method":   {path: "/posts", headers: []string{good}, status: 405, header: map[string]string{"Allow": "POST"}},
		"unknown method": {method: "BREW", path: "/up/1", status: 405, header: map[string]string{"Allow": "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"}},
		"no token":       {path: "/up/1", status: 401, header: map[string]string{"Www-Authenticate": `Bearer realm="gateway"`}},
		"another scheme": {path: "/up/1", headers: []string{"Authorization: Basic YTpi"}, status: 401},
		"tampered token": {path: "/up/1", headers: []string{good + "x"}, status: 401, header: map[string]string{
			"Www-Authenticate": `Bearer realm="gateway", error="invalid_token", error_description="the credential is not valid here"`}},
		"two tokens":                   {path: "/up/1", headers: []string{good, good}, status: 400},
		"two tokens on a public route": {path: "/open/1", headers: []string{good, good}, status: 400},
		"missing scope": {path: "/scoped/1", headers: []string{good}, status: 403, header: map[string]string{
			"Www-Authenticate": `Bearer realm="gateway", error="insufficient_scope", scope="orders:write"`}},
		"missing claim":       {path: "/claimed/1", headers: []string{good}, status: 403},
		"missing credential":  {path: "/gone/1", headers: []string{good}, status: 503, header: map[string]string{"Retry-After": "5"}},
		"large body":          {method: "POST", path: "/posts", body: "12345678901", headers: []string{good}, status: 413},
		"dot segment":         {path: "/open/%2e%2e/up/1", status: 400},
		"encoded slash":       {path: "/open/a%2Fb", status: 400},
		"dots behind a slash": {path: "/slash/a%2F..%2Fb", status: 400},
	} {
		if c.method == "" {
			c.method = "GET"
		}
		got := send(t, c.method, g.URL+c.path, c.body, c.headers...)
		if got.Status != c.status {
			t.Errorf("%s: %d, want %d: %s", name, got.Status, c.status, got.Body)
			continue
		}
		for header, want := range c.header {
			if have := got.Header.Get(header); have != want {
				t.Errorf("%s: %s is %q, want %q", name, header, have, want)
			}
		}
		p := got.problem(t)
		if p["status"] != float64(c.status) || p["title"] != http.StatusText(c.status) || p["request_id"] == "" || !strings.HasPrefix(p["type"].(string), "urn:sallyport:problem:") {
			t.Errorf("%s: problem is %v", name, p)
		}
	}
}

// The same bytes for the caller, whatever was wrong with the token (CONTRACT 4).
func TestRefusedTokensCannotBeToldApart(t *testing.T) {
	t.Parallel()
	g, _ := startWalk(t)
	good := mint(t, nil)
	bodies := make(map[string]string)
	for name, token := range map[string]string{
		"signature": good[:len(good)-2] + "zz",
		"issuer":    mint(t, map[string]any{"iss": "https://else.test"}),
		"expired":   mint(t, map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}),
		"audience":  mint(t, map[string]any{"aud": "else"}),
		"no token":  "garbage",
	} {
		got := send(t, "GET", g.URL+"/up/1", "", bearer(token))
		p := got.problem(t)
		id := p["request_id"].(string)
		bodies[fmt.Sprint(got.Status, got.Header["Www-Authenticate"], strings.ReplaceAll(got.Body, id, ""))] = name
	}
	if len(bodies) != 1 {
		t.Errorf("%d different answers: %v", len(bodies), bodies)
	}
}

func TestTargetAndHeadersGoUpAsConfigured(t *testing.T) {
	t.Parallel()
	g, up := startWalk(t)
	for path, want := range map[string]received{
		"/open/a//b/%63?x=%zz;y&z": {Path: "/open/a/b/c", Query: "x=%zz;y&z", Host: strings.TrimPrefix(up.URL, "http://")},
		"/edit/a%20b":              {Path: "/base/v1/a%20b", Host: "legacy.internal"},
		"/edit":                    {Path: "/base/v1", Host: "legacy.internal"},
		"/slash/a%2fb":             {Path: "/slash/a%2Fb", Host: strings.TrimPrefix(up.URL, "http://")},
		"/preserve/x":              {Path: "/preserve/x", Host: strings.TrimPrefix(g.URL, "http://")},
	} {
		got := send(t, "GET", g.URL+path, "", "X-Remove: x", "X_Remove: x", "X-Set: theirs", "X-HTTP-Method-Override: DELETE", "X-Original-URL: /up")
		seen := got.seen(t)
		if seen.Path != want.Path || seen.Query != want.Query || seen.Host != want.Host {
			t.Errorf("%s: upstream saw %s?%s of %s, want %s?%s of %s", path, seen.Path, seen.Query, seen.Host, want.Path, want.Query, want.Host)
		}
		if seen.Header.Get("X-Http-Method-Override") != "" || seen.Header.Get("X-Original-Url") != "" {
			t.Errorf("%s: a twin of method or URL went up: %v", path, seen.Header)
		}
		if strings.HasPrefix(path, "/edit") {
			if seen.Header.Get("X-Set") != "mine" || seen.Header.Get("X-Remove") != "" || len(seen.Header["X_remove"]) > 0 {
				t.Errorf("%s: request headers are %v", path, seen.Header)
			}
			if got.Header.Get("X-Answer") != "mine" || got.Header.Get("Content-Type") == "text/plain; charset=utf-8" {
				t.Errorf("%s: response headers are %v", path, got.Header)
			}
		}
	}
}

func TestTrustedProxyIsBelieved(t *testing.T) {
	t.Parallel()
	up := startEcho(t)
	g := start(t, head+fmt.Sprintf(`
trusted_proxies: [127.0.0.1]
routes:
  - {name: open, path: "/*", auth: public, rate_limit: {rate: 1/1m, key: ip}, upstream: "%s"}
`, up.URL), nil)
	got := send(t, "GET", g.URL+"/", "", "X-Forwarded-For: 6.6.6.6, 1.2.3.4", "X-Forwarded-Proto: https", "X-Forwarded-Host: shop.test", "X-Request-Id: from-the-proxy", "X_Forwarded_Host: twin").seen(t)
	for header, want := range map[string]string{
		"X-Forwarded-For": "6.6.6.6, 1.2.3.4, 127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop.test", "X-Request-Id": "from-the-proxy", "X_forwarded_host": "",
	} {
		if have := strings.Join(got.Header[header], " | "); have != want {
			t.Errorf("upstream saw %s: %q, want %q", header, have, want)
		}
	}
	if again := send(t, "GET", g.URL+"/", "", "X-Forwarded-For: 1.2.3.4"); again.Status != 429 {
		t.Errorf("the same client again: %d, want 429", again.Status)
	}
	if other := send(t, "GET", g.URL+"/", "", "X-Forwarded-For: 1.2.3.5"); other.Status != 200 {
		t.Errorf("another client: %d, want 200", other.Status)
	}
}

func TestRateLimits(t *testing.T) {
	t.Parallel()
	up := startEcho(t)
	g := start(t, head+fmt.Sprintf(`
routes:
  - {name: subject, path: "/subject", auth: {issuers: [test]}, rate_limit: {rate: 2/1m}, upstream: "%[1]s"}
  - {name: other, path: "/other", auth: {issuers: [test]}, rate_limit: {rate: 2/1m}, upstream: "%[1]s"}
  - {name: ip, path: "/ip", auth: {issuers: [test]}, rate_limit: {rate: 2/1m, key: ip}, upstream: "%[1]s"}
  - {name: claim, path: "/claim", auth: {issuers: [test]}, rate_limit: {rate: 6000/1m, burst: 1, key: "claim:tenant"}, upstream: "%[1]s"}
  - {name: header, path: "/header", auth: public, rate_limit: [{rate: 1/1m, key: "header:X-Tenant"}, {rate: 100/s, key: route}], upstream: "%[1]s"}
`, up.URL), nil)
	try := func(path, token string, headers ...string) answer {
		if token != "" {
			headers = append(headers, bearer(token))
		}
		return send(t, "GET", g.URL+path, "", headers...)
	}
	alice, bob := mint(t, nil), mint(t, map[string]any{"sub": "bob"})
	acme, globex := mint(t, map[string]any{"tenant": "acme"}), mint(t, map[string]any{"tenant": "globex", "sub": "bob"})
	for i, c := range []struct {
		got  answer
		want int
	}{
		{try("/subject", alice), 200}, {try("/subject", alice), 200}, {try("/subject", alice), 429},
		{try("/subject", bob), 200}, {try("/other", alice), 200},
		{try("/ip", ""), 401}, {try("/ip", ""), 401}, {try("/ip", alice), 429}, // guessing costs the guesser
		{try("/claim", acme), 200}, {try("/claim", globex), 200},
		{try("/header", "", "X-Tenant: a"), 200}, {try("/header", "", "X-Tenant: a"), 429}, {try("/header", "", "X-Tenant: b"), 200},
		{try("/header", ""), 200}, {try("/header", ""), 429}, // without the header the address counts
	} {
		if c.got.Status != c.want {
			t.Errorf("call %d: %d, want %d", i, c.got.Status, c.want)
		}
	}
	last := try("/subject", alice)
	if p := last.Header.Get("Ratelimit-Policy"); p != `"subject";q=2;w=60` {
		t.Errorf("RateLimit-Policy is %s", p)
	}
	if r := last.Header.Get("Ratelimit"); !strings.HasPrefix(r, `"subject";r=0;t=`) {
		t.Errorf("RateLimit is %s", r)
	}
	if after := last.Header.Get("Retry-After"); after == "" || after == "0" {
		t.Errorf("Retry-After is %q", after)
	}
	if allowed := try("/other", alice); allowed.Header.Get("Ratelimit") == "" || allowed.Header.Get("Ratelimit-Policy") == "" {
		t.Errorf("an allowed answer tells no limit: %v", allowed.Header)
	}
	if got := scrape(t, g, `gateway_rate_limited_total{key="subject",route="subject"}`); got != "2" {
		t.Errorf("rate limited: %s", got)
	}
}

// scrape returns the value of one series, or an empty text.
func scrape(t testing.TB, g *running, series string) string {
	t.Helper()
	for line := range strings.Lines(send(t, "GET", g.Admin+"/metrics", "").Body) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func TestEveryRequestIsLoggedAndCountedOnce(t *testing.T) {
	t.Parallel()
	g, _ := startWalk(t)
	get(t, g.URL+"/up/1?token=hidden")
	send(t, "GET", g.URL+"/up/2", "")
	send(t, "BREW", g.URL+`/nowhere/%0d%0a{"level":"info"}`, "")
	var lines []map[string]any
	await(t, "three access lines", func() bool {
		lines = nil
		for line := range strings.Lines(g.Access.String()) {
			var l map[string]any
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				t.Fatalf("line %q: %v", line, err)
			}
			lines = append(lines, l)
		}
		return len(lines) == 3
	})
	for i, want := range []map[string]any{
		{"route": "up", "method": "GET", "path": "/up/1", "status": 200.0, "subject": "alice", "issuer": "test", "decision": "allow", "ip": "127.0.0.1"},
		{"route": "up", "path": "/up/2", "status": 401.0, "decision": "deny", "reason": "no_token"},
		{"route": "(none)", "method": "BREW", "status": 400.0, "decision": "deny", "reason": "path"},
	} {
		for key, value := range want {
			if lines[i][key] != value {
				t.Errorf("line %d: %s is %v, want %v", i, key, lines[i][key], value)
			}
		}
		for _, key := range []string{"time", "request_id", "duration_ms", "bytes"} {
			if lines[i][key] == nil {
				t.Errorf("line %d has no %s", i, key)
			}
		}
	}
	for series, want := range map[string]string{
		`gateway_requests_total{code="200",method="GET",route="up"}`:               "1",
		`gateway_requests_total{code="401",method="GET",route="up"}`:               "1",
		`gateway_requests_total{code="400",method="other",route="(none)"}`:         "1",
		`gateway_auth_decisions_total{reason="no_token",result="deny",route="up"}`: "1",
		`gateway_in_flight_requests`:                                               "0",
		`gateway_request_duration_seconds_count{route="up"}`:                       "2",
		`gateway_upstream_duration_seconds_count{route="up"}`:                      "1",
	} {
		if got := scrape(t, g, series); got != want {
			t.Errorf("%s is %q, want %s", series, got, want)
		}
	}
	if strings.Contains(g.Access.String(), "hidden") || strings.Contains(g.Log.String(), "hidden") {
		t.Error("a query was logged")
	}
}

// Credentials in transit (THREATS, information disclosure): canaries in every
// slot, everything made to fail, all outputs searched.
func TestNoSecretLeavesByAnotherDoor(t *testing.T) {
	t.Parallel()
	g, up := startWalk(t)
	caller := mint(t, map[string]any{"tenant": "acme"})
	var out strings.Builder
	for _, path := range []string{"/up/1", "/key/1", "/login/1", "/query/1", "/cookie/1", "/both/1", "/gone/1", "/scoped/1", "/claimed/1", "/nowhere"} {
		a := send(t, "GET", g.URL+path, "", bearer(caller), "Cookie: session=cookie-canary")
		if a.Status != 200 { // an echo shows what went up, as it should
			fmt.Fprintln(&out, a.Header, a.Body)
		}
	}
	up.Close()
	for _, path := range []string{"/up/1", "/key/1", "/login/1", "/query/1", "/cookie/1"} {
		a := send(t, "GET", g.URL+path, "", bearer(caller), "Cookie: session=cookie-canary")
		if a.Status != 502 {
			t.Errorf("%s: %d, want 502", path, a.Status)
		}
		fmt.Fprintln(&out, a.Header, a.Body)
	}
	for _, path := range []string{"/metrics", "/readyz?verbose", "/livez"} {
		fmt.Fprintln(&out, send(t, "GET", g.Admin+path, "").Body)
	}
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(&out, g.Log.String(), g.Access.String())
	for _, canary := range []string{"upstream-key", "dXBzdHJlYW0ta2V5", "pa:ss", "c3ZjOnBhOnNz", hmacKey, caller, strings.Split(caller, ".")[2], "cookie-canary"} {
		if strings.Contains(out.String(), canary) {
			t.Errorf("%q got out:\n%s", canary, out.String())
		}
	}
}
