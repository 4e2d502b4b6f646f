package secrets_test

import (
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/peertest"
	"github.com/sallyport/sallyport/internal/secrets"
)

func TestVaultTokenFileIsReadAgainWhenItChanges(t *testing.T) {
	t.Parallel()
	peer := peertest.Vault(t)
	put(t, peer, "a", fields{"value": "x"})
	policy(t, peer, "reader", readSecret)
	reader := fields{"policies": []string{"reader"}}
	file := filepath.Join(t.TempDir(), "token")
	v := newVault(t, peer.Address, func(o *secrets.VaultOptions) {
		o.Auth.TokenFile = file // goes before the token of the environment
	})
	assertFails(t, v, "a", "token_file "+file+": no such file", secrets.ErrUnavailable)
	write(t, filepath.Dir(file), "token", " \n")
	assertFails(t, v, "a", "it is empty", secrets.ErrUnavailable)
	first, second := token(t, peer, reader), token(t, peer, reader)
	write(t, filepath.Dir(file), "token", " "+first+"\n")
	within(t, 5*time.Second, "the first token", func() bool { _, err := get(t, v, "a"); return err == nil })
	peer.Do(t, http.MethodPut, "auth/token/revoke", fields{"token": first})
	assertFails(t, v, "a", "expired or was revoked", secrets.ErrDenied)
	write(t, filepath.Dir(file), "token", second)
	assertGets(t, v, "a", "x")
	must(t, os.Remove(file))
	assertGets(t, v, "a", "x") // what has been read goes on
}

