package gateway_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

const observeRoutes = head + `
credentials: {up: {type: static, token: "${secret:up}"}}
routes:
  - name: watched
    path: /w/*
    auth: {issuers: [test], scopes: ["orders:read"], allow: 'request.query.kind == ["a"]', mode: observe}
    inject: up
    forward: {X-User: sub, X-Tenant: tenant}
    rate_limit: {rate: 6/1m, key: subject}
    upstream: "%s"
`

// mode: observe lets 401s and 403s through, with nothing given or said in the
// name of a caller nobody knows (CONTRACT 3).
func TestObserveRefusesNobodyAndGivesStrangersNothing(t *testing.T) {
	t.Parallel()
	up := startEcho(t)
	g := start(t, fmt.Sprintf(observeRoutes, up.URL), environment{"UP": "upstream-key"})
	spoof := []string{"X-User: root", "X_User: root", "X-Tenant: acme"}
	for _, c := range []struct {
		name, query   string
		headers       []string
		status        int
		authorization string
		user          string
		observed      string // the reason in the access log
		decision      string
	}{
		{"allowed", "?kind=a", []string{bearer(mint(t, nil))}, 200, "[Bearer upstream-key]", "[alice]", "", "allow"},
		{"no token", "?kind=a", nil, 200, "[]", "[]", "no_token", "deny"},
		{"a bad token", "?kind=a", []string{bearer(mint(t, nil) + "x")}, 200, "[]", "[]", "signature", "deny"},
		{"an expired token", "?kind=a", []string{bearer(mint(t, map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}))}, 200, "[]", "[]", "expired", "deny"},
		{"no scope", "?kind=a", []string{bearer(mint(t, map[string]any{"scope": "x"}))}, 200, "[Bearer upstream-key]", "[alice]", "scopes", "deny"},
		{"not allowed", "?kind=b", []string{bearer(mint(t, nil))}, 200, "[Bearer upstream-key]", "[alice]", "allow", "deny"},
		{"an error in allow", "", []string{bearer(mint(t, nil))}, 200, "[Bearer upstream-key]", "[alice]", "allow_error", "deny"},
		{"two credentials", "?kind=a", []string{bearer("a"), bearer("b")}, 400, "", "", "", "deny"},
		{"an ambiguous query", "?kind=%zz", []string{bearer(mint(t, nil))}, 400, "", "", "", "deny"},
	} {
		before := len(accessLines(t, g))
		got := send(t, "GET", g.URL+"/w/1"+c.query, "", append(c.headers, spoof...)...)
		if got.Status != c.status {
			t.Errorf("%s: %d, want %d: %s", c.name, got.Status, c.status, got.Body)
			continue
		}
		if c.status == 200 {
			seen := got.seen(t)
			if have := fmt.Sprint(seen.Header["Authorization"]); have != c.authorization {
				t.Errorf("%s: the upstream's credential is %s, want %s", c.name, have, c.authorization)
			}
			if have := fmt.Sprint(seen.Header["X-User"]); have != c.user || len(seen.Header["X_user"])+len(seen.Header["X-Tenant"]) > 0 {
				t.Errorf("%s: identity headers are %v, want %s", c.name, seen.Header, c.user)
			}
		}
		await(t, "the access line", func() bool { return len(accessLines(t, g)) > before })
		line := accessLines(t, g)[before]
		if line["decision"] != c.decision || line["observed"] != any(true) && c.observed != "" || c.observed != "" && line["reason"] != c.observed {
			t.Errorf("%s: access line is %v, want %s, %s", c.name, line, c.decision, c.observed)
		}
	}
	for series, want := range map[string]string{
		`gateway_auth_decisions_total{reason="no_token",result="observed",route="watched"}`:         "1",
		`gateway_auth_decisions_total{reason="signature",result="observed",route="watched"}`:        "1",
		`gateway_auth_decisions_total{reason="scopes",result="observed",route="watched"}`:           "1",
		`gateway_auth_decisions_total{reason="allow_error",result="observed",route="watched"}`:      "1",
		`gateway_auth_decisions_total{reason="ok",result="allow",route="watched"}`:                  "1",
		`gateway_auth_decisions_total{reason="multiple_credentials",result="deny",route="watched"}`: "1",
		`gateway_auth_decisions_total{reason="no_token",result="deny",route="watched"}`:             "",
	} {
		if got := scrape(t, g, series); got != want {
			t.Errorf("%s is %q, want %q", series, got, want)
		}
	}
	if !strings.Contains(g.Log.String(), "request would be refused; the route only observes") || !strings.Contains(g.Log.String(), "a route only observes") {
		t.Error("the log tells nothing of it")
	}
}

// Rate limits hold where a route only observes: those who are not known count by
// their address.
func TestObserveStillLimits(t *testing.T) {
	t.Parallel()
	g := start(t, fmt.Sprintf(observeRoutes, startEcho(t).URL), environment{"UP": "upstream-key"})
	for i := range 8 {
		want := 200
		if i >= 6 {
			want = 429
		}
		if got := send(t, "GET", g.URL+"/w/1?kind=a", ""); got.Status != want {
			t.Errorf("call %d: %d, want %d", i, got.Status, want)
		}
	}
	if got := get(t, g.URL+"/w/1?kind=a"); got.Status != 200 {
		t.Errorf("a known caller: %d, want 200", got.Status)
	}
}

// While an issuer's keys are not to be had nobody can tell what would have been
// decided: that stays a 503.
func TestObserveDoesNotHideAnOutage(t *testing.T) {
	t.Parallel()
	text := strings.Replace(fmt.Sprintf(observeRoutes, startEcho(t).URL), "${secret:jwt/key}", "${secret:not/there}", 1)
	g := start(t, text, environment{"UP": "upstream-key"})
	if got := get(t, g.URL+"/w/1?kind=a"); got.Status != 503 {
		t.Errorf("a token nobody can check: %d, want 503", got.Status)
	}
	if got := send(t, "GET", g.URL+"/w/1?kind=a", ""); got.Status != 200 || strings.Contains(got.Body, "upstream-key") {
		t.Errorf("no token: %d %s, want 200 without a credential", got.Status, got.Body)
	}
}

func accessLines(t *testing.T, g *running) (lines []map[string]any) {
	t.Helper()
	for line := range strings.Lines(g.Access.String()) {
		var l map[string]any
		if err := json.Unmarshal([]byte(line), &l); err == nil {
			lines = append(lines, l)
		}
	}
	return lines
}
