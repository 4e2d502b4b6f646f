package gateway_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/peertest"
)

// vaultRole is an AppRole that may read what is below secret/gateway/, and the
// gateway that uses it, with values that serve for 4 s once they can't be read.
type vaultRole struct {
	*running
	vault *peertest.VaultPeer
	put   store
}

func (v vaultRole) policy(t *testing.T, text string) {
	t.Helper()
	v.vault.Do(t, http.MethodPut, "sys/policies/acl/gateway", map[string]any{"policy": text})
}

const mayRead = `path "secret/data/gateway/*" { capabilities = ["read"] }`

func startWithRole(t *testing.T) vaultRole {
	t.Helper()
	vault := peertest.Vault(t)
	v := vaultRole{vault: vault, put: vaultStore(t, vault)}
	v.put("gateway/up", map[string]string{"value": "canary-first"})
	v.put("gateway/other", map[string]string{"value": "canary-other"})
	v.policy(t, mayRead)
	vault.Do(t, http.MethodPut, "sys/auth/approle", map[string]any{"type": "approle"})
	vault.Do(t, http.MethodPut, "auth/approle/role/gateway", map[string]any{"token_policies": "gateway"})
	id := vault.Do(t, http.MethodGet, "auth/approle/role/gateway/role-id", nil)["data"].(map[string]any)["role_id"].(string)
	secret := vault.Do(t, http.MethodPut, "auth/approle/role/gateway/secret-id", nil)["data"].(map[string]any)["secret_id"].(string)
	file := filepath.Join(t.TempDir(), "secret-id")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	v.running = start(t, fmt.Sprintf(`
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
secrets: {backend: vault, refresh: 1s, max_stale: 4s, vault: {address: %q, auth: {method: approle, role_id: %q, secret_id_file: %q}}}
credentials: {up: {type: static, token: "${secret:gateway/up}"}, other: {type: static, token: "${secret:gateway/other}"}}
routes:
  - {name: up, path: "/up", auth: public, inject: up, upstream: %[4]q}
  - {name: other, path: "/other", auth: public, inject: other, upstream: %[4]q}
  - {name: open, path: "/open", auth: public, upstream: %[4]q}
`, vault.Address, id, file, startEcho(t).URL), environment{})
	await(t, "a start", func() bool {
		status, body := ready(t, v.running, "?strict")
		return status == 200 && body["status"] == "ok"
	})
	return v
}

func (v vaultRole) status(t *testing.T, path string) int {
	t.Helper()
	return send(t, "GET", v.URL+path, "").Status
}

// component is what /readyz says of one.
func component(t *testing.T, g *running, name string) (state, detail string) {
	t.Helper()
	_, body := ready(t, g, "?verbose")
	for _, c := range body["components"].([]any) {
		c := c.(map[string]any)
		if c["name"] == name {
			detail, _ = c["detail"].(string)
			return c["status"].(string), detail
		}
	}
	return "", ""
}

// recovers waits until the route serves again, and fails after 5 s.
func (v vaultRole) recovers(t *testing.T, what, path string) {
	t.Helper()
	began := time.Now()
	await(t, what, func() bool { return v.status(t, path) == 200 })
	took := time.Since(began)
	if took > 5*time.Second {
		t.Errorf("%s: back after %v, want within 5 s", what, took)
	}
	t.Logf("%s: back after %v", what, took.Round(10*time.Millisecond))
}

// noCanary fails if a value shows.
func (v vaultRole) noCanary(t *testing.T) {
	t.Helper()
	_, body := ready(t, v.running, "?verbose")
	for what, text := range map[string]string{"log": v.Log.String(), "access log": v.Access.String(), "readyz": fmt.Sprint(body), "metrics": send(t, "GET", v.Admin+"/metrics", "").Body} {
		if strings.Contains(text, "canary") {
			t.Errorf("a value shows in the %s", what)
		}
	}
}

// The token is revoked: the gateway logs in anew within a read, and no request
// is lost.
func TestVaultTokenRevokedLosesNothing(t *testing.T) {
	t.Parallel()
	v := startWithRole(t)
	l := startAsking(t, v.URL+"/up", "")
	v.vault.Do(t, http.MethodPut, "sys/leases/revoke-prefix/auth/approle", nil)
	v.put("gateway/up", map[string]string{"value": "canary-second"})
	began := time.Now()
	await(t, "the value after the login", func() bool {
		return send(t, "GET", v.URL+"/up", "").seen(t).Header.Get("Authorization") == "Bearer canary-second"
	})
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the new value came after %v", took)
	}
	l.kept(t, "token revoked")
	v.noCanary(t)
}

