package secrets_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/peertest"
	"github.com/sallyport/sallyport/internal/secrets"
)

func TestVaultUnwrapsAWrappedSecretIDOnce(t *testing.T) {
	t.Parallel()
	peer := peertest.Vault(t)
	put(t, peer, "a", fields{"value": "x"})
	role := newRole(t, peer, nil)
	wrapped := func(path string) string {
		t.Helper()
		return wrap(t, peer, path)
	}
	front := newFront(t, peer, nil)
	v := newVault(t, front.URL, role.login(new(lines)))
	role.write(t, wrapped("auth/approle/role/app/secret-id"))
	assertGets(t, v, "a", "x")
	time.Sleep(2 * time.Second) // a token is not taken for dead sooner
	role.revoke(t)
	assertGets(t, v, "a", "x")
	if unwrapped, logins := front.asked("sys/wrapping/unwrap"), front.asked("auth/approle/login"); unwrapped != 1 || logins != 2 {
		t.Errorf("unwrapped %d times for %d logins, want 1 for 2", unwrapped, logins)
	}
	t.Run("used by another", func(t *testing.T) {
		stolen := wrapped("auth/approle/role/app/secret-id")
		peer.Do(t, http.MethodPut, "sys/wrapping/unwrap", fields{"token": stolen})
		role.write(t, stolen)
		assertFails(t, newVault(t, peer.Address, role.login(new(lines))), "a", "used before", secrets.ErrDenied)
	})
	t.Run("of something else", func(t *testing.T) {
		other := wrapped("auth/token/create")
		role.write(t, other)
		assertFails(t, newVault(t, peer.Address, role.login(new(lines))), "a", "something other than a secret id", secrets.ErrDenied)
		peer.Do(t, http.MethodPut, "sys/wrapping/unwrap", fields{"token": other}) // still for whom it is
	})
	t.Run("a secret id that looks like a token", func(t *testing.T) {
		own := "s.chosen-by-the-operator-itself"
		peer.Do(t, http.MethodPut, "auth/approle/role/app/custom-secret-id", fields{"secret_id": own})
		role.write(t, own)
		assertGets(t, newVault(t, peer.Address, role.login(new(lines))), "a", "x")
	})
}

// wrap returns a token that wraps the answer to a request.
func wrap(t *testing.T, peer *peertest.VaultPeer, path string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, peer.Address+"/v1/"+path, strings.NewReader("{}"))
	must(t, err)
	req.Header.Set("X-Vault-Token", peer.Token)
	req.Header.Set("X-Vault-Wrap-TTL", "60s")
	res, err := http.DefaultClient.Do(req)
	must(t, err)
	defer res.Body.Close()
	var answer struct {
		Wrap struct{ Token string } `json:"wrap_info"`
	}
	must(t, json.NewDecoder(res.Body).Decode(&answer))
	return answer.Wrap.Token
}

// The build of Vault that is tested against has no method kubernetes: that of
// jwt takes the same call.
func TestVaultKubernetesLoginShowsTheJWTAsItIsNow(t *testing.T) {
	t.Parallel()
	peer := peertest.Vault(t)
	put(t, peer, "a", fields{"value": "x"})
	policy(t, peer, "reader", readSecret)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	must(t, err)
	peer.Do(t, http.MethodPut, "sys/auth/team/cluster", fields{"type": "jwt"})
	peer.Do(t, http.MethodPut, "auth/team/cluster/config", fields{
		"jwt_validation_pubkeys": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
	})
	peer.Do(t, http.MethodPut, "auth/team/cluster/role/app", fields{
		"role_type": "jwt", "user_claim": "sub", "bound_audiences": "vault", "token_policies": "reader",
	})
	file := filepath.Join(t.TempDir(), "jwt")
	login := func(role, mount string) *secrets.Vault {
		return newVault(t, peer.Address, func(o *secrets.VaultOptions) {
			o.Auth = secrets.VaultAuth{Method: "kubernetes", Mount: mount, Role: role, JWTFile: file}
		})
	}
	v := login("app", "/team/cluster/")
	assertFails(t, v, "a", "jwt_file "+file, secrets.ErrUnavailable)
	write(t, filepath.Dir(file), "jwt", signed(t, key, time.Now().Add(2*time.Second))+"\n")
	within(t, 5*time.Second, "the first login", func() bool { _, err := get(t, v, "a"); return err == nil })
	time.Sleep(2 * time.Second) // a token is not taken for dead sooner
	write(t, filepath.Dir(file), "jwt", signed(t, key, time.Now().Add(time.Hour)))
	peer.Do(t, http.MethodPut, "sys/leases/revoke-prefix/auth/team/cluster", nil)
	assertGets(t, v, "a", "x")
	assertFails(t, login("other", "team/cluster"), "a", "is there the role other", secrets.ErrDenied)
	assertFails(t, login("app", "elsewhere"), "a", "enabled at auth/elsewhere/", secrets.ErrDenied)
	write(t, filepath.Dir(file), "jwt", signed(t, key, time.Now().Add(-time.Hour)))
	assertFails(t, login("app", "team/cluster"), "a", "does it fit the JWT in "+file, secrets.ErrDenied)
}

// signed returns a JWT by key (RFC 7518, section 3.4).
func signed(t *testing.T, key *ecdsa.PrivateKey, expires time.Time) string {
	t.Helper()
	b64 := base64.RawURLEncoding.EncodeToString
	text := b64([]byte(`{"alg":"ES256"}`)) + "." + b64(fmt.Appendf(nil, `{"sub":"app","aud":"vault","exp":%d,"nbf":%d,"iat":%[2]d}`,
		expires.Unix(), expires.Add(-time.Hour).Unix()))
	digest := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	must(t, err)
	return text + "." + b64(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

func TestVaultLoginFilesThatAreNone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, c := range map[string]struct {
		make func(path string) error
		word string
	}{
		"a folder":       {func(path string) error { return os.Mkdir(path, 0o700) }, "it is not a file"},
		"too large":      {func(path string) error { return os.WriteFile(path, make([]byte, 1<<20), 0o600) }, "larger than"},
		"two lines":      {func(path string) error { return os.WriteFile(path, []byte(canary+"\n"+canary), 0o600) }, "a space"},
		"not to be sent": {func(path string) error { return os.WriteFile(path, []byte(canary+"\x01"), 0o600) }, "cannot be sent"},
	} {
		path := filepath.Join(dir, name)
		must(t, c.make(path))
		v := newVault(t, "http://127.0.0.1:1", func(o *secrets.VaultOptions) { o.Auth.TokenFile = path })
		assertFails(t, v, "a", c.word, secrets.ErrUnavailable)
		_, err := get(t, v, "a")
		assertClean(t, name, fmt.Sprint(err))
	}
	var out lines
	path := filepath.Join(dir, "open")
	must(t, os.WriteFile(path, []byte("x"), 0o600))
	must(t, os.Chmod(path, 0o644))
	v := newVault(t, "http://127.0.0.1:1", func(o *secrets.VaultOptions) {
		o.Auth.TokenFile, o.Log = path, slog.New(slog.NewTextHandler(&out, nil))
	})
	for range 2 {
		assertFails(t, v, "a", "connection refused", secrets.ErrUnavailable)
	}
	if got := out.counting("open to every user"); got != 1 {
		t.Errorf("warned %d times of a file that all can read", got)
	}
}
