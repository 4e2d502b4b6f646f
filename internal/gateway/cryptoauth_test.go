package gateway_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/auth"
)

// cryptoKeys is a crypto API for callers with API keys: cryptoKey may encrypt
// and rotate, partnerKey may not.
func cryptoKeys(t *testing.T, mode, more string) *running {
	t.Helper()
	dir := keyFiles(t)
	for name, text := range map[string]string{"crypto/partners": keyList(t), "audit": auditKey} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := strings.Replace(cryptoHead(dir), "auth: {issuers: [test]}", "auth: {api_keys: [partners], mode: "+mode+"}", 1)
	return start(t, text+"api_keys: {partners: {keys: \"${secret:crypto/partners}\"}}\n"+more, nil)
}

const cryptoKey = "sk_live_44444444444444444444444444444444444444444444444444444444444444aa"

func keyList(t *testing.T) string {
	t.Helper()
	dir := keyStore(t, append(partners(t), auth.APIKeyRecord{
		ID: "sealer", Prefix: cryptoKey[:16], Hash: digestOf(cryptoKey), Scopes: []string{"crypto:encrypt:pii", "crypto:admin"},
	}))
	text, err := os.ReadFile(filepath.Join(dir, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// crypto-11: who is not known gets 401, and who lacks the scope 403, by API keys
// too. Where the API only observes it fails closed: nobody gets by without a
// scope, for there is nothing to watch behind it.
func TestCrypto11APIKeysAndModesOfTheCryptoAPI(t *testing.T) {
	t.Parallel()
	for mode, unknown := range map[string]int{"enforce": 401, "observe": 403} {
		path := filepath.Join(t.TempDir(), "audit.jsonl")
		g := cryptoKeys(t, mode, fmt.Sprintf("audit: {path: %q, hmac_key: \"${secret:audit}\"}\n", path))
		for name, c := range map[string]struct {
			method, call string
			headers      []string
			status       int
		}{
			"its key":            {"POST", "/keyrings/pii/encrypt", []string{"X-Api-Key: " + cryptoKey}, 200},
			"rotates":            {"POST", "/keyrings/pii/rotate", []string{"X-Api-Key: " + cryptoKey}, 200},
			"another keyring":    {"POST", "/keyrings/sign/encrypt", []string{"X-Api-Key: " + cryptoKey}, 403},
			"may encrypt alone":  {"POST", "/keyrings/pii/decrypt", []string{"X-Api-Key: " + cryptoKey}, 403},
			"without the scope":  {"POST", "/keyrings/pii/encrypt", []string{"X-Api-Key: " + partnerKey}, 403},
			"no key":             {"POST", "/keyrings/pii/encrypt", nil, unknown},
			"no key, admin":      {"POST", "/keyrings/pii/rotate", nil, unknown},
			"no key, a secret":   {"POST", "/keys", nil, unknown},
			"another's key":      {"POST", "/keyrings/pii/encrypt", []string{"X-Api-Key: sk_live_" + strings.Repeat("0", 64)}, unknown},
			"a token":            {"POST", "/keyrings/pii/encrypt", []string{bearer(mint(t, map[string]any{"scope": "crypto:encrypt"}))}, unknown},
			"disabled":           {"POST", "/keyrings/pii/encrypt", []string{"X-Api-Key: " + disabledKey}, unknown},
			"no scope is needed": {"GET", "/openapi.json", []string{"X-Api-Key: " + partnerKey}, 200},
		} {
			a := send(t, c.method, g.URL+"/crypto/v1"+c.call, map[bool]string{true: `{"plaintext": "x"}`}[c.method == "POST"], c.headers...)
			if a.Status != c.status {
				t.Errorf("%s, %s: %d %s", mode, name, a.Status, a.Body)
			}
			if challenge := a.Header.Get("Www-Authenticate"); a.Status == 401 && !strings.HasPrefix(challenge, `ApiKey realm="gateway"`) || a.Status == 403 && !strings.Contains(challenge, `error="insufficient_scope", scope="crypto:`) {
				t.Errorf("%s, %s: challenged with %q", mode, name, challenge)
			}
		}
		await(t, "a record of each denial", func() bool { return len(records(t, path, "deny")) == 9 })
		for _, r := range records(t, path, "deny") {
			if r.Route != "(crypto)" || r.Status == 200 || r.Result != "refused" || r.Status == 403 && (r.Check != "authorise" || r.Reason != "scopes") {
				t.Errorf("%s: recorded %+v", mode, r)
			}
		}
		if keys := records(t, path, "key"); len(keys) != 1 || keys[0].Action != "rotate" || keys[0].Name != "pii" || keys[0].Subject != "sealer" || keys[0].Issuer != "partners" || keys[0].RequestID == "" || keys[0].Decision != "allow" {
			t.Errorf("%s: key operations recorded: %+v", mode, keys)
		}
		await(t, "the access log", func() bool {
			return strings.Count(g.Access.String(), `"route":"(crypto)"`) == 12 && strings.Count(g.Access.String(), `"decision":"deny"`) == 9
		})
	}
}

// A key operation is in the audit log before it is done, and not done where it
// cannot be.
func TestKeyOperationsAreAuditedOrRefused(t *testing.T) {
	t.Parallel()
	path, full := filepath.Join(t.TempDir(), "audit.jsonl"), filepath.Join(t.TempDir(), "audit.jsonl")
	if err := os.Symlink("/dev/full", full); err != nil {
		t.Fatal(err)
	}
	serve := func(path string) *running {
		text := cryptoHead(keyFiles(t)) + fmt.Sprintf("audit: {path: %q, hmac_key: \"${secret:audit/key}\"}\n", path)
		return start(t, text, environment{"AUDIT_KEY": auditKey})
	}
	ask := func(g *running) map[string]answer {
		return map[string]answer{
			"rotate":           g.crypto(t, "/keyrings/pii/rotate", "", "crypto:admin"),
			"generate_key":     g.crypto(t, "/keys", `{"type": "fernet"}`, "crypto:generate"),
			"generate_api_key": g.crypto(t, "/api-keys", `{"id": "acme"}`, "crypto:generate"),
		}
	}
	made := ask(serve(path))
	for action, a := range made {
		if a.Status != http.StatusOK {
			t.Errorf("%s: %d %s", action, a.Status, a.Body)
		}
	}
	recorded := records(t, path, "key")
	if len(recorded) != 3 {
		t.Fatalf("recorded %+v", recorded)
	}
	for _, r := range recorded {
		if made[r.Action].Status == 0 || r.Subject != "alice" || r.Issuer != "test" || r.RequestID != made[r.Action].Header.Get("X-Request-Id") || r.Name != map[string]string{"rotate": "pii"}[r.Action] {
			t.Errorf("%+v", r)
		}
	}
	verifies(t, path)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, action := range []string{"generate_key", "generate_api_key"} {
		if secret := fmt.Sprint(field(t, made[action], "key")); strings.Contains(string(whole), secret) {
			t.Errorf("the audit log has the key of %s", action)
		}
	}
	g := serve(full)
	for action, a := range ask(g) {
		if a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" || strings.Contains(a.Body, "sk_live") {
			t.Errorf("%s, unrecorded: %d %s", action, a.Status, a.Body)
		}
	}
	if v := field(t, g.crypto(t, "/keyrings/pii/encrypt", `{"plaintext": "x"}`, "crypto:encrypt"), "version"); v != 1.0 {
		t.Errorf("encrypted under version %v", v)
	}
}
