package gateway_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/gateway"
)

// tryCases runs cases against a configuration with the secrets of env alone.
func tryCases(t testing.TB, text, cases string, env environment) gateway.TestReport {
	t.Helper()
	c, err := config.ParseCases("cases.yaml", []byte(cases), config.Options{LookupEnv: env.lookup})
	if err != nil {
		t.Fatalf("cases refused:\n%v", err)
	}
	report, err := gateway.TestCases(t.Context(), parse(t, text, env), c, gateway.Options{Log: slog.New(slog.DiscardHandler), LookupEnv: env.lookup})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// wantCases tells of each case that differs.
func wantCases(t testing.TB, report gateway.TestReport) {
	t.Helper()
	for _, c := range report.Cases {
		if !c.OK {
			t.Errorf("%s: %+v %s\n%+v", c.Name, c.Differences, c.Error, c.Explanation.Checks)
		}
	}
}

// casesConfig asks for keys and secrets that are nowhere.
const casesConfig = `
listen: 127.0.0.1:0
secrets: {backend: vault, vault: {address: "https://vault.invalid"}}
tls: {cert_file: /no/such/file, key_file: /no/such/file}
telemetry: {access_log: /no/such/folder/access.log}
issuers:
  corp: {issuer: "https://idp.invalid/", audiences: [orders-api, "*"], jwks_url: "JWKS", leeway: 30s}
  strict: {issuer: strict, audiences: [a], jwks_url: "JWKS", token_types: [at+jwt], required_claims: [sub, jti], max_lifetime: 10m, scope_claims: [scp]}
credentials:
  crm: {type: oauth2, token_url: "https://auth.invalid/token", client_id: a, client_secret: "${secret:crm}"}
routes:
  - name: orders
    hosts: [orders.example.com]
    path: /orders/{tenant}/*
    methods: [GET]
    auth: {issuers: [corp], scopes: [orders:read], claims: {tenant: [acme, globex]}, allow: 'claims.tenant == params.tenant && request.method == "GET"'}
    inject: crm
    rate_limit: [{rate: 1/1h, key: ip}, {rate: 1/1h}]
    upstream: https://legacy.invalid
  - {name: strict, path: /strict, auth: {issuers: [strict], scopes: [x]}, upstream: "https://legacy.invalid"}
  - {name: watched, path: /watched, auth: {issuers: [corp], scopes: [x], mode: observe}, inject: crm, upstream: "https://legacy.invalid"}
  - {name: health, path: /healthz, auth: public, upstream: "https://legacy.invalid"}
`

// Neither network nor secrets are needed for tokens that are minted: throw-away
// keys stand in for the issuers'.
func TestCasesNeedNeitherNetworkNorSecrets(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	idp := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(idp.Close)
	report := tryCases(t, strings.ReplaceAll(casesConfig, "JWKS", idp.URL), `
cases:
  - name: a reader of his own tenant
    request: {url: "https://orders.example.com/orders/acme/1"}
    token: {issuer: corp, subject: ann, scopes: [orders:read], claims: {tenant: acme}}
    expect: {decision: allow, status: 200, route: orders, inject: crm}
  - name: twice, since each case finds its bucket full
    request: {url: "https://orders.example.com/orders/acme/1"}
    token: {issuer: corp, subject: ann, scopes: [orders:read], claims: {tenant: acme}}
    expect: {decision: allow, route: orders}
  - name: of another tenant
    request: {url: "https://orders.example.com/orders/globex/1"}
    token: {issuer: corp, scopes: [orders:read], claims: {tenant: acme}}
    expect: {decision: deny, status: 403, check: authorise, inject: []}
  - name: a tenant not known
    request: {url: "https://orders.example.com/orders/evil/1"}
    token: {issuer: corp, scopes: [orders:read], claims: {tenant: evil}}
    expect: {decision: deny, status: 403, check: authorisation}
  - name: HEAD is not GET to this rule
    request: {method: HEAD, url: "https://orders.example.com/orders/acme/1"}
    token: {issuer: corp, scopes: [orders:read], claims: {tenant: acme}}
    expect: {decision: deny, check: authorise}
  - name: without the scope
    request: {url: "https://orders.example.com/orders/acme/1"}
    token: {issuer: corp, scopes: [orders:write], claims: {tenant: acme}}
    expect: {decision: deny, status: 403, check: authorise}
  - name: nobody
    request: {url: "https://orders.example.com/orders/acme/1"}
    expect: {decision: deny, status: 401, check: authenticate, route: orders}
  - name: a method that is not there
    request: {method: DELETE, url: "https://orders.example.com/orders/acme/1"}
    expect: {decision: deny, status: 405, check: route, route: ""}
  - name: no route
    request: {url: "https://orders.example.com/nothing"}
    expect: {decision: deny, status: 404, check: route, route: ""}
  - name: a dot segment
    request: {url: "https://orders.example.com/orders/acme/%2e%2e/globex/1"}
    expect: {decision: deny, status: 400, check: normalise}
  - name: public
    request: {url: /healthz}
    expect: {decision: allow, route: health, inject: []}
  - name: expired
    request: {url: "https://orders.example.com/orders/acme/1"}
    token: {issuer: corp, scopes: [orders:read], claims: {tenant: acme}, expires_in: -1m}
    expect: {decision: deny, status: 401, check: authenticate}
  - name: expired, within the leeway
    request: {url: "https://orders.example.com/orders/acme/1"}
    token: {issuer: corp, scopes: [orders:read], claims: {tenant: acme}, expires_in: -20s}
    at: 2026-11-23T12:00:00Z
    expect: {decision: allow}
  - name: long ago, when the token was good
    request: {url: "https://orders.example.com/orders/acme/1"}
    token: {issuer: corp, scopes: [orders:read], claims: {tenant: acme}}
    at: 2001-01-01T00:00:00Z
    expect: {decision: allow}
  - name: not yet valid
    request: {url: "https://orders.example.com/orders/acme/1"}
    token: {issuer: corp, scopes: [orders:read], claims: {tenant: acme, nbf: 2000000000}}
    at: 2001-01-01T00:00:00Z
    expect: {decision: deny, status: 401}
  - name: without sub
    request: {url: "https://orders.example.com/orders/acme/1"}
    token: {issuer: corp, scopes: [orders:read], claims: {tenant: acme, sub: null}}
    expect: {decision: deny, status: 401, check: authenticate}
  - name: strict, and all that is asked is there
    request: {url: /strict}
    token: {issuer: strict, scopes: [x], claims: {jti: "1"}}
    expect: {decision: allow}
  - name: strict, without jti
    request: {url: /strict}
    token: {issuer: strict, scopes: [x]}
    expect: {decision: deny, status: 401}
  - name: strict, too long a life
    request: {url: /strict}
    token: {issuer: strict, scopes: [x], claims: {jti: "1"}, expires_in: 11m}
    expect: {decision: deny, status: 401}
  - name: strict, for another audience
    request: {url: /strict}
    token: {issuer: strict, scopes: [x], claims: {jti: "1"}, audience: [b]}
    expect: {decision: deny, status: 401}
  - name: a token of an issuer that the route does not trust
    request: {url: /strict}
    token: {issuer: corp, scopes: [x], claims: {jti: "1"}}
    expect: {decision: deny, status: 401}
  - name: watched, and let through although the scope is missing
    request: {url: /watched}
    token: {issuer: corp}
    expect: {decision: allow, inject: crm}
  - name: watched, and has the scope
    request: {url: /watched}
    token: {issuer: corp, scopes: [x]}
    expect: {decision: allow, inject: crm}
  - name: strict, without the scope
    request: {url: /strict}
    token: {issuer: strict, claims: {jti: "1"}}
    expect: {decision: deny, status: 403, check: authorise}
  - name: watched, and nobody has no credential
    request: {url: /watched}
    expect: {decision: allow, inject: []}
  - name: no token at all
    request: {url: /strict}
    raw: garbage
    expect: {decision: deny, status: 401, check: authenticate}
`, environment{})
	wantCases(t, report)
	if len(report.Cases) != 26 || asked.Load() != 0 {
		t.Errorf("%d cases, and the issuer was asked %d times", len(report.Cases), asked.Load())
	}
	missing := ""
	for _, c := range report.Coverage {
		if c.Cases == 0 {
			missing += c.Route + " " + c.Check + " " + c.Result + "; "
		}
	}
	if missing != "" {
		t.Errorf("not covered: %s", missing)
	}
}

// What differs is told field by field.
func TestCasesThatDiffer(t *testing.T) {
	t.Parallel()
	report := tryCases(t, strings.ReplaceAll(casesConfig, "JWKS", "https://idp.invalid/jwks"), `
cases:
  - request: {url: /healthz}
    expect: {decision: deny, status: 403, route: strict, check: authorise, inject: crm}
  - request: {url: /strict}
    expect: {decision: deny, check: rate_limit, route: ""}
  - request: {url: "ftp://nowhere"}
    expect: {decision: allow}
  - request: {url: /strict, ip: nowhere}
    expect: {decision: allow}
`, environment{})
	for i, want := range []string{
		"[{decision deny allow} {status 403 200} {route strict health} {check authorise none} {inject crm none}]",
		"[{route none strict} {check rate_limit authenticate}]",
		"[] cannot be asked: the URL must be",
		"[] ip \"nowhere\" is no address",
	} {
		if c := report.Cases[i]; c.OK || !strings.HasPrefix(fmt.Sprintf("%v %s", c.Differences, c.Error), want) {
			t.Errorf("%s: %v %s; want %s", c.Name, c.Differences, c.Error, want)
		}
	}
	if report.Failed() != 4 || report.Cases[3].Line != 9 {
		t.Errorf("%d failed, the last on line %d", report.Failed(), report.Cases[3].Line)
	}
	untried := 0
	for _, c := range report.Coverage {
		if c.Cases == 0 {
			untried++
		}
	}
	if untried < 8 {
		t.Errorf("%+v", report.Coverage)
	}
}

// A throw-away key is of an algorithm that its issuer accepts, whichever.
func TestThrowAwayKeysFitTheIssuer(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"HS256", "HS384", "HS512", "RS256", "PS512", "ES256", "ES384", "ES512", "EdDSA"} {
		source := "jwks_url: \"https://idp.invalid/jwks\""
		if strings.HasPrefix(alg, "HS") {
			source = "keys: [{kid: k, algorithm: " + alg + ", key: \"${secret:jwt/key}\"}]"
		}
		report := tryCases(t, `
issuers: {one: {issuer: one, audiences: ["*"], algorithms: [`+alg+`], `+source+`}}
routes: [{name: all, path: /*, auth: {issuers: [one]}, upstream: "http://legacy"}]`, `
cases:
  - {name: `+alg+`, request: {url: /x}, token: {issuer: one}, expect: {decision: allow}}
`, environment{})
		wantCases(t, report)
	}
}

