package gateway_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/admin"
)

// adminConfig has its token in a file, so that it can be rotated.
func adminConfig(t *testing.T, upstream string) (text string, write func(name, value string)) {
	t.Helper()
	dir := t.TempDir()
	write = func(name, value string) {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file+".new", []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	write("admin", "the first admin token")
	write("up", "canary-upstream-value")
	write("jwt", hmacKey)
	return fmt.Sprintf(`
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0, token: "${secret:admin}"}
secrets: {backend: file, file: {dir: %q}, refresh: 1s}
issuers: {test: {issuer: https://issuer.test, audiences: [orders-api], keys: [{algorithm: HS256, key: "${secret:jwt}"}]}}
credentials: {up: {type: static, token: "${secret:up}"}, gone: {type: static, token: "${secret:gone}", header: X-Gone}}
routes:
  - {name: shut, hosts: [a.test], path: "/shut", methods: [GET], auth: {issuers: [test]}, inject: [up, gone], upstream: %q}
  - {name: open, path: "/open", auth: public, upstream: %[2]q}
`, dir, upstream), write
}

func TestAdminTokenFollowsItsSecret(t *testing.T) {
	t.Parallel()
	text, write := adminConfig(t, startEcho(t).URL)
	g := start(t, text, nil)
	status := func(token string) int { return send(t, "GET", g.Admin+"/api/v1/status", "", bearer(token)).Status }
	if got := status("the first admin token"); got != 200 {
		t.Errorf("the token: %d", got)
	}
	write("admin", "the second admin token")
	await(t, "the second token", func() bool { return status("the second admin token") == 200 })
	if got := status("the first admin token"); got != 401 {
		t.Errorf("the first token after the rotation: %d", got)
	}
}

func TestStatusTellsAllAndNoValue(t *testing.T) {
	t.Parallel()
	text, _ := adminConfig(t, startEcho(t).URL)
	g := start(t, text, nil)
	await(t, "the first fetches", func() bool { _, body := ready(t, g, ""); return body["status"] == "degraded" })
	got := send(t, "GET", g.Admin+"/api/v1/status", "", bearer("the first admin token"))
	var s admin.Status
	if err := json.Unmarshal([]byte(got.Body), &s); err != nil || got.Status != 200 {
		t.Fatalf("%d %s: %v", got.Status, got.Body, err)
	}
	if strings.Contains(got.Body, "null") {
		t.Errorf("a list is null: %s", got.Body)
	}
	if s.Config.File != "test.yaml" || s.Status != admin.Degraded || s.Started.IsZero() || s.Secrets.Backend != "file" || len(s.Secrets.Values) != 4 {
		t.Errorf("status: %s", got.Body)
	}
	if len(s.Routes) != 2 || s.Routes[0].Name != "shut" || s.Routes[0].Status != admin.Unavailable || s.Routes[1].Status != admin.OK || !s.Routes[1].Public {
		t.Errorf("routes: %+v", s.Routes)
	}
	if len(s.Issuers) != 1 || s.Issuers[0].Keys != 1 || s.Issuers[0].Issuer != "https://issuer.test" {
		t.Errorf("issuers: %+v", s.Issuers)
	}
	if len(s.Credentials) != 2 || s.Credentials[0].Name != "gone" || s.Credentials[0].Status != admin.Unavailable || s.Credentials[1].Status != admin.OK {
		t.Errorf("credentials: %+v", s.Credentials)
	}
	for _, value := range []string{"canary-upstream-value", hmacKey, "the first admin token"} {
		if strings.Contains(got.Body, value) {
			t.Errorf("a value shows: %s", got.Body)
		}
	}
	for name, want := range map[string]int{"up": 422, "none": 404} {
		if got := send(t, "POST", g.Admin+"/api/v1/credentials/"+name+"/refresh", "", bearer("the first admin token")); got.Status != want {
			t.Errorf("refresh of %s: %d, want %d", name, got.Status, want)
		}
	}
	// admin-04: none of it is on the clients' listener.
	for _, path := range []string{"/api/v1/status", "/metrics", "/debug/pprof/", "/debug/vars", "/readyz"} {
		if got := send(t, "GET", g.URL+path, "", bearer("the first admin token")); got.Status != 404 {
			t.Errorf("%s for clients: %d", path, got.Status)
		}
	}
}
