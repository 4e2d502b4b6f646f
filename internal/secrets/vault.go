package secrets

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/api"
	"golang.org/x/sync/singleflight"

	"github.com/sallyport/sallyport/internal/telemetry"
)

const (
	// vaultTimeout bounds a read, a login and each other call, all in all.
	vaultTimeout = 5 * time.Second
	// maxVaultAnswer bounds what Vault may answer, and what is written, in bytes.
	maxVaultAnswer = 1 << 20
)

// VaultOptions say where a Vault is and how to log in.
type VaultOptions struct {
	Address   string // empty: VAULT_ADDR
	Namespace string // empty: VAULT_NAMESPACE
	Mount     string // of the KV secrets engine; empty: secret
	KVVersion int    // 1 or 2; zero: 2
	Auth      VaultAuth

	CAFile            string // certificate authorities; empty: VAULT_CACERT, else the system's
	CertFile, KeyFile string // the client's certificate, read anew for each connection
	AllowInsecureHTTP bool   // else http is for loopback alone

	Lookup func(string) (string, bool) // of environment variables; nil means os.LookupEnv
	Now    func() time.Time            // nil means time.Now
	Log    *slog.Logger                // nil means none
}

// VaultAuth is how to log in.
type VaultAuth struct {
	Method string // token, approle or kubernetes; empty: token
	Mount  string // where the method is enabled; empty: at its own name

	TokenFile    string // token: looked at before each read; empty: VAULT_TOKEN
	RoleID       string // approle
	SecretIDFile string // approle: the secret id, or a token that wraps one
	Role         string // kubernetes
	JWTFile      string // kubernetes; empty: the service account's
}

// Vault reads secrets from the KV secrets engine, version 1 or 2, of a HashiCorp
// Vault. Without a field, a secret is its field value, or the only one it has.
//
// It logs in when it is first asked, and anew when the token has died; Run
// renews the token at two thirds of its life. Of the environment it takes
// VAULT_ADDR, VAULT_NAMESPACE, VAULT_TOKEN and VAULT_CACERT, and nothing else
// that the Vault library would read.
type Vault struct {
	mount     string
	version   int
	namespace string
	config    *api.Config
	method    vaultMethod
	now       func() time.Time
	log       *slog.Logger

	known  atomic.Bool        // the mount was seen to be of version 2
	logins singleflight.Group // one login or renewal at a time
	wake   chan struct{}      // full while Run has not seen the newest token

	mu      sync.Mutex
	current *vaultToken
	failure vaultFailure
	denied  map[string]bool // paths that a token fresh from its login may not read
}

// NewVault returns a Vault. It asks nothing yet.
func NewVault(o VaultOptions) (*Vault, error) {
	if o.Lookup == nil {
		o.Lookup = os.LookupEnv
	}
	env := func(name string) string { value, _ := o.Lookup(name); return value }
	o.Address = cmp.Or(o.Address, env("VAULT_ADDR"))
	o.Namespace = strings.Trim(cmp.Or(o.Namespace, env("VAULT_NAMESPACE")), "/")
	o.Mount = strings.Trim(cmp.Or(o.Mount, "secret"), "/")
	o.Auth.Mount = strings.Trim(o.Auth.Mount, "/")
	o.CAFile = cmp.Or(o.CAFile, env("VAULT_CACERT"))
	v := &Vault{
		mount:     o.Mount,
		version:   cmp.Or(o.KVVersion, 2),
		namespace: o.Namespace,
		now:       o.Now,
		log:       o.Log,
		wake:      make(chan struct{}, 1),
		denied:    make(map[string]bool),
	}
	if v.now == nil {
		v.now = time.Now
	}
	v.log = telemetry.Discard(v.log)
	var err error
	switch {
	case v.version != 1 && v.version != 2:
		return nil, fmt.Errorf("vault: kv_version %d: %w: must be 1 or 2", v.version, ErrInvalid)
	case !goodVaultPath(o.Mount):
		return nil, fmt.Errorf("vault: mount: %w: must be a path such as secret", ErrInvalid)
	case o.Namespace != "" && !goodVaultPath(o.Namespace):
		return nil, fmt.Errorf("vault: namespace: %w: must be a path such as team/app", ErrInvalid)
	}
	if v.config, err = newVaultConfig(o, v.now); err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	if v.method, err = newVaultMethod(o.Auth, env, v.log); err != nil {
		return nil, fmt.Errorf("vault: auth: %w", err)
	}
	if _, err = v.client(""); err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	return v, nil
}