// A raw token is judged by its issuer's own keys, as far as they are to be had.
func TestRawTokensAreJudgedByTheIssuersOwnKeys(t *testing.T) {
	t.Parallel()
	text := head + `
  gone: {issuer: "https://gone.test", audiences: [a], keys: [{key: "${secret:no/where}"}]}
routes:
  - {name: orders, path: /orders, auth: {issuers: [test], scopes: [orders:read]}, upstream: "http://legacy"}
  - {name: gone, path: /gone, auth: {issuers: [gone]}, upstream: "http://legacy"}
`
	good := mint(t, map[string]any{"exp": 2_000_000_000})
	report := tryCases(t, text, `
cases:
  - {name: good, request: {url: /orders}, raw: "`+good+`", at: 2033-05-18T03:00:00Z, expect: {decision: allow}}
  - {name: later, request: {url: /orders}, raw: "`+good+`", at: 2033-05-18T04:00:00Z, expect: {decision: deny, status: 401, check: authenticate}}
  - {name: changed, request: {url: /orders}, raw: "`+good[:len(good)-5]+`AAAAA", expect: {decision: deny, status: 401}}
  - {name: keys not to be had, request: {url: /gone}, raw: "`+mint(t, map[string]any{"iss": "https://gone.test"})+`", expect: {decision: deny, status: 401}}
  - {name: minted all the same, request: {url: /orders}, token: {issuer: test, scopes: [orders:read]}, expect: {decision: allow}}
`, environment{"JWT_KEY": hmacKey})
	wantCases(t, report)
	if note := report.Cases[3].Note; !strings.Contains(note, "the keys of issuer gone are not to be had") || report.Cases[0].Note != "" {
		t.Errorf("notes %q and %q", report.Cases[0].Note, note)
	}
}

