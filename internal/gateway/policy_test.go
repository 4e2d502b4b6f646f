package gateway_test

import (
	"fmt"
	"testing"
)

const allowRoutes = head + `
routes:
  - {name: tenant, path: "/t/{tenant}/*", auth: {issuers: [test], allow: 'claims.tenant == params.tenant || "admin" in scopes'}, upstream: "%[1]s"}
  - {name: number, path: "/n/{id:[0-9]+}/{name}", auth: {issuers: [test], allow: 'int(params.id) > 5 && params.name != "blocked"'}, encoded_slash: keep, upstream: "%[1]s"}
  - {name: query, path: /q, auth: {issuers: [test], allow: 'has(request.query.role) && request.query.role.all(r, r == "user")'}, upstream: "%[1]s"}
  - {name: one, path: /one, auth: {issuers: [test], allow: '"user" in request.query.role'}, upstream: "%[1]s"}
  - {name: header, path: /h, auth: {issuers: [test], allow: 'request.headers["x-kind"] == "a,b"'}, upstream: "%[1]s"}
  - {name: whole, path: "/w/*", auth: {issuers: [test], allow: 'request.method == "GET" && request.path == "/w/a%%20b" && request.host == "127.0.0.1" && request.ip == "127.0.0.1" && subject == "alice" && issuer == "test"'}, upstream: "%[1]s"}
  - {name: broken, path: /b, auth: {issuers: [test], scopes: ["orders:read"], allow: 'claims.absent == 1'}, upstream: "%[1]s"}
`

// What the expression sees is what the upstream gets, or there is no answer but
// 400 (path-10, path-11; THREATS, tampering with the query).
func TestAllowSeesWhatTheUpstreamSees(t *testing.T) {
	t.Parallel()
	up := startEcho(t)
	g := start(t, fmt.Sprintf(allowRoutes, up.URL), nil)
	acme := bearer(mint(t, map[string]any{"tenant": "acme"}))
	spaced := bearer(mint(t, map[string]any{"tenant": "a b/ü"}))
	admin := bearer(mint(t, map[string]any{"scope": "admin"}))
	for _, c := range []struct {
		name, path string
		headers    []string
		status     int
	}{
		{"own tenant", "/t/acme/x", []string{acme}, 200},
		{"another tenant", "/t/globex/x", []string{acme}, 403},
		{"an admin without a tenant", "/t/globex/x", []string{admin}, 200},
		{"a tenant in another spelling", "/t/%61c%6De/x", []string{acme}, 200},
		{"a tenant with an encoded slash", "/t/a%20b%2F%C3%BC/x", []string{spaced}, 400}, // the route does not keep them
		{"decoded once", "/t/%2561cme/x", []string{acme}, 403},
		{"a parameter of a segment", "/t/acme;x/x", []string{acme}, 400},
		{"not UTF-8", "/t/%FF/x", []string{acme}, 400},
		{"a number", "/n/6/x", []string{acme}, 200},
		{"a small number", "/n/5/x", []string{acme}, 403},
		{"a number too big for an int", "/n/99999999999999999999/x", []string{acme}, 403},
		{"blocked", "/n/6/bl%6Fcked", []string{acme}, 403},
		{"blocked before a semicolon", "/n/6/blocked;x", []string{acme}, 400},
		{"blocked before an encoded one", "/n/6/blocked%3Bx", []string{acme}, 400},
		{"one role", "/q?role=user", []string{acme}, 200},
		{"all roles", "/q?role=user&role=user", []string{acme}, 200},
		{"path-11", "/q?role=user&role=admin", []string{acme}, 403},
		{"no role", "/q", []string{acme}, 403},
		{"path-10, a semicolon", "/q?role=user;role=admin", []string{acme}, 400},
		{"path-10, a broken escape", "/q?role=user&c=%zz", []string{acme}, 400},
		{"PHP's list", "/q?role=user&role[]=admin", []string{acme}, 400},
		{"PHP's list alone", "/q?role%5B0%5D=admin", []string{acme}, 400},
		{"ASP's case", "/q?role=user&Role=admin", []string{acme}, 400},
		{"not UTF-8 in the query", "/q?role=user&x=%FF", []string{acme}, 400},
		{"one value that decides", "/one?role=user", []string{acme}, 200},
		{"two values where one decides", "/one?role=user&role=admin", []string{acme}, 400},
		{"a list of one header", "/h", []string{acme, "X-Kind: a", "X-Kind: b"}, 200},
		{"one header with a comma", "/h", []string{acme, "X-Kind: a,b"}, 200},
		{"another header", "/h", []string{acme, "X-Kind: a"}, 403},
		{"no header", "/h", []string{acme}, 403},
		{"a twin", "/h", []string{acme, "X-Kind: a,b", "X_Kind: admin"}, 400},
		{"a twin alone", "/h", []string{acme, "X_Kind: a,b"}, 400},
		{"a twin on a route that does not read it", "/t/acme/x", []string{acme, "X-Kind: a,b", "X_Kind: admin"}, 200},
		{"a header not in UTF-8", "/h", []string{acme, "X-Kind: a\xff"}, 400},
		{"one the gateway takes away", "/h", []string{acme, "X-Kind: a,b", "Connection: X-Kind"}, 403},
		{"every other variable", "/w//a%20b", []string{acme}, 200},
		{"an error", "/b", []string{acme}, 403},
	} {
		if got := send(t, "GET", g.URL+c.path, "", c.headers...); got.Status != c.status {
			t.Errorf("%s: %d, want %d: %s", c.name, got.Status, c.status, got.Body)
		}
	}
	for reason, want := range map[string]string{"allow_error": "4", "allow": "7"} {
		sum := 0
		for _, route := range []string{"tenant", "number", "query", "one", "header", "whole", "broken"} {
			n := 0
			_, _ = fmt.Sscan(scrape(t, g, fmt.Sprintf(`gateway_auth_decisions_total{reason="%s",result="deny",route="%s"}`, reason, route)), &n)
			sum += n
		}
		if fmt.Sprint(sum) != want {
			t.Errorf("%d denials for %s, want %s", sum, reason, want)
		}
	}
	if seen := send(t, "GET", g.URL+"/t/acme/x?a=1;b=%zz", "", acme).seen(t); seen.Query != "a=1;b=%zz" {
		t.Errorf("a query no policy reads went up as %q", seen.Query)
	}
}

// An expression asks of API keys what it asks of tokens: their record's claims.
func TestAllowAsksAPIKeysToo(t *testing.T) {
	t.Parallel()
	dir := keyStore(t, partners(t))
	g := start(t, fmt.Sprintf(keyHead, dir)+fmt.Sprintf(`
routes:
  - {name: keys, path: "/{tenant}/*", auth: {issuers: [test], api_keys: [partners], allow: 'claims.tenant == params.tenant && (issuer == "partners" || issuer == "test")'}, upstream: "%s"}
`, startEcho(t).URL), nil)
	for _, c := range []struct {
		path, credential string
		status           int
	}{
		{"/acme/1", keyed(partnerKey), 200},
		{"/globex/1", keyed(partnerKey), 403},
		{"/globex/1", bearer(mint(t, map[string]any{"tenant": "globex"})), 200},
		{"/acme/1", bearer(mint(t, map[string]any{"tenant": "globex"})), 403},
	} {
		for range 2 { // remembered or not
			if got := send(t, "GET", g.URL+c.path, "", c.credential); got.Status != c.status {
				t.Errorf("%s with %.20s…: %d, want %d", c.path, c.credential, got.Status, c.status)
			}
		}
	}
}
