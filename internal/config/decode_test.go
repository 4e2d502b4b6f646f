package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "30s": 30 * time.Second, "1h30m": 90 * time.Minute, "250ms": 250 * time.Millisecond, "1.5s": 1500 * time.Millisecond, "'5m'": 5 * time.Minute,
	} {
		if c := parse(t, "limits: {drain: "+text+"}"+route); c.Limits.Drain != want {
			t.Errorf("%s is %v, want %v", text, c.Limits.Drain, want)
		}
	}
	for _, text := range []string{"30", "-1s", "+5s", "1d", "5 s", "''", "1h30", "9999999999h", "NaNs"} {
		if err := mustFail(t, "limits: {drain: "+text+"}"+route); !strings.Contains(err, "expected a duration") {
			t.Errorf("%s: %s", text, err)
		}
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "4096": 4096, "64KiB": 64 << 10, "10MiB": 10 << 20, "1GiB": 1 << 30, "5KB": 5000, "2MB": 2_000_000, "1GB": 1_000_000_000, "12B": 12,
	} {
		if c := parse(t, "limits: {max_body: "+text+"}"+route); c.Limits.MaxBody != want {
			t.Errorf("%s is %d, want %d", text, c.Limits.MaxBody, want)
		}
	}
	for _, text := range []string{"-1", "1.5MiB", "10 MiB", "10mib", "MiB", "9999999999GiB", "0x10", "''"} {
		if err := mustFail(t, "limits: {max_body: "+text+"}"+route); !strings.Contains(err, "expected a size") {
			t.Errorf("%s: %s", text, err)
		}
	}
}

func TestRates(t *testing.T) {
	for text, want := range map[string]Rate{
		"100/s": {100, time.Second}, "6000/1m": {6000, time.Minute}, "5/10s": {5, 10 * time.Second}, "60/h": {60, time.Hour}, "1 / 250ms": {1, 250 * time.Millisecond},
	} {
		c := parse(t, route+"    rate_limit: {rate: "+text+"}\n")
		if got := c.Routes[0].RateLimit[0]; got.Rate != want || got.Burst != want.Count {
			t.Errorf("%s is %+v, want %v and a burst of its count", text, got, want)
		}
	}
	for _, text := range []string{"100", "/s", "100/", "-1/s", "1.5/s", "100/d", "100/s/s", "0/s", "1/0s", "99999999999/s", "''"} {
		if err := mustFail(t, route+"    rate_limit: {rate: "+text+"}\n"); !strings.Contains(err, "expected a rate") {
			t.Errorf("%s: %s", text, err)
		}
	}
}

// TestTextsStandAsWritten: YAML 1.1 would make other things of these (case
// admin-07: `no` and `0123` are not coerced).
func TestTextsStandAsWritten(t *testing.T) {
	for _, text := range []string{"2026", "no", "on", "0123", "1e3", "12:30:00", "2026-11-23", "0x1F", "1_000", "true", ".inf", "<<", "="} {
		c := parse(t, "issuers: {corp: {issuer: "+text+", audiences: a, keys: [{kid: "+text+", key: \"${secret:k}\"}]}}"+route)
		if got := c.Issuers["corp"]; got.Issuer != text || got.Keys[0].KID != text {
			t.Errorf("%s became %q and %q", text, got.Issuer, got.Keys[0].KID)
		}
	}
	for _, text := range []string{"yes", "no", "on", "True", "TRUE", "1", "y"} {
		if err := mustFail(t, "fast_lane: "+text+route); !strings.Contains(err, "expected true or false") {
			t.Errorf("%s: %s", text, err)
		}
	}
}