// The policy is withdrawn: denied is no outage, but takes no value away either.
// The last known ones serve until max_stale.
func TestVaultPolicyWithdrawn(t *testing.T) {
	t.Parallel()
	v := startWithRole(t)
	v.policy(t, `path "secret/data/gateway/up" { capabilities = ["deny"] } path "secret/data/gateway/other" { capabilities = ["read"] }`)
	await(t, "the denial in readyz", func() bool {
		state, detail := component(t, v.running, "secret/gateway/up")
		return state == "degraded" && detail == "denied"
	})
	if got := v.status(t, "/up"); got != 200 {
		t.Errorf("before max_stale: %d", got)
	}
	await(t, "max_stale", func() bool { return v.status(t, "/up") == 503 })
	for path, want := range map[string]int{"/other": 200, "/open": 200} {
		if got := v.status(t, path); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	if state, _ := component(t, v.running, "credential/up"); state != "unavailable" {
		t.Errorf("the credential is %s", state)
	}
	if status, body := ready(t, v.running, ""); status != 200 || body["status"] != "degraded" {
		t.Errorf("ready: %d %v", status, body["status"])
	}
	if status, _ := ready(t, v.running, "?strict"); status != 503 {
		t.Errorf("strictly ready: %d", status)
	}
	v.policy(t, mayRead)
	v.recovers(t, "policy given back", "/up")
	v.noCanary(t)
}

// The value is deleted: that is an answer, and it is gone at the next refresh.
func TestVaultValueDeleted(t *testing.T) {
	t.Parallel()
	v := startWithRole(t)
	began := time.Now()
	v.vault.Do(t, http.MethodDelete, "secret/data/gateway/up", nil)
	await(t, "the end of the value", func() bool { return v.status(t, "/up") == 503 })
	if took := time.Since(began); took > 3*time.Second { // and not the 4 s of max_stale
		t.Errorf("gone after %v", took)
	}
	if state, detail := component(t, v.running, "secret/gateway/up"); state != "unavailable" || detail != "not_found" {
		t.Errorf("readyz: %s, %s", state, detail)
	}
	got := send(t, "GET", v.URL+"/up", "")
	if got.Header.Get("Retry-After") == "" || got.problem(t)["status"] != 503.0 {
		t.Errorf("%v %s", got.Header, got.Body)
	}
	if got := v.status(t, "/other"); got != 200 {
		t.Errorf("another route: %d", got)
	}
	v.put("gateway/up", map[string]string{"value": "canary-third"})
	v.recovers(t, "value put back", "/up")
	v.noCanary(t)
}

// The value is emptied: refused, and the last good one goes on until max_stale.
func TestVaultValueEmptied(t *testing.T) {
	t.Parallel()
	v := startWithRole(t)
	v.put("gateway/up", map[string]string{"value": ""})
	await(t, "the empty value in readyz", func() bool {
		state, detail := component(t, v.running, "secret/gateway/up")
		return state == "degraded" && detail == "empty"
	})
	if got := send(t, "GET", v.URL+"/up", "").seen(t).Header.Get("Authorization"); got != "Bearer canary-first" {
		t.Errorf("upstream saw %q", got)
	}
	await(t, "max_stale", func() bool { return v.status(t, "/up") == 503 })
	v.put("gateway/up", map[string]string{"value": "canary-third"})
	v.recovers(t, "value filled again", "/up")
	v.noCanary(t)
}

// The server is sealed: an outage with a name, over which the last known values
// serve.
func TestVaultSealedWhileRunning(t *testing.T) {
	t.Parallel()
	vault := peertest.VaultSealed(t)
	vault.Init(t)
	vault.Unseal(t)
	vault.Do(t, http.MethodPut, "sys/mounts/kv", map[string]any{"type": "kv"})
	vault.Do(t, http.MethodPut, "kv/gateway/up", map[string]any{"value": "canary-first"})
	v := vaultRole{vault: vault}
	v.running = start(t, fmt.Sprintf(`
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
secrets: {backend: vault, refresh: 1s, max_stale: 4s, vault: {address: %q, mount: kv, kv_version: 1}}
credentials: {up: {type: static, token: "${secret:gateway/up}"}}
routes: [{name: up, path: "/up", auth: public, inject: up, upstream: %q}]
`, vault.Address, startEcho(t).URL), environment{"VAULT_TOKEN": vault.Token})
	v.recovers(t, "the start", "/up")
	vault.Seal(t)
	await(t, "the seal in readyz", func() bool {
		state, detail := component(t, v.running, "secret/gateway/up")
		return state == "degraded" && detail == "sealed"
	})
	if got := v.status(t, "/up"); got != 200 {
		t.Errorf("before max_stale: %d", got)
	}
	await(t, "max_stale", func() bool { return v.status(t, "/up") == 503 })
	if status, body := ready(t, v.running, ""); status != 503 || body["status"] != "unavailable" {
		t.Errorf("ready with no route that can serve: %d %v", status, body["status"])
	}
	vault.Unseal(t)
	v.recovers(t, "unsealed", "/up")
	v.noCanary(t)
}

// The server is slow: no request waits for it.
func TestVaultSlowHoldsUpNoRequest(t *testing.T) {
	t.Parallel()
	vault := peertest.Vault(t)
	vaultStore(t, vault)("gateway/up", map[string]string{"value": "canary-first"})
	between := peertest.NewFaultProxy(t, vault.Address)
	g := start(t, fmt.Sprintf(`
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
secrets: {backend: vault, refresh: 1s, vault: {address: "http://%s"}}
credentials: {up: {type: static, token: "${secret:gateway/up}"}}
routes: [{name: up, path: "/up", auth: public, inject: up, upstream: %q}]
`, between.Address, startEcho(t).URL), environment{"VAULT_TOKEN": vault.Token})
	between.Delay(3 * time.Second)
	var longest time.Duration
	asked := 0
	for end := time.Now().Add(4 * time.Second); time.Now().Before(end); asked++ {
		began := time.Now()
		if got := send(t, "GET", g.URL+"/up", ""); got.Status != 200 {
			t.Fatalf("while Vault is slow: %d", got.Status)
		}
		longest = max(longest, time.Since(began))
	}
	if longest > 2*time.Second {
		t.Errorf("a request waited %v", longest)
	}
	t.Logf("%d requests while each answer of Vault took 3 s, none longer than %v", asked, longest.Round(time.Millisecond))
}
