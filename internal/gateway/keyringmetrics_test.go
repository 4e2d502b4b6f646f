package gateway_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// encryptions are the lines of /metrics that count them.
func (r *running) encryptions(t testing.TB) string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(send(t, "GET", r.Admin+"/metrics", "").Body) {
		if text, ok := strings.CutPrefix(line, "gateway_keyring_encryptions_total"); ok {
			lines = append(lines, strings.TrimSpace(text))
		}
	}
	return strings.Join(lines, "; ")
}

func TestEncryptionsAreCountedByKeyringAndVersion(t *testing.T) {
	t.Parallel()
	dir := keyFiles(t)
	g := start(t, cryptoHead(dir), nil)
	for range 3 {
		field(t, g.crypto(t, "/keyrings/pii/encrypt", `{"plaintext": "x"}`, "crypto:encrypt"), "ciphertext")
	}
	field(t, g.crypto(t, "/keyrings/sign/mac", `{"data": "x"}`, "crypto:mac"), "mac")
	for _, name := range []string{"other", "pii%20", "PII"} { // what a caller asks for makes no series
		g.crypto(t, "/keyrings/"+name+"/encrypt", `{"plaintext": "x"}`, "crypto:encrypt")
	}
	if got, want := g.encryptions(t), `{keyring="pii",version="1"} 3; {keyring="sign",version="1"} 1`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	field(t, g.crypto(t, "/keyrings/pii/rotate", "", "crypto:admin"), "version")
	g2(t, g)
	if got, want := g.encryptions(t), `{keyring="pii",version="1"} 3; {keyring="pii",version="2"} 1; {keyring="sign",version="1"} 1`; got != want {
		t.Errorf("after a rotation: got  %s\nwant %s", got, want)
	}
	if err := os.Remove(filepath.Join(dir, "crypto", "pii")); err != nil {
		t.Fatal(err)
	}
	await(t, "the series go with the keyring", func() bool { return g.encryptions(t) == `{keyring="sign",version="1"} 1` })
}

// A keyring whose document is not to be had is told by the probe; the routes go
// on, and so does the rest of the crypto API.
func TestReadyzTellsOfAMissingKeyring(t *testing.T) {
	t.Parallel()
	dir := keyFiles(t)
	if err := os.Remove(filepath.Join(dir, "crypto", "pii")); err != nil {
		t.Fatal(err)
	}
	g := start(t, cryptoHead(dir), nil)
	missing := `{"name":"keyring/pii","status":"unavailable","detail":"its document is not to be had, or no keyring"}`
	if a := send(t, "GET", g.Admin+"/readyz", ""); a.Status != http.StatusOK || !strings.Contains(a.Body, `{"status":"degraded"`) || !strings.Contains(a.Body, missing) || !strings.Contains(a.Body, `{"name":"keyring/sign","status":"ok"}`) {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if a := send(t, "GET", g.Admin+"/readyz?strict", ""); a.Status != http.StatusServiceUnavailable {
		t.Errorf("strict: %d", a.Status)
	}
}

// A reload takes away the series of a keyring that is no more; the others count
// on.
func TestReloadKeepsCountsOfKeyrings(t *testing.T) {
	t.Parallel()
	dir := keyFiles(t)
	g := startFile(t, cryptoHead(dir), nil)
	field(t, g.crypto(t, "/keyrings/pii/encrypt", `{"plaintext": "x"}`, "crypto:encrypt"), "ciphertext")
	field(t, g.crypto(t, "/keyrings/sign/mac", `{"data": "x"}`, "crypto:mac"), "mac")
	g.rewrite(t, strings.Replace(cryptoHead(dir), `  pii: {type: aes256-gcm, keys: "${secret:crypto/pii}"}`+"\n", "", 1))
	field(t, g.crypto(t, "/keyrings/sign/mac", `{"data": "x"}`, "crypto:mac"), "mac")
	if a := g.crypto(t, "/keyrings/pii/encrypt", `{"plaintext": "x"}`, "crypto:encrypt"); a.Status != 404 {
		t.Errorf("the keyring that is no more: %d", a.Status)
	}
	await(t, "its series to go", func() bool {
		return !strings.Contains(send(t, "GET", g.Admin+"/metrics", "").Body, `keyring="pii"`)
	})
	if got := g.encryptions(t); got != `{keyring="sign",version="1"} 2` {
		t.Errorf("counted %s", got)
	}
	g.rewrite(t, head+"routes:\n  - {name: a, path: /a, auth: public, upstream: \"http://127.0.0.1:1\"}\n")
	await(t, "the crypto API's series to go", func() bool {
		return !strings.Contains(send(t, "GET", g.Admin+"/metrics", "").Body, `route="(crypto)"`)
	})
}