func TestNullIsLeftOut(t *testing.T) {
	for _, null := range []string{"", "~", "null", "NULL"} {
		c := parse(t, "listen: "+null+"\nlimits: "+null+"\ntls: "+null+"\nissuers: "+null+"\ntrusted_proxies: "+null+route)
		if c.Listen != ":8080" || c.Limits.MaxHeader != 32<<10 || c.TLS != nil || c.Issuers != nil || c.TrustedProxies != nil {
			t.Errorf("%q: %+v", null, c)
		}
	}
	if c := parse(t, `issuers: {corp: {issuer: "null", audiences: a, jwks_url: "https://a/"}}`+route); c.Issuers["corp"].Issuer != "null" {
		t.Error("a quoted null is a text")
	}
}

func TestLists(t *testing.T) {
	for text, want := range map[string]Strings{
		"[a, b]": {"a", "b"}, "a": {"a"}, "a, b ,,c,": {"a", "b", "c"}, `["a, b"]`: {"a, b"}, "[]": {}, "''": {}, "[a, ~, b]": {"a", "b"},
	} {
		c := parse(t, "issuers: {corp: {issuer: i, audiences: a, jwks_url: \"https://a/\", required_claims: "+quoteComma(text)+"}}"+route)
		if got := c.Issuers["corp"].RequiredClaims; !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %#v, want %#v", text, got, want)
		}
	}
}

// quoteComma keeps a text with commas one text in a flow mapping.
func quoteComma(text string) string {
	if strings.HasPrefix(text, "[") || strings.HasPrefix(text, "'") {
		return text
	}
	return "'" + text + "'"
}

func TestUnions(t *testing.T) {
	c := parse(t, `
issuers: {corp: {issuer: i, audiences: a, jwks_url: "https://a/"}}
credentials:
  x: {type: static, token: "${secret:x}", header: X-A}
  y: {type: static, token: "${secret:y}", header: X-B}
secrets: {backend: "file, env"}
routes:
  - {name: a, path: /a, auth: public, upstream: "http://a"}
  - name: b
    path: /b
    auth: {issuers: corp, claims: {tenant: acme, level: [1, 2]}}
    inject: [x, y]
    rate_limit: {rate: 1/s}
    upstream: {urls: "http://a, http://b"}
  - {name: c, path: /c, auth: {issuers: [corp]}, inject: x, rate_limit: [{rate: 1/s, key: ip}, {rate: 2/s, burst: 9}], upstream: "http://a"}
`)
	a, b, last := c.Routes[0], c.Routes[1], c.Routes[2]
	if !a.Auth.Public || a.Auth.Mode != "enforce" || !a.Auth.CloseAtExpiry || b.Auth.Public {
		t.Errorf("auth: %+v, %+v", a.Auth, b.Auth)
	}
	if !slices.Equal(a.Upstream.URLs, Strings{"http://a"}) || a.Upstream.Balance != "round_robin" || !slices.Equal(b.Upstream.URLs, Strings{"http://a", "http://b"}) {
		t.Errorf("upstreams: %+v, %+v", a.Upstream, b.Upstream)
	}
	if want := map[string]Strings{"tenant": {"acme"}, "level": {"1", "2"}}; !reflect.DeepEqual(b.Auth.Claims, want) {
		t.Errorf("claims: %v", b.Auth.Claims)
	}
	if !slices.Equal(b.Inject, Strings{"x", "y"}) || !slices.Equal(last.Inject, Strings{"x"}) || !slices.Equal(c.Secrets.Backend, Strings{"file", "env"}) {
		t.Errorf("lists: %v, %v, %v", b.Inject, last.Inject, c.Secrets.Backend)
	}
	second := time.Second
	if want := (RouteLimits{{Rate{1, second}, 1, "ip"}, {Rate{2, second}, 9, "subject"}}); !slices.Equal(last.RateLimit, want) || len(b.RateLimit) != 1 {
		t.Errorf("limits: %v, %v", last.RateLimit, b.RateLimit)
	}
}

func TestPublicRouteIsLimitedByAddress(t *testing.T) {
	if c := parse(t, route+"    rate_limit: {rate: 1/s}\n"); c.Routes[0].RateLimit[0].Key != "ip" {
		t.Errorf("key is %q", c.Routes[0].RateLimit[0].Key)
	}
}

