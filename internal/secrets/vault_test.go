package secrets_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/peertest"
	"github.com/sallyport/sallyport/internal/secrets"
)

func TestVaultReadsFieldsOfBothKVVersions(t *testing.T) {
	t.Parallel()
	peer := peertest.Vault(t)
	peer.Do(t, http.MethodPut, "sys/mounts/team/kv", fields{"type": "kv"})
	for path, f := range map[string]fields{
		"value":            {"value": "v", "user": "u"},
		"only":             {"password": "p"},
		"two":              {"user": "u", "password": "p"},
		"none":             {},
		"typed":            {"number": 12345678901234567890.0, "yes": true, "null": nil, "list": []string{"a"}, "object": fields{"a": "b"}},
		"number":           {"value": 1},
		"emptied":          {"value": "", "user": ""},
		"bytes":            {"value": " a\tb\r\n\x00é\U0001f511\n"},
		"a/b/c.d-e_f":      {"value": "deep"},
		"größe/ein zwei":   {"value": "named"},
		"100%/a?b=c&d;e":   {"value": "escaped"},
		"deep/" + "x/y/z+": {"ключ": "key"},
	} {
		put(t, peer, escaped(path), f)
		peer.Do(t, http.MethodPut, "team/kv/"+escaped(path), withOne(f))
	}
	for version, v := range map[string]*secrets.Vault{
		"2": newVault(t, peer.Address, nil),
		"1": newVault(t, peer.Address, func(o *secrets.VaultOptions) { o.Mount, o.KVVersion = "team/kv/", 1 }),
	} {
		for ref, want := range map[string]string{
			"value": "v", "value#user": "u", "value#value": "v", "only": "p", "only#password": "p",
			"two#user": "u", "two#password": "p", "bytes": " a\tb\r\n\x00é\U0001f511\n", "a/b/c.d-e_f": "deep",
			"größe/ein zwei": "named", "100%/a?b=c&d;e": "escaped", "deep/x/y/z+": "key", "deep/x/y/z+#ключ": "key",
		} {
			t.Run("version "+version+" "+ref, func(t *testing.T) { assertGets(t, v, ref, want) })
		}
		for ref, c := range map[string]struct {
			kind error
			word string
		}{
			"two":           {secrets.ErrInvalid, "PATH#FIELD"},
			"two#value":     {secrets.ErrNotFound, "no such field"},
			"only#x":        {secrets.ErrNotFound, "no such field"},
			"number":        {secrets.ErrInvalid, "not a string"},
			"typed#number":  {secrets.ErrInvalid, "not a string"},
			"typed#yes":     {secrets.ErrInvalid, "not a string"},
			"typed#null":    {secrets.ErrInvalid, "not a string"},
			"typed#list":    {secrets.ErrInvalid, "not a string"},
			"typed#object":  {secrets.ErrInvalid, "not a string"},
			"emptied":       {secrets.ErrEmpty, "empty"},
			"emptied#user":  {secrets.ErrEmpty, "empty"},
			"missing":       {secrets.ErrNotFound, "vault: read missing"},
			"a":             {secrets.ErrNotFound, "vault: read a"},
			"value/below":   {secrets.ErrNotFound, "vault: read value/below"},
			"../kv/value":   {secrets.ErrInvalid, "dots"},
			"a/../value":    {secrets.ErrInvalid, "dots"},
			"./value":       {secrets.ErrInvalid, "dots"},
			"/value":        {secrets.ErrInvalid, "empty segment"},
			"value/":        {secrets.ErrInvalid, "empty segment"},
			"a//b":          {secrets.ErrInvalid, "empty segment"},
			"":              {secrets.ErrInvalid, "empty segment"},
			"missing#field": {secrets.ErrNotFound, "vault: read missing"},
		} {
			t.Run("version "+version+" "+ref, func(t *testing.T) { assertFails(t, v, ref, c.word, c.kind) })
		}
	}
	assertFails(t, newVault(t, peer.Address, nil), "none", "no fields", secrets.ErrEmpty)
	assertFails(t, newVault(t, peer.Address, nil), "none#user", "no such field", secrets.ErrNotFound)
}

// escaped is path as it stands in a URL.
func escaped(path string) string {
	return strings.NewReplacer("%", "%25", "?", "%3F", " ", "%20", ";", "%3B", "ß", "%C3%9F", "ö", "%C3%B6").Replace(path)
}

// withOne is f, or one field where there are none: KV version 1 keeps no empty
// secret.
func withOne(f fields) fields {
	if len(f) == 0 {
		return fields{"value": "v"}
	}
	return f
}