func TestVaultTokenIsRenewedAtTwoThirdsOfItsLife(t *testing.T) {
	t.Parallel()
	peer := peertest.Vault(t)
	put(t, peer, "a", fields{"value": "x"})
	policy(t, peer, "reader", readSecret)
	front := newFront(t, peer, nil)
	var out lines
	v := newVault(t, front.URL, func(o *secrets.VaultOptions) {
		o.Lookup = lookup(fields{"VAULT_TOKEN": token(t, peer, fields{"policies": []string{"reader"}, "ttl": "3s"})})
		o.Log = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	alive(t, v)
	for began := time.Now(); time.Since(began) < 7*time.Second; time.Sleep(50 * time.Millisecond) {
		assertGets(t, v, "a", "x")
	}
	if got := front.asked("auth/token/renew-self"); got < 2 || got > 4 { // each 2 s
		t.Errorf("renewed %d times in 7 s", got)
	}
	if got := front.asked("auth/token/lookup-self"); got != 1 {
		t.Errorf("looked up %d times", got)
	}
	if got := out.counting("level=WARN"); got != 0 {
		t.Errorf("%d warnings: %s", got, out.take())
	}
}

func TestVaultTokenThatCannotBeRenewedIsWarnedOf(t *testing.T) {
	t.Parallel()
	peer := peertest.Vault(t)
	put(t, peer, "a", fields{"value": "x"})
	policy(t, peer, "reader", readSecret)
	for name, f := range map[string]fields{
		"never":          {"ttl": "2s", "renewable": false},
		"up to an end":   {"ttl": "2s", "explicit_max_ttl": "3s"},
		"by its policy":  {"ttl": "2s", "no_default_policy": true},
		"once it is old": {"period": "1h", "explicit_max_ttl": "2s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out lines
			f["policies"] = []string{"reader"}
			v := newVault(t, peer.Address, func(o *secrets.VaultOptions) {
				o.Lookup = lookup(fields{"VAULT_TOKEN": token(t, peer, f)})
				o.Log = slog.New(slog.NewTextHandler(&out, nil))
			})
			alive(t, v)
			assertGets(t, v, "a", "x")
			within(t, 6*time.Second, "the end of the token", func() bool { _, err := get(t, v, "a"); return err != nil })
			assertFails(t, v, "a", "put a new one", secrets.ErrDenied)
			if got := out.counting("level=WARN"); got < 1 || got > 3 {
				t.Errorf("%d warnings: %s", got, out.take())
			}
		})
	}
}

func TestVaultAppRoleTokenIsRenewedAndReplacedWithoutAFailedRead(t *testing.T) {
	t.Parallel()
	peer := peertest.Vault(t)
	put(t, peer, "a", fields{"value": "x"})
	role := newRole(t, peer, fields{"token_ttl": "4s", "token_max_ttl": "8s"})
	front := newFront(t, peer, nil)
	var out lines
	v := newVault(t, front.URL, role.login(&out))
	alive(t, v)
	const watched = 10 * time.Second
	for began := time.Now(); time.Since(began) < watched; time.Sleep(20 * time.Millisecond) {
		assertGets(t, v, "a", "x")
	}
	logins, renewals := front.asked("auth/approle/login"), front.asked("auth/token/renew-self")
	if logins < 2 || logins > 3 || renewals < 2 || renewals > 6 {
		t.Errorf("%d logins, %d renewals in %v", logins, renewals, watched)
	}
	if got := out.counting("level=WARN"); got != 0 {
		t.Errorf("%d warnings: %s", got, out.take())
	}
	t.Logf("%d logins, %d renewals in %v", logins, renewals, watched)
}

func TestVaultLogsInAnewWhereTokensCannotBeRenewed(t *testing.T) {
	t.Parallel()
	peer := peertest.Vault(t)
	put(t, peer, "a", fields{"value": "x"})
	role := newRole(t, peer, fields{"token_type": "batch", "token_ttl": "3s"})
	front := newFront(t, peer, nil)
	v := newVault(t, front.URL, role.login(new(lines)))
	alive(t, v)
	for began := time.Now(); time.Since(began) < 7*time.Second; time.Sleep(50 * time.Millisecond) {
		assertGets(t, v, "a", "x")
	}
	if got := front.asked("auth/approle/login"); got < 3 || got > 5 { // each 2 s
		t.Errorf("%d logins in 7 s", got)
	}
	if got := front.asked("auth/token/renew-self"); got != 0 {
		t.Errorf("tried to renew %d times", got)
	}
}

func TestVaultWithoutRunLogsInWhenTheTokenHasDied(t *testing.T) {
	t.Parallel()
	peer := peertest.Vault(t)
	put(t, peer, "a", fields{"value": "x"})
	role := newRole(t, peer, fields{"token_ttl": "1s"})
	front := newFront(t, peer, nil)
	v := newVault(t, front.URL, role.login(new(lines)))
	for range 2 {
		assertGets(t, v, "a", "x")
		time.Sleep(1500 * time.Millisecond) // what is tested is that time goes by
	}
	assertGets(t, v, "a", "x")
	if got := front.asked("auth/approle/login"); got != 3 {
		t.Errorf("%d logins, want 3", got)
	}
}

func TestVaultLogsInOnceForAllWhoRead(t *testing.T) {
	t.Parallel()
	peer := peertest.Vault(t)
	put(t, peer, "a", fields{"value": "x"})
	role := newRole(t, peer, nil)
	front := newFront(t, peer, nil)
	v := newVault(t, front.URL, role.login(new(lines)))
	all := func() {
		var reads sync.WaitGroup
		for range 100 {
			reads.Go(func() { assertGets(t, v, "a", "x") })
		}
		reads.Wait()
	}
	all()
	if got := front.asked("auth/approle/login"); got != 1 {
		t.Errorf("%d logins, want 1", got)
	}
	time.Sleep(2 * time.Second) // a token is not taken for dead sooner
	role.revoke(t)
	all()
	if got := front.asked("auth/approle/login"); got != 2 {
		t.Errorf("%d logins after the token was revoked, want 2", got)
	}
}

// A token that is revoked fails no read.
func TestVaultTokenRevokedIsReplacedWithinTheRead(t *testing.T) {
	t.Parallel()
	peer := peertest.Vault(t)
	put(t, peer, "a", fields{"value": "x"})
	role := newRole(t, peer, nil)
	v := newVault(t, peer.Address, role.login(new(lines)))
	assertGets(t, v, "a", "x")
	for range 2 {
		time.Sleep(2 * time.Second) // as above
		role.revoke(t)
		began := time.Now()
		assertGets(t, v, "a", "x")
		t.Logf("back %v after the token was revoked", time.Since(began))
	}
	role.revoke(t) // at once: whether it is dead or has no rights is not clear yet
	assertFails(t, v, "a", "a moment ago", secrets.ErrUnavailable)
	took := within(t, 5*time.Second, "the secret", func() bool { _, err := get(t, v, "a"); return err == nil })
	t.Logf("back %v after a fresh token was revoked", took)
}

// Access is withdrawn; it costs no login, of which a secret id
// may have few.
func TestVaultPolicyWithdrawnIsDeniedWithoutALogin(t *testing.T) {
	t.Parallel()
	peer := peertest.Vault(t)
	put(t, peer, "app/a", fields{"value": "x"})
	role := newRole(t, peer, nil)
	front := newFront(t, peer, nil)
	v := newVault(t, front.URL, role.login(new(lines)))
	assertGets(t, v, "app/a", "x")
	policy(t, peer, "reader", `path "secret/data/other" { capabilities = ["read"] }`)
	for range 5 {
		assertFails(t, v, "app/a", `capability read on path "secret/data/app/a"`, secrets.ErrDenied)
	}
	assertFails(t, v, "missing", `"secret/data/missing"`, secrets.ErrDenied)
	policy(t, peer, "reader", readSecret)
	assertGets(t, v, "app/a", "x")
	if got := front.asked("auth/approle/login"); got != 1 {
		t.Errorf("%d logins, want 1", got)
	}
}

// Without the policy default a token cannot tell whether it lives.
func TestVaultTokenThatCannotLookItselfUp(t *testing.T) {
	t.Parallel()
	peer := peertest.Vault(t)
	put(t, peer, "app/a", fields{"value": "x"})
	role := newRole(t, peer, fields{"token_no_default_policy": true})
	policy(t, peer, "reader", `path "secret/data/app/*" { capabilities = ["read"] }`)
	front := newFront(t, peer, nil)
	v := newVault(t, front.URL, role.login(new(lines)))
	assertGets(t, v, "app/a", "x")
	assertFails(t, v, "other", "a moment ago", secrets.ErrUnavailable)
	time.Sleep(2 * time.Second) // a token is not taken for dead sooner
	for range 5 {
		assertFails(t, v, "other", `"secret/data/other"`, secrets.ErrDenied)
		assertGets(t, v, "app/a", "x")
	}
	if got := front.asked("auth/approle/login"); got != 2 {
		t.Errorf("%d logins, want 2: one showed that the token is not to blame", got)
	}
	time.Sleep(2 * time.Second)
	role.revoke(t)
	assertGets(t, v, "app/a", "x")
	policy(t, peer, "reader", readSecret)
	assertFails(t, v, "other", "not found", secrets.ErrNotFound)
}

// Vault locks a role for everybody after five logins it refused.
func TestVaultRefusedLoginIsNotRepeatedBeforeTheSecretIDChanges(t *testing.T) {
	t.Parallel()
	peer := peertest.Vault(t)
	put(t, peer, "a", fields{"value": "x"})
	role := newRole(t, peer, nil)
	front := newFront(t, peer, nil)
	var out lines
	good := role.secretID(t)
	role.write(t, "wrong-secret-id")
	v := newVault(t, front.URL, role.login(&out))
	alive(t, v)
	for _, bad := range []string{"wrong-secret-id", "another-wrong-one"} {
		role.write(t, bad)
		within(t, 5*time.Second, "the refusal", func() bool {
			_, err := get(t, v, "a")
			return err != nil && strings.Contains(err.Error(), "does not take role_id and the secret id in "+role.file)
		})
		logins := front.asked("auth/approle/login")
		for range 100 {
			assertFails(t, v, "a", "log in by approle", secrets.ErrDenied)
		}
		if got := front.asked("auth/approle/login"); got != logins {
			t.Errorf("%d logins more with the same secret id", got-logins)
		}
	}
	role.write(t, good)
	assertGets(t, v, "a", "x")
	if got := out.counting("no login to Vault"); got < 1 || got > 2 {
		t.Errorf("told %d times: %s", got, out.take())
	}
}

func TestVaultSecretIDThatIsUsedUpLeavesTheTokenInUse(t *testing.T) {
	t.Parallel()
	peer := peertest.Vault(t)
	put(t, peer, "a", fields{"value": "x"})
	role := newRole(t, peer, fields{"token_ttl": "2s", "token_max_ttl": "6s", "secret_id_num_uses": 1})
	front := newFront(t, peer, nil)
	v := newVault(t, front.URL, role.login(new(lines)))
	alive(t, v)
	for began := time.Now(); time.Since(began) < 5*time.Second; time.Sleep(20 * time.Millisecond) {
		assertGets(t, v, "a", "x")
	}
	within(t, 5*time.Second, "the end", func() bool { _, err := get(t, v, "a"); return err != nil })
	assertFails(t, v, "a", "write a new one", secrets.ErrDenied)
	if got := front.asked("auth/approle/login"); got > 3 {
		t.Errorf("%d logins", got)
	}
	role.write(t, role.secretID(t))
	assertGets(t, v, "a", "x")
}