func TestEmptyTextSwitchesOff(t *testing.T) {
	c := parse(t, "admin: {listen: ''}\ntelemetry: {access_log: \"\"}"+route)
	if c.Admin.Listen != "" || c.Telemetry.AccessLog != "" {
		t.Errorf("%q, %q", c.Admin.Listen, c.Telemetry.AccessLog)
	}
}

// TestOffValuesAskForNothing: what is not supported yet may be written, so long
// as it is off.
func TestOffValuesAskForNothing(t *testing.T) {
	c := parse(t, `
tls:
  cert_file: a
  key_file: b
  acme: {domains: [], email: "", directory: "", cache_dir: ""}
  hsts: 0s
  redirect_http: ""
limits: {auth_failures: ""}
secrets: {vault: {address: "${env:VAULT_ADDR:-}", auth: {}}, aws: {region: ""}}
api_keys: {}
keyrings: ~
crypto: {path: ""}
telemetry: {otlp: {endpoint: "", sample: 0.0}}
rate_limits: {redis: {}}
issuers: {corp: {issuer: i, audiences: a, jwks_url: "https://a/", discovery: false, introspection: {}}}
`+route+"    cors: {origins: [], credentials: false, max_age: 0s}\n    fields: {}\n")
	if c.Crypto != nil || c.Routes[0].Fields != nil {
		t.Errorf("%v, %v", c.Crypto, c.Routes[0].Fields)
	}
	if err := mustFail(t, "tls: {cert_file: a, key_file: b, acme: {domain: ''}}"+route); !strings.Contains(err, `unknown key "domain"`) {
		t.Errorf("an unknown key in an off block: %s", err)
	}
}

// TestOnlyOffValuesAreOff: a check that is taken for off would not be made.
func TestOnlyOffValuesAreOff(t *testing.T) {
	const routes = "issuers: {corp: {issuer: i, audiences: a, jwks_url: 'https://a/'}}\nroutes: [{name: a, path: /*, upstream: 'http://a', auth: {issuers: corp, %s}}]\n"
	for _, key := range []string{} {
		if err := mustFail(t, strings.ReplaceAll(routes, "%s", key), "FALSE=false"); !strings.Contains(err, "is not supported in this version") {
			t.Errorf("%s: %s", key, err)
		}
	}
	for _, text := range []string{
		"rate_limits: {redis: {lease: 1ms}}", "tls: {cert_file: a, key_file: b, redirect_http: 0}", "telemetry: {otlp: {endpoint: '127.0.0.1:4317'}}",
	} {
		if err := mustFail(t, text+route); !strings.Contains(err, "is not supported in this version") {
			t.Errorf("%s: %s", text, err)
		}
	}
}

func TestAliases(t *testing.T) {
	c := parse(t, `
issuers:
  a: &issuer {issuer: i, audiences: [x], jwks_url: "https://a/"}
  b: *issuer
routes:
  - {name: a, path: /a, auth: &auth {issuers: [a]}, upstream: &to "http://a"}
  - {name: b, path: /b, auth: *auth, upstream: *to}
`)
	if !reflect.DeepEqual(c.Issuers["a"], c.Issuers["b"]) || !reflect.DeepEqual(c.Routes[0].Auth, c.Routes[1].Auth) || c.Routes[1].Upstream.URLs[0] != "http://a" {
		t.Errorf("%+v", c)
	}
}

// TestOneForm: what requests are compared with is brought into one spelling.
func TestOneForm(t *testing.T) {
	c := parse(t, `
credentials: {x: {type: static, token: "${secret:x}", hosts: [LEGACY.:8080, other]}}
routes:
  - name: a
    hosts: [Orders.Example.COM., "*.Example.com", "[::1]"]
    path: /orders/*
    auth: public
    inject: x
    upstream: {urls: [http://Legacy:8080/base, "http://other"], strip_prefix: /orders/, add_prefix: /}
`)
	r := c.Routes[0]
	if !slices.Equal(r.Hosts, Strings{"orders.example.com", "*.example.com", "[::1]"}) || r.Upstream.StripPrefix != "/orders" || r.Upstream.AddPrefix != "" {
		t.Errorf("%+v", r)
	}
	if x := c.Credentials["x"]; !slices.Equal(x.Hosts, Strings{"legacy:8080", "other"}) || x.Header != "Authorization" || x.Prefix != nil {
		t.Errorf("%+v", x)
	}
}