func TestVaultVersionThatIsGoneIsNotFound(t *testing.T) {
	t.Parallel()
	peer := peertest.Vault(t)
	v := newVault(t, peer.Address, nil)
	put(t, peer, "a", fields{"value": "first"})
	put(t, peer, "a", fields{"value": "second"})
	assertGets(t, v, "a", "second")
	peer.Do(t, http.MethodDelete, "secret/data/a", nil)
	assertFails(t, v, "a", "version 2, the newest, was deleted", secrets.ErrNotFound)
	peer.Do(t, http.MethodPut, "secret/undelete/a", fields{"versions": []int{2}})
	assertGets(t, v, "a", "second")
	peer.Do(t, http.MethodPut, "secret/destroy/a", fields{"versions": []int{2}})
	assertFails(t, v, "a", "version 2, the newest, was destroyed", secrets.ErrNotFound)
	put(t, peer, "a", fields{"value": "third"})
	assertGets(t, v, "a", "third")
	peer.Do(t, http.MethodDelete, "secret/metadata/a", nil)
	assertFails(t, v, "a", "vault: read a", secrets.ErrNotFound)
}

// All paths seem empty where the version is the wrong one: to take that for
// "not found" would go on to the next backend, and take values away.
func TestVaultTellsAWrongMountFromAMissingSecret(t *testing.T) {
	t.Parallel()
	peer := peertest.Vault(t)
	peer.Do(t, http.MethodPut, "sys/mounts/old", fields{"type": "kv", "options": fields{"version": "1"}})
	peer.Do(t, http.MethodPut, "old/a", fields{"value": "x"})
	put(t, peer, "a", fields{"value": "x"})
	policy(t, peer, "old", `path "old/*" { capabilities = ["read"] }`)
	for name, c := range map[string]struct {
		mount   string
		version int
		word    string
	}{
		"version 2 of a mount of 1": {"old", 2, "set kv_version: 1"},
		"version 1 of a mount of 2": {"secret", 1, "set kv_version: 2"},
		"no mount":                  {"nothing", 2, "nothing mounted at nothing/"},
		"no mount, version 1":       {"nothing", 1, "nothing mounted at nothing/"},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVault(t, peer.Address, func(o *secrets.VaultOptions) { o.Mount, o.KVVersion = c.mount, c.version })
			assertFails(t, v, "a", c.word, secrets.ErrInvalid)
		})
	}
	t.Run("seen by a token that may only read", func(t *testing.T) {
		v := newVault(t, peer.Address, func(o *secrets.VaultOptions) {
			o.Mount, o.Lookup = "old", lookup(fields{"VAULT_TOKEN": token(t, peer, fields{"policies": []string{"old"}})})
		})
		assertFails(t, v, "a", "set kv_version: 1", secrets.ErrInvalid)
	})
	t.Run("asked once", func(t *testing.T) {
		front := newFront(t, peer, nil)
		v := newVault(t, front.URL, nil)
		for range 3 {
			assertFails(t, v, "missing", "not found", secrets.ErrNotFound)
		}
		if got := front.asked("sys/internal/ui/mounts/secret"); got != 1 {
			t.Errorf("asked for the version %d times", got)
		}
	})
}

func TestVaultSendsTheNamespace(t *testing.T) {
	t.Parallel()
	peer := peertest.Vault(t)
	role := newRole(t, peer, nil)
	put(t, peer, "a", fields{"value": "x"})
	for name, change := range map[string]func(*secrets.VaultOptions){
		"as configured":        func(o *secrets.VaultOptions) { o.Namespace = "/team/app/" },
		"from the environment": func(o *secrets.VaultOptions) { o.Lookup = lookup(fields{"VAULT_NAMESPACE": "team/app"}) },
	} {
		t.Run(name, func(t *testing.T) {
			front := newFront(t, peer, func(r *http.Request) { r.Header.Del("X-Vault-Namespace") }) // which this edition of Vault has not
			v := newVault(t, front.URL, func(o *secrets.VaultOptions) { role.login(new(lines))(o); change(o) })
			assertGets(t, v, "a", "x")
			for _, r := range front.seen {
				if got := r.Header.Get("X-Vault-Namespace"); got != "team/app" {
					t.Errorf("%s: namespace %q", r.URL.Path, got)
				}
			}
		})
	}
}

