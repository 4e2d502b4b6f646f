package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// The cases of the groups headers and path that http_raw.json does not hold.

func everybodysRoute(upstream, rest string) string {
	return head + fmt.Sprintf("routes:\n  - {name: all, auth: public, upstream: %q, %s}\n", upstream, rest)
}

// Case headers-09.
func TestHeaders09MethodOverrideWidensNoRoute(t *testing.T) {
	t.Parallel()
	g := start(t, everybodysRoute(startEcho(t).URL, "path: /*, methods: [GET]"), nil)
	got := send(t, "GET", g.URL+"/a", "", "X-HTTP-Method-Override: DELETE", "X-Method-Override: DELETE", "X_HTTP_Method: DELETE").seen(t)
	for name := range got.Header {
		if got.Method != "GET" || name == "X-Http-Method-Override" || name == "X-Method-Override" || name == "X_http_method" {
			t.Errorf("the upstream saw %s with %s", got.Method, name)
		}
	}
}

// Case headers-10.
func TestHeaders10RequestIDIsTheGateways(t *testing.T) {
	t.Parallel()
	g := start(t, everybodysRoute(startEcho(t).URL, "path: /*"), nil)
	a := send(t, "GET", g.URL+"/a", "", "X-Request-Id: forged", "X_Request_Id: forged", "X-Forwarded-For: 192.0.2.1")
	ids := a.seen(t).Header["X-Request-Id"]
	if len(ids) != 1 || ids[0] == "forged" || ids[0] != a.Header.Get("X-Request-Id") {
		t.Errorf("the upstream saw %q, the caller %q", ids, a.Header.Get("X-Request-Id"))
	}
	for name, values := range a.seen(t).Header {
		if name != "X-Request-Id" && len(values) > 0 && values[0] == "forged" {
			t.Errorf("%s went up", name)
		}
	}
}

// Case headers-13.
func TestHeaders13UpstreamNamesNoHeaderOfTheGatewaysAway(t *testing.T) {
	t.Parallel()
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "Set-Cookie, X-Frame-Options, X-Request-Id, Ratelimit")
		w.Header().Set("X-Frame-Options", "SAMEORIGIN")
		_, _ = io.WriteString(w, "ok")
	}))
	t.Cleanup(up.Close)
	g := start(t, everybodysRoute(up.URL, "path: /*, rate_limit: {rate: 100/s}, response_headers: {set: {X-Frame-Options: DENY}}"), nil)
	a := send(t, "GET", g.URL+"/a", "")
	if a.Header.Get("X-Frame-Options") != "DENY" || a.Header.Get("X-Request-Id") == "" || a.Header.Get("Ratelimit") == "" {
		t.Errorf("the caller saw %v", a.Header)
	}
}

// Case path-13.
func TestPath13PrefixEndsAtASegment(t *testing.T) {
	t.Parallel()
	g := start(t, everybodysRoute(startEcho(t).URL, "path: /admin/*"), nil)
	for path, status := range map[string]int{"/admin": 200, "/admin/": 200, "/admin/x": 200, "/administrator": 404, "/admin-public": 404, "/admi": 404, "/Admin": 404} {
		if a := send(t, "GET", g.URL+path, ""); a.Status != status {
			t.Errorf("%s: %d", path, a.Status)
		}
	}
}

// Case path-14.
func TestPath14HostsAreComparedInOneForm(t *testing.T) {
	t.Parallel()
	g := start(t, everybodysRoute(startEcho(t).URL, "path: /*, hosts: [gw.example]"), nil)
	for host, status := range map[string]int{"gw.example": 200, "GW.Example": 200, "gw.example.": 200, "GW.EXAMPLE.:8080": 200, "gw.example.org": 404, "xgw.example": 404} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.URL+"/a", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != status {
			t.Errorf("%s: %d", host, res.StatusCode)
		}
	}
}
