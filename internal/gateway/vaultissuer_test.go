package gateway_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/peertest"
)

// vaultIssuer is a real Vault that signs identity tokens for one of its users.
type vaultIssuer struct {
	*peertest.VaultPeer
	user peertest.VaultPeer // with that user's Vault token
}

func startVaultIssuer(t *testing.T) *vaultIssuer {
	t.Helper()
	v := &vaultIssuer{VaultPeer: peertest.Vault(t)}
	v.Do(t, "POST", "sys/auth/userpass", map[string]any{"type": "userpass"})
	v.Do(t, "PUT", "sys/policies/acl/tokens", map[string]any{"policy": `path "identity/oidc/token/*" { capabilities = ["read"] }`})
	v.Do(t, "POST", "auth/userpass/users/alice", map[string]any{"password": "alice's password", "token_policies": "tokens"})
	v.Do(t, "POST", "identity/oidc/key/gateway", map[string]any{"algorithm": "ES256", "allowed_client_ids": "*", "verification_ttl": "10m"})
	v.Do(t, "POST", "identity/oidc/role/caller", map[string]any{
		"key": "gateway", "client_id": "orders-api", "ttl": "10m", "template": `{"name": {{identity.entity.name}}}`,
	})
	v.user = *v.VaultPeer
	v.user.Token = ""
	login := v.user.Do(t, "POST", "auth/userpass/login/alice", map[string]any{"password": "alice's password"})
	v.user.Token = login["auth"].(map[string]any)["client_token"].(string)
	return v
}

// token is a new one of the user's.
func (v *vaultIssuer) token(t *testing.T) string {
	t.Helper()
	return v.user.Do(t, "GET", "identity/oidc/token/caller", nil)["data"].(map[string]any)["token"].(string)
}

// rotate changes the signing key until a token has one that was not published
// when the gateway last looked: the next key is published ahead.
func (v *vaultIssuer) rotate(t *testing.T) (token string) {
	t.Helper()
	for range 2 {
		v.Do(t, "POST", "identity/oidc/key/gateway/rotate", map[string]any{"verification_ttl": "10m"})
	}
	return v.token(t)
}

// Vault's identity tokens open the first door, and the rotation of Vault's key is
// followed without a restart.
func TestVaultIdentityTokens(t *testing.T) {
	t.Parallel()
	vault := startVaultIssuer(t)
	up := startEcho(t)
	g := start(t, fmt.Sprintf(`
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
secrets: {backend: env}
issuers:
  vault:
    issuer: %[1]s/v1/identity/oidc
    jwks_url: %[1]s/v1/identity/oidc/.well-known/keys
    audiences: [orders-api]
    jwks: {cooldown: 1s}
  found: {issuer: "%[1]s/v1/identity/oidc", discovery: true, audiences: [orders-api], jwks: {cooldown: 1s}}
credentials: {key: {type: static, token: "${secret:key}"}}
routes:
  - {name: all, path: /*, auth: {issuers: [vault]}, forward: {X-User: name}, inject: key, upstream: "%[2]s"}
  - {name: found, path: /found, auth: {issuers: [found]}, upstream: "%[2]s"}
`, vault.Address, up.URL), environment{"KEY": "upstream-key"})
	await(t, "Vault's keys", func() bool { status, body := ready(t, g, "?strict"); return status == 200 && body["status"] == "ok" })

	first := vault.token(t)
	got := send(t, "GET", g.URL, "", bearer(first)).seen(t)
	if got.Header.Get("Authorization") != "Bearer upstream-key" || !strings.HasPrefix(got.Header.Get("X-User"), "entity_") {
		t.Errorf("upstream saw %v", got.Header)
	}
	if got := send(t, "GET", g.URL+"/found", "", bearer(first)); got.Status != 200 {
		t.Errorf("with the keys that Vault's metadata names: %d %s", got.Status, got.Body)
	}
	second := vault.rotate(t)
	if kid(t, first) == kid(t, second) {
		t.Fatal("Vault did not rotate its key")
	}
	await(t, "the new key", func() bool { return send(t, "GET", g.URL, "", bearer(second)).Status == 200 })
	if got := send(t, "GET", g.URL, "", bearer(first)); got.Status != 200 {
		t.Errorf("a token of the key before, which Vault still publishes: %d", got.Status)
	}
	for name, forged := range map[string]string{
		"one token with the signature of another": first[:strings.LastIndex(first, ".")] + second[strings.LastIndex(second, "."):],
		"a Vault token": vault.user.Token,
	} {
		if got := send(t, "GET", g.URL, "", bearer(forged)); got.Status != 401 {
			t.Errorf("%s: %d, want 401", name, got.Status)
		}
	}
}

// kid is the key id of a token, unverified.
func kid(t *testing.T, token string) string {
	t.Helper()
	text, _, _ := strings.Cut(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(text)
	var head struct {
		KID string `json:"kid"`
	}
	if err == nil {
		err = json.Unmarshal(raw, &head)
	}
	if err != nil || head.KID == "" {
		t.Fatalf("no key id: %v", err)
	}
	return head.KID
}