func TestVaultTakesFourVariablesFromTheEnvironmentAndNoMore(t *testing.T) {
	peer := peertest.Vault(t)
	put(t, peer, "a", fields{"value": "x"})
	elsewhere := newFront(t, peer, nil)
	for name, value := range map[string]string{
		"VAULT_ADDR": elsewhere.URL, "VAULT_AGENT_ADDR": elsewhere.URL, "VAULT_TOKEN": "wrong", "VAULT_NAMESPACE": "wrong",
		"VAULT_HEADERS": `{"X-Extra": "wrong"}`, "VAULT_WRAP_TTL": "60s", "VAULT_RATE_LIMIT": "0.0001:1", "VAULT_MAX_RETRIES": "9",
		"VAULT_HTTP_PROXY": elsewhere.URL, "VAULT_PROXY_ADDR": elsewhere.URL, "HTTP_PROXY": elsewhere.URL, "VAULT_CLIENT_TIMEOUT": "1ns",
		"VAULT_TLS_SERVER_NAME": "wrong", "VAULT_SKIP_VERIFY": "true", "VAULT_DISABLE_REDIRECTS": "true", "VAULT_SRV_LOOKUP": "true",
		"VAULT_MFA": "wrong",
	} {
		t.Setenv(name, value)
	}
	front := newFront(t, peer, nil)
	v := newVault(t, front.URL, nil)
	for range 3 {
		assertGets(t, v, "a", "x")
	}
	for _, r := range front.seen {
		got := r.Header.Clone()
		for name, want := range map[string]string{"X-Vault-Token": "root", "X-Vault-Request": "true"} {
			if got.Get(name) != want {
				t.Errorf("%s: %s is %q", r.URL.Path, name, got.Get(name))
			}
			got.Del(name)
		}
		for name := range got {
			if strings.HasPrefix(name, "X-") {
				t.Errorf("%s: %s: %s", r.URL.Path, name, got.Get(name))
			}
		}
	}
	if len(elsewhere.seen) > 0 {
		t.Errorf("%s was asked at the address of the environment", elsewhere.seen[0].URL.Path)
	}
	assertGets(t, newVault(t, "", func(o *secrets.VaultOptions) {
		o.Lookup = lookup(fields{"VAULT_ADDR": front.URL, "VAULT_TOKEN": "root"})
	}), "a", "x")
	t.Setenv("VAULT_SKIP_VERIFY", "maybe")
	_, err := secrets.NewVault(secrets.VaultOptions{Address: front.URL, Lookup: lookup(fields{"VAULT_TOKEN": "root"})})
	assertError(t, "a variable the library cannot read", err, "unset the VAULT_ variables", secrets.ErrInvalid)
}

func TestVaultOptionsAreChecked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage")
	must(t, os.WriteFile(garbage, []byte(canary), 0o600))
	for name, c := range map[string]struct {
		change func(*secrets.VaultOptions)
		word   string
	}{
		"no address":           {func(o *secrets.VaultOptions) { o.Address = "" }, "VAULT_ADDR"},
		"no URL":               {func(o *secrets.VaultOptions) { o.Address = "vault:8200" }, "must be a URL"},
		"no host":              {func(o *secrets.VaultOptions) { o.Address = "https://:8200" }, "must be a URL"},
		"another scheme":       {func(o *secrets.VaultOptions) { o.Address = "unix:///run/vault" }, "must be a URL"},
		"a password":           {func(o *secrets.VaultOptions) { o.Address = "https://u:" + canary + "@vault" }, "must have no user"},
		"a query":              {func(o *secrets.VaultOptions) { o.Address = "https://vault/?t=" + canary }, "must have no user, query"},
		"http":                 {func(o *secrets.VaultOptions) { o.Address = "http://vault:8200" }, "use https"},
		"http, like loopback":  {func(o *secrets.VaultOptions) { o.Address = "http://127.0.0.1.example.com" }, "use https"},
		"KV version 3":         {func(o *secrets.VaultOptions) { o.KVVersion = 3 }, "must be 1 or 2"},
		"a mount with dots":    {func(o *secrets.VaultOptions) { o.Mount = "../sys" }, "mount"},
		"a bad namespace":      {func(o *secrets.VaultOptions) { o.Namespace = "a\nb" }, "namespace"},
		"a bad auth mount":     {func(o *secrets.VaultOptions) { o.Auth.Mount = "a/../b" }, "auth: mount"},
		"no token":             {func(o *secrets.VaultOptions) { o.Lookup = lookup(nil) }, "set VAULT_TOKEN or token_file"},
		"a token in two words": {func(o *secrets.VaultOptions) { o.Lookup = lookup(fields{"VAULT_TOKEN": canary + " " + canary}) }, "VAULT_TOKEN has a space"},
		"an unknown method":    {func(o *secrets.VaultOptions) { o.Auth.Method = "ldap" }, "token, approle or kubernetes"},
		"no role id":           {func(o *secrets.VaultOptions) { o.Auth = secrets.VaultAuth{Method: "approle", SecretIDFile: "x"} }, "role_id"},
		"no secret id":         {func(o *secrets.VaultOptions) { o.Auth = secrets.VaultAuth{Method: "approle", RoleID: "x"} }, "secret_id_file"},
		"no role":              {func(o *secrets.VaultOptions) { o.Auth = secrets.VaultAuth{Method: "kubernetes"} }, "needs role"},
		"no such authorities":  {func(o *secrets.VaultOptions) { o.CAFile = filepath.Join(dir, "none") }, "no such file"},
		"no authorities in it": {func(o *secrets.VaultOptions) { o.CAFile = garbage }, "no PEM"},
		"authorities by the environment": {func(o *secrets.VaultOptions) {
			o.Lookup = lookup(fields{"VAULT_TOKEN": "x", "VAULT_CACERT": garbage})
		}, "no PEM"},
		"a certificate without a key": {func(o *secrets.VaultOptions) { o.CertFile = garbage }, "cert_file"},
		"no certificate":              {func(o *secrets.VaultOptions) { o.CertFile, o.KeyFile = garbage, garbage }, "cert_file"},
	} {
		t.Run(name, func(t *testing.T) {
			o := secrets.VaultOptions{Address: "https://vault:8200", Lookup: lookup(fields{"VAULT_TOKEN": "root"})}
			c.change(&o)
			_, err := secrets.NewVault(o)
			assertError(t, name, err, c.word, secrets.ErrInvalid)
			assertClean(t, name, fmt.Sprint(err))
		})
	}
	for _, address := range []string{"http://127.0.0.1:8200", "http://[::1]:8200/", "http://localhost", "http://127.9.9.9", "https://vault/prefix/"} {
		newVault(t, address, nil)
	}
	newVault(t, "http://vault:8200", func(o *secrets.VaultOptions) { o.AllowInsecureHTTP = true })
}