// Name returns vault.
func (v *Vault) Name() string { return "vault" }

// client returns a client that shows token. Each token has one of its own, so
// that none is changed while requests go on. NewClient takes a token, headers
// and a namespace from the environment, whatever it is given: so all are set.
func (v *Vault) client(token string) (*api.Client, error) {
	c, err := api.NewClient(v.config)
	if err != nil {
		return nil, fmt.Errorf("%w: the Vault library cannot read the environment: unset the VAULT_ variables but for VAULT_ADDR, VAULT_NAMESPACE, VAULT_TOKEN and VAULT_CACERT", ErrInvalid)
	}
	c.SetHeaders(http.Header{api.RequestHeaderName: {"true"}}) // Vault's agents may insist on it
	c.SetNamespace(v.namespace)
	c.SetWrappingLookupFunc(func(string, string) string { return "" })
	c.SetToken(token)
	return c, nil
}

// Read returns the fields of the secret at path. A version that was deleted or
// destroyed is [ErrNotFound].
func (v *Vault) Read(ctx context.Context, path string) (Document, error) {
	held, err := v.look(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("vault: read %s: %w", path, err)
	}
	doc := vaultDocument{path: path, fields: make(map[string]vaultField, len(held.fields))}
	for name, value := range held.fields {
		text, ok := value.(string)
		doc.fields[name] = vaultField{NewSecret(text), ok}
	}
	return doc, nil
}

// vaultDocument is the fields of one version of a secret.
type vaultDocument struct {
	path   string
	fields map[string]vaultField
}

type vaultField struct {
	secret Secret
	text   bool // else it is a number, a list, …
}

// Field implements [Document].
func (d vaultDocument) Field(name string) (Secret, error) {
	secret, err := d.field(name)
	if err != nil {
		return Secret{}, fmt.Errorf("vault: read %s: %w", Reference{Path: d.path, Field: name}, err)
	}
	return secret, nil
}

func (d vaultDocument) field(name string) (Secret, error) {
	chosen := cmp.Or(name, vaultDefault(d.fields))
	field, ok := d.fields[chosen]
	switch {
	case !ok && name != "":
		return Secret{}, fmt.Errorf("%w: there is no such field", ErrNotFound)
	case len(d.fields) == 0:
		return Secret{}, fmt.Errorf("%w: it has no fields", ErrEmpty)
	case !ok:
		return Secret{}, fmt.Errorf("%w: none of its %d fields is called value: name one, as in PATH#FIELD", ErrInvalid, len(d.fields))
	case !field.text:
		return Secret{}, fmt.Errorf("%w: the field is not a string", ErrInvalid)
	case field.secret.Empty():
		return Secret{}, ErrEmpty
	}
	return field.secret, nil
}

// vaultDefault names the field that is meant where none is named: value, or
// the only one.
func vaultDefault[T any](fields map[string]T) string {
	if len(fields) == 1 {
		for only := range fields {
			return only
		}
	}
	return "value"
}

// at returns the API's path of a secret or a folder; kind is data or metadata,
// which are one in version 1.
func (v *Vault) at(kind, path string) string {
	if v.version == 1 {
		return v.mount + "/" + path
	}
	return v.mount + "/" + kind + "/" + path
}

// goodVaultPath reports whether the library sends path as it is: it cleans
// paths, so that with .. one would leave the mount.
func goodVaultPath(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return false
		}
	}
	return faultOf(path) == ""
}