// TestRoutesThatDiffer are no clash: the most specific one wins.
func TestRoutesThatDiffer(t *testing.T) {
	parse(t, `
routes:
  - {name: a, path: /orders, auth: public, upstream: "http://a"}
  - {name: b, path: /orders/*, auth: public, upstream: "http://a"}
  - {name: c, path: "/orders/{id}", auth: public, upstream: "http://a"}
  - {name: d, path: "/orders/{id:[0-9]{2}}", auth: public, upstream: "http://a"}
  - {name: e, path: "/orders/{id:[a-z]+}/x", methods: GET, auth: public, upstream: "http://a"}
  - {name: f, path: "/orders/{id:[a-z]+}/x", methods: [POST], auth: public, upstream: "http://a"}
  - {name: g, path: /orders, hosts: a.example.com, auth: public, upstream: "http://a"}
  - {name: h, path: /orders, hosts: "*.example.com", auth: public, upstream: "http://a"}
  - {name: i, path: /orders, methods: PROPFIND, auth: public, upstream: "http://a"}
  - {name: j, path: /orders/, auth: public, upstream: "http://a"}
  - {name: k, path: /a%2Fb, encoded_slash: keep, auth: public, upstream: "http://a"}
  - {name: l, path: /a/b, auth: public, upstream: "http://a"}
  - {name: m, path: /, auth: public, upstream: "http://a"}
`)
	for _, pair := range [][2]string{{"/a/{x}/*", "/a/{y}/*"}, {"/%61", "/a"}, {"/%c3%a9", "/é"}, {"/{a:[0-9]+}", "/{b:[0-9]+}"}, {"/*", "/*"}} {
		err := mustFail(t, "routes:\n"+
			"  - {name: a, path: \""+pair[0]+"\", auth: public, upstream: \"http://a\"}\n"+
			"  - {name: b, path: \""+pair[1]+"\", auth: public, upstream: \"http://a\"}\n")
		if !strings.Contains(err, "the routes on lines 2 and 3 both match GET") {
			t.Errorf("%v: %s", pair, err)
		}
	}
}

// TestFetchedURLsAreHTTPS but on this machine.
func TestFetchedURLsAreHTTPS(t *testing.T) {
	issuer := func(url, more string) string {
		return more + "issuers: {corp: {issuer: i, audiences: a, jwks_url: '" + url + "'}}" + route
	}
	for _, url := range []string{"https://idp.example.com", "http://localhost:8080/jwks", "http://127.0.0.1/jwks", "http://127.8.8.8:1/", "http://[::1]:8080/jwks", "https://idp.example.com/jwks?a=b"} {
		parse(t, issuer(url, ""))
	}
	for _, url := range []string{"http://idp.example.com/", "http://10.0.0.1/", "http://localhost.example.com/", "http://0.0.0.0/", "http://[::ffff:10.0.0.1]/"} {
		if err := mustFail(t, issuer(url, "")); !strings.Contains(err, "the URL must be https") {
			t.Errorf("%s: %s", url, err)
		}
		parse(t, issuer(url, "allow_insecure_http: true\n"))
	}
	for _, url := range []string{"", "https://", "//a/", "a", "file:///etc/passwd", "https://a b/", "https://a:b/", "https://a:0/", "https://a:/", "https:a", "https://%61/", `https://a\b/`, "https://[::1/"} {
		mustFail(t, issuer(url, "allow_insecure_http: true\n"))
	}
}