// A token stands where its issuer's tokens may, and a minted one stands in for
// an opaque one.
func TestCasesPresentTokensWhereTheyMayStand(t *testing.T) {
	t.Parallel()
	wantCases(t, tryCases(t, `
issuers:
  page: {issuer: page, audiences: [a], jwks_url: "https://idp.invalid/jwks", from: ["cookie:session"]}
  link: {issuer: link, audiences: [a], jwks_url: "https://idp.invalid/jwks", from: ["query:access_token", header]}
  opaque: {audiences: ["*"], introspection: {url: "https://idp.invalid/introspect", client_id: a, client_secret: "${secret:x}"}}
routes:
  - {name: page, path: /page, auth: {issuers: [page]}, upstream: "http://legacy"}
  - {name: link, path: /link, auth: {issuers: [link]}, upstream: "http://legacy"}
  - {name: opaque, path: /opaque, auth: {issuers: [opaque], scopes: [read]}, upstream: "http://legacy"}
`, `
cases:
  - {name: cookie, request: {url: /page}, token: {issuer: page}, expect: {decision: allow}}
  - {name: cookie from another site, request: {method: POST, url: "http://a.example.com/page", headers: {Origin: "https://evil.example.com"}}, token: {issuer: page}, expect: {decision: deny, status: 403}}
  - {name: query, request: {url: "/link?a=b#c"}, token: {issuer: link}, expect: {decision: allow, route: link}}
  - {name: a raw one, request: {url: /link}, raw: garbage, expect: {decision: deny, status: 401}}
  - {name: opaque, request: {url: /opaque}, token: {issuer: opaque, scopes: [read]}, expect: {decision: allow, route: opaque}}
  - {name: opaque without the scope, request: {url: /opaque}, token: {issuer: opaque}, expect: {decision: deny, status: 403}}
`, environment{}))
}

