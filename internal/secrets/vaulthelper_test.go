package secrets_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/peertest"
	"github.com/sallyport/sallyport/internal/secrets"
)

// fields are those of a secret, or of any body for Vault.
type fields = map[string]any

// newVault returns a Vault at address with the root token, unless change says
// otherwise, that takes nothing from the environment of the test.
func newVault(t *testing.T, address string, change func(*secrets.VaultOptions)) *secrets.Vault {
	t.Helper()
	o := secrets.VaultOptions{Address: address, Lookup: lookup(fields{"VAULT_TOKEN": "root"})}
	if change != nil {
		change(&o)
	}
	v, err := secrets.NewVault(o)
	must(t, err)
	return v
}

func lookup(variables fields) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := variables[name].(string)
		return value, ok
	}
}

// put writes a secret into the KV version 2 at secret/.
func put(t *testing.T, peer *peertest.VaultPeer, path string, f fields) {
	t.Helper()
	peer.Do(t, http.MethodPut, "secret/data/"+path, fields{"data": f})
}

// held returns the fields of a secret of KV version 2.
func held(t *testing.T, peer *peertest.VaultPeer, path string) fields {
	t.Helper()
	return peer.Do(t, http.MethodGet, "secret/data/"+path, nil)["data"].(fields)["data"].(fields)
}

func get(t *testing.T, b secrets.Backend, ref string) (string, error) {
	t.Helper()
	path, field, _ := strings.Cut(ref, "#")
	secret, err := secrets.Get(t.Context(), b, secrets.Reference{Path: path, Field: field})
	return secret.Reveal(), err
}

// assertGets fails unless ref is want now.
func assertGets(t *testing.T, b secrets.Backend, ref, want string) {
	t.Helper()
	if got, err := get(t, b, ref); err != nil || got != want {
		t.Errorf("%s is %q, %v; want %q", ref, got, err, want)
	}
}

// assertFails fails unless a read of ref ends with an error that is all of want,
// on one line, with that word in it.
func assertFails(t *testing.T, b secrets.Backend, ref, word string, want ...error) {
	t.Helper()
	_, err := get(t, b, ref)
	assertError(t, ref, err, word, want...)
}

func assertError(t *testing.T, what string, err error, word string, want ...error) {
	t.Helper()
	for _, kind := range want {
		if !errors.Is(err, kind) {
			t.Errorf("%s: %v, want %v", what, err, kind)
		}
	}
	if err == nil || !strings.Contains(err.Error(), word) || strings.ContainsAny(err.Error(), "\n\r") {
		t.Errorf("%s: %v, want one line with %q", what, err, word)
	}
}

const readSecret = `path "secret/data/*" { capabilities = ["read"] }`

func policy(t *testing.T, peer *peertest.VaultPeer, name, text string) {
	t.Helper()
	peer.Do(t, http.MethodPut, "sys/policies/acl/"+name, fields{"policy": text})
}

// token returns a new token with these properties.
func token(t *testing.T, peer *peertest.VaultPeer, f fields) string {
	t.Helper()
	return peer.Do(t, http.MethodPut, "auth/token/create", f)["auth"].(fields)["client_token"].(string)
}

// A role is one of AppRole, with a secret id in a file.
type role struct {
	peer *peertest.VaultPeer
	id   string
	file string
}

// newRole makes a role that may read secret/, unless f says otherwise.
func newRole(t *testing.T, peer *peertest.VaultPeer, f fields) *role {
	t.Helper()
	peer.Do(t, http.MethodPut, "sys/auth/approle", fields{"type": "approle"})
	policy(t, peer, "reader", readSecret)
	all := fields{"token_policies": "reader"}
	for name, value := range f {
		all[name] = value
	}
	peer.Do(t, http.MethodPut, "auth/approle/role/app", all)
	r := &role{peer: peer, file: filepath.Join(t.TempDir(), "secret-id")}
	r.id = peer.Do(t, http.MethodGet, "auth/approle/role/app/role-id", nil)["data"].(fields)["role_id"].(string)
	r.write(t, r.secretID(t))
	return r
}

func (r *role) secretID(t *testing.T) string {
	t.Helper()
	return r.peer.Do(t, http.MethodPut, "auth/approle/role/app/secret-id", nil)["data"].(fields)["secret_id"].(string)
}

func (r *role) write(t *testing.T, text string) {
	t.Helper()
	write(t, filepath.Dir(r.file), filepath.Base(r.file), text+"\n")
}

// login sets the options to log in by the role, and to log to out.
func (r *role) login(out *lines) func(*secrets.VaultOptions) {
	return func(o *secrets.VaultOptions) {
		o.Auth = secrets.VaultAuth{Method: "approle", RoleID: r.id, SecretIDFile: r.file}
		o.Log = slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
}

// revoke ends all tokens that were given by the role.
func (r *role) revoke(t *testing.T) {
	t.Helper()
	r.peer.Do(t, http.MethodPut, "sys/leases/revoke-prefix/auth/approle", nil)
}

// alive runs v in the background until the test ends.
func alive(t *testing.T, v secrets.Runner) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// within waits until is holds, and returns how long that took.
func within(t *testing.T, limit time.Duration, what string, is func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !is() {
		if time.Since(began) > limit {
			t.Fatalf("%s: not within %v", what, limit)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(began)
}

// A front stands before a Vault and sees the requests, which before may change.
type front struct {
	*httptest.Server
	before func(*http.Request)

	mu   sync.Mutex
	seen []*http.Request
}

func newFront(t *testing.T, peer *peertest.VaultPeer, before func(*http.Request)) *front {
	t.Helper()
	to, err := url.Parse(peer.Address)
	must(t, err)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	f := &front{before: before}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.seen = append(f.seen, r.Clone(context.Background()))
		f.mu.Unlock()
		if f.before != nil {
			f.before(r)
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(f.Close)
	return f
}

// asked counts the requests to a path of the API.
func (f *front) asked(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, r := range f.seen {
		if r.URL.Path == "/v1/"+path {
			n++
		}
	}
	return n
}

// counting counts the lines with that word among those logged so far.
func (l *lines) counting(word string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, line := range l.all {
		if strings.Contains(line, word) {
			n++
		}
	}
	return n
}