func TestVaultBehindAPathPrefix(t *testing.T) {
	t.Parallel()
	peer := peertest.Vault(t)
	put(t, peer, "a", fields{"value": "x"})
	front := newFront(t, peer, func(r *http.Request) { r.URL.Path = strings.TrimPrefix(r.URL.Path, "/vault") })
	assertGets(t, newVault(t, front.URL+"/vault/", nil), "a", "x")
}

func TestVaultIsAWriterAListerAndARunner(t *testing.T) {
	t.Parallel()
	v := newVault(t, "https://vault", nil)
	var _ interface {
		secrets.Backend
		secrets.Writer
		secrets.Lister
		secrets.Runner
	} = v
	if v.Name() != "vault" {
		t.Errorf("it is called %q", v.Name())
	}
}

func TestVaultChainGoesOnOnlyWhereVaultHasNothing(t *testing.T) {
	t.Parallel()
	peer := peertest.Vault(t)
	put(t, peer, "both", fields{"value": "vault"})
	put(t, peer, "deleted", fields{"value": "vault"})
	peer.Do(t, http.MethodDelete, "secret/data/deleted", nil)
	env := secrets.NewEnv("", lookup(fields{"BOTH": "env", "DELETED": "env", "OTHER": "env"}))
	both := secrets.Chain(newVault(t, peer.Address, nil), env)
	for ref, want := range map[string]string{"both": "vault", "deleted": "env", "other": "env"} {
		assertGets(t, both, ref, want)
	}
	wrong := secrets.Chain(newVault(t, peer.Address, func(o *secrets.VaultOptions) { o.Mount = "nothing" }), env)
	assertFails(t, wrong, "other", "nothing mounted", secrets.ErrInvalid)
	peer.Stop()
	assertFails(t, both, "other", "connection refused", secrets.ErrUnavailable)
}

func TestVaultReadEndsWithItsContext(t *testing.T) {
	t.Parallel()
	peer := peertest.Vault(t)
	proxy := peertest.NewFaultProxy(t, peer.Address)
	proxy.Hang()
	v := newVault(t, "http://"+proxy.Address, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { _, err := v.Read(ctx, "a"); done <- err }()
	within(t, 5e9, "the request", func() bool { return proxy.Connections() > 0 })
	cancel()
	assertError(t, "cancelled", <-done, "canceled", secrets.ErrUnavailable, context.Canceled)
}

func TestVaultDocumentDoesNotPrintItself(t *testing.T) {
	t.Parallel()
	peer := peertest.Vault(t)
	put(t, peer, "a", fields{"value": canary, "user": canary})
	v := newVault(t, peer.Address, nil)
	doc, err := v.Read(t.Context(), "a")
	must(t, err)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		assertClean(t, verb, fmt.Sprintf(verb, doc))
	}
}