const keysConfig = `
api_keys:
  partners: {keys: "${secret:partners}"}
  others: {header: X-Other, keys: "${secret:others}"}
routes:
  - {name: all, path: /*, auth: {api_keys: [partners, others], scopes: [read], claims: {tenant: [acme]}}, rate_limit: {rate: 1/s}, upstream: "http://legacy"}
`

// A throw-away key stands in for that of a record, which says what it may do.
func TestCasesWithAPIKeys(t *testing.T) {
	t.Parallel()
	report := tryCases(t, "secrets: {backend: env}"+keysConfig, `
cases:
  - {name: may, request: {url: /x}, api_key: {source: partners, id: acme-1}, expect: {decision: allow, route: all}}
  - {name: in the token's block, request: {url: /x}, token: {api_key: {source: partners, id: acme-1}}, expect: {decision: allow}}
  - {name: another tenant, request: {url: /x}, api_key: {source: partners, id: evil}, expect: {decision: deny, status: 403, check: authorise}}
  - {name: disabled, request: {url: /x}, api_key: {source: partners, id: disabled}, expect: {decision: deny, status: 401, check: authenticate}}
  - {name: before it expires, request: {url: /x}, api_key: {source: partners, id: old}, at: 2025-12-31T23:59:59Z, expect: {decision: allow}}
  - {name: after, request: {url: /x}, api_key: {source: partners, id: old}, at: 2026-01-01T00:00:00Z, expect: {decision: deny, status: 401}}
  - {name: no record, request: {url: /x}, api_key: {source: partners, id: nobody}, expect: {decision: deny}}
  - {name: no list, request: {url: /x}, api_key: {source: others, id: a}, expect: {decision: deny}}
  - {name: a key of nobody, request: {url: /x, headers: {X-API-Key: guess}}, expect: {decision: deny, status: 401}}
`, environment{"PARTNERS": `[
		{"id": "acme-1", "prefix": "sk_live_01234567", "hash": "sha256:` + strings.Repeat("0a", 32) + `", "scopes": ["read"], "claims": {"tenant": "acme", "n": 12345678901234567890}},
		{"id": "evil", "hash": "sha256:` + strings.Repeat("0b", 32) + `", "scopes": ["read"], "claims": {"tenant": "evil"}},
		{"id": "disabled", "hash": "sha256:` + strings.Repeat("0c", 32) + `", "scopes": ["read"], "claims": {"tenant": "acme"}, "disabled": true},
		{"id": "old", "hash": "sha256:` + strings.Repeat("0d", 32) + `", "scopes": ["read"], "claims": {"tenant": "acme"}, "expires": "2026-01-01T00:00:00Z"}]`})
	for i, c := range report.Cases {
		want := map[int]string{6: "api_keys.partners has no record of key nobody", 7: "the records of api_keys.others cannot be read, and they say what key a may do: "}[i]
		if c.OK != (want == "") || !strings.HasPrefix(c.Error, want) {
			t.Errorf("%s: %v %s\n%+v", c.Name, c.Differences, c.Error, c.Explanation.Checks)
		}
	}
}

// What cannot be a list of records is told, and nothing of it shown.
func TestCasesWithABrokenListOfAPIKeys(t *testing.T) {
	t.Parallel()
	for _, list := range []string{"canary", "{}", `["canary"]`, `[{"id": "a", "wrong": "canary"}]`, `[{"id": "a"}] canary`} {
		c, err := config.ParseCases("cases.yaml", []byte(`cases: [{request: {url: /x}, api_key: {source: partners, id: a}, expect: {decision: allow}}]`), config.Options{})
		if err != nil {
			t.Fatal(err)
		}
		env := environment{"PARTNERS": list}
		report, err := gateway.TestCases(t.Context(), parse(t, "secrets: {backend: env}"+keysConfig, env), c, gateway.Options{LookupEnv: env.lookup})
		told := fmt.Sprint(err)
		if err == nil {
			told = report.Cases[0].Error
		}
		if told == "" || strings.Contains(told, "canary") {
			t.Errorf("%s: %s", list, told)
		}
	}
}

func TestCasesThatDoNotFitTheConfigurationAreRefused(t *testing.T) {
	t.Parallel()
	c, err := config.ParseCases("cases.yaml", []byte(`cases: [{request: {url: /x}, token: {issuer: tset}, expect: {decision: allow}}]`), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = gateway.TestCases(t.Context(), parse(t, head+`routes: [{name: a, path: /x, auth: {issuers: [test]}, upstream: "http://legacy"}]`, nil), c, gateway.Options{})
	if want := `cases.yaml:1:46: the configuration has no issuer "tset"; did you mean "test"?`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
