package gateway_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/crypto"
)

// cryptoHead is a crypto API for the tests' issuer, with keyrings from files.
func cryptoHead(dir string) string {
	return strings.Replace(head, "secrets: {backend: env}", "secrets: {backend: [file, env], refresh: 1s, file: {dir: "+dir+"}}", 1) + `
keyrings:
  pii: {type: aes256-gcm, keys: "${secret:crypto/pii}"}
  sign: {type: hmac, keys: "${secret:crypto/sign}"}
crypto: {path: /crypto/v1, auth: {issuers: [test]}}
routes:
  - {name: all, path: /*, auth: public, upstream: "http://127.0.0.1:1"}
`
}

func keyFiles(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "crypto"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"pii", "sign"} {
		key, err := crypto.GenerateKey("hmac")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "crypto", name), []byte(key), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func (r *running) crypto(t testing.TB, path, body, scope string) answer {
	t.Helper()
	return send(t, http.MethodPost, r.URL+"/crypto/v1"+path, body, bearer(mint(t, map[string]any{"scope": scope})))
}

func field(t testing.TB, a answer, name string) any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(a.Body), &m); err != nil || a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	return m[name]
}

func TestCryptoAPIStandsBehindTheChecks(t *testing.T) {
	t.Parallel()
	g := start(t, cryptoHead(keyFiles(t)), nil)
	if a := send(t, "POST", g.URL+"/crypto/v1/keyrings/pii/encrypt", `{"plaintext": "x"}`); a.Status != 401 || a.Header.Get("Www-Authenticate") != `Bearer realm="gateway"` {
		t.Errorf("without a token: %d %v", a.Status, a.Header)
	}
	if a := g.crypto(t, "/keyrings/pii/encrypt", `{"plaintext": "x"}`, "crypto:decrypt"); a.Status != 403 {
		t.Errorf("with another scope: %d", a.Status)
	}
	ciphertext := field(t, g.crypto(t, "/keyrings/pii/encrypt", `{"plaintext": "x"}`, "crypto:encrypt:pii"), "ciphertext")
	a := g.crypto(t, "/keyrings/pii/decrypt", fmt.Sprintf(`{"ciphertext": %q}`, ciphertext), "crypto:decrypt")
	if field(t, a, "plaintext") != "x" || a.Header.Get("X-Request-Id") == "" || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s %v", a.Body, a.Header)
	}
	if a := send(t, "GET", g.URL+"//crypto/v1/%6feyrings", "", bearer(mint(t, nil))); a.Status != 404 {
		t.Errorf("another path: %d", a.Status)
	}
	if a := send(t, "GET", g.URL+"//crypto/v1/openapi.json", "", bearer(mint(t, nil))); a.Status != 200 {
		t.Errorf("another spelling: %d", a.Status)
	}
	if a := send(t, "DELETE", g.URL+"/crypto/v1/keyrings/pii", "", bearer(mint(t, nil))); a.Status != 405 || a.Header.Get("Allow") != "GET, HEAD, POST" {
		t.Errorf("DELETE: %d, Allow %q", a.Status, a.Header.Get("Allow"))
	}
	if a := send(t, "GET", g.URL+"/crypto/v10", ""); a.Status != http.StatusBadGateway {
		t.Errorf("a route beside it: %d", a.Status)
	}
	big := `{"plaintext": "` + strings.Repeat("x", 1<<20) + `"}`
	if a := g.crypto(t, "/keyrings/pii/encrypt", big, "crypto:encrypt"); a.Status != 413 {
		t.Errorf("a large body: %d", a.Status)
	}
	await(t, "a line of the access log", func() bool { return strings.Contains(g.Access.String(), `"route":"(crypto)"`) })
	if log := g.Access.String() + g.Log.String(); strings.Contains(log, fmt.Sprint(ciphertext)) {
		t.Error("a ciphertext is in a log")
	}
}

func TestRotatedKeyringIsFollowedByAnotherReplica(t *testing.T) {
	t.Parallel()
	dir := keyFiles(t)
	one := start(t, cryptoHead(dir), nil)
	two := start(t, strings.Replace(cryptoHead(dir), "refresh: 1s", "refresh: 1h", 1), nil) // by an early read alone
	old := field(t, one.crypto(t, "/keyrings/pii/encrypt", `{"plaintext": "x"}`, "crypto:encrypt"), "ciphertext")
	if v := field(t, one.crypto(t, "/keyrings/pii/rotate", "", "crypto:admin"), "version"); v != 2.0 {
		t.Fatalf("version %v", v)
	}
	fresh := g2(t, one)
	if a := two.crypto(t, "/keyrings/pii/decrypt", fmt.Sprintf(`{"items": [{"ciphertext": %q}, {"ciphertext": %q}]}`, fresh, old), "crypto:decrypt"); strings.Count(a.Body, `"plaintext":"x"`) != 2 {
		t.Errorf("the other replica: %d %s", a.Status, a.Body)
	}
	if v := field(t, two.crypto(t, "/keyrings/pii/rotate", "", "crypto:admin"), "version"); v != 3.0 {
		t.Errorf("rotated by the other: version %v", v)
	}
	a := send(t, "GET", two.URL+"/crypto/v1/keyrings/pii", "", bearer(mint(t, map[string]any{"scope": "crypto:admin"})))
	if field(t, a, "primary") != 3.0 || !strings.Contains(a.Body, `"last_seen"`) || strings.Contains(a.Body, `"key"`) {
		t.Errorf("%s", a.Body)
	}
}

// g2 encrypts under the newest version, which must be 2.
func g2(t *testing.T, g *running) any {
	t.Helper()
	a := g.crypto(t, "/keyrings/pii/encrypt", `{"plaintext": "x"}`, "crypto:encrypt")
	if field(t, a, "version") != 2.0 {
		t.Fatalf("%s", a.Body)
	}
	return field(t, a, "ciphertext")
}

func TestKeyringThatIsNotToBeHadIs503(t *testing.T) {
	t.Parallel()
	dir := keyFiles(t)
	if err := os.Remove(filepath.Join(dir, "crypto", "pii")); err != nil {
		t.Fatal(err)
	}
	g := start(t, cryptoHead(dir), nil)
	if a := g.crypto(t, "/keyrings/pii/encrypt", `{"plaintext": "x"}`, "crypto:encrypt"); a.Status != 503 || a.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if a := g.crypto(t, "/keyrings/sign/mac", `{"data": "x"}`, "crypto:mac"); a.Status != 200 {
		t.Errorf("the other keyring: %d %s", a.Status, a.Body)
	}
	if a := send(t, "GET", g.Admin+"/readyz?verbose", ""); !strings.Contains(a.Body, `"keyring/pii"`) {
		t.Errorf("%s", a.Body)
	}
}
