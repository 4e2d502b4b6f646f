package secrets

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/hashicorp/vault/api/auth/approle"
	"github.com/hashicorp/vault/api/auth/kubernetes"
)

// serviceAccount is where Kubernetes mounts a pod's own token.
const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount/token"

// vaultMethod is a way to log in. The calls of logIn come one at a time.
type vaultMethod interface {
	name() string
	// proof is what the login shows, as it stands now.
	proof() (Secret, error)
	// logIn shows it, by a client without a token that is this login's own.
	logIn(ctx context.Context, c *api.Client, proof Secret) (vaultGrant, error)
}

// vaultGrant is the token that a login gave.
type vaultGrant struct {
	token     Secret
	life      time.Duration // from the login on; zero: no end
	renewable bool
	unsure    bool // whether the token is any good was not to be learned
}

func newVaultMethod(a VaultAuth, env func(string) string, log *slog.Logger) (vaultMethod, error) {
	if a.Mount != "" && !goodVaultPath(a.Mount) {
		return nil, fmt.Errorf("mount: %w: must be a path such as approle", ErrInvalid)
	}
	switch a.Method {
	case "", "token":
		if a.TokenFile != "" {
			return &tokenLogin{file: &proofFile{key: "token_file", path: a.TokenFile, log: log}}, nil
		}
		switch text := strings.TrimSpace(env("VAULT_TOKEN")); {
		case text == "":
			return nil, fmt.Errorf("method token: %w: there is no token: set VAULT_TOKEN or token_file", ErrInvalid)
		case strings.ContainsFunc(text, notSendable):
			return nil, fmt.Errorf("method token: %w: VAULT_TOKEN has a space, or a character that cannot be sent", ErrInvalid)
		default:
			return &tokenLogin{fixed: NewSecret(text)}, nil
		}
	case "approle":
		if a.RoleID == "" || a.SecretIDFile == "" {
			return nil, fmt.Errorf("method approle: %w: needs role_id and secret_id_file", ErrInvalid)
		}
		return &appRole{mount: cmp.Or(a.Mount, "approle"), roleID: a.RoleID, file: proofFile{key: "secret_id_file", path: a.SecretIDFile, log: log}}, nil
	case "kubernetes":
		if a.Role == "" {
			return nil, fmt.Errorf("method kubernetes: %w: needs role", ErrInvalid)
		}
		// Without a log, for Kubernetes lets all of a pod read it.
		return &kubernetesLogin{mount: cmp.Or(a.Mount, "kubernetes"), role: a.Role, file: proofFile{key: "jwt_file", path: cmp.Or(a.JWTFile, serviceAccount)}}, nil
	}
	return nil, fmt.Errorf("method: %w: must be token, approle or kubernetes", ErrInvalid)
}

// tokenLogin takes a token as it is: the login is only a look at how long it
// lives.
type tokenLogin struct {
	fixed Secret
	file  *proofFile // nil: fixed
}

func (t *tokenLogin) name() string { return "token" }

func (t *tokenLogin) proof() (Secret, error) {
	if t.file == nil {
		return t.fixed, nil
	}
	return t.file.read()
}

func (t *tokenLogin) logIn(ctx context.Context, c *api.Client, proof Secret) (vaultGrant, error) {
	c.SetToken(proof.Reveal())
	secret, err := c.Auth().Token().LookupSelfWithContext(ctx)
	if vaultStatus(err) == http.StatusForbidden {
		return vaultGrant{token: proof, unsure: true}, nil // it may yet do what it is for
	}
	if err != nil {
		return vaultGrant{}, err
	}
	life, err := secret.TokenTTL()
	if err != nil {
		return vaultGrant{}, err
	}
	renewable, err := secret.TokenIsRenewable()
	return vaultGrant{token: proof, life: life, renewable: renewable}, err
}

// appRole logs in by role id and secret id.
type appRole struct {
	mount, roleID string
	file          proofFile

	wrapping, unwrapped Secret // the last token that wrapped a secret id, and that
}

func (a *appRole) name() string { return "approle" }

func (a *appRole) proof() (Secret, error) { return a.file.read() }

func (a *appRole) logIn(ctx context.Context, c *api.Client, proof Secret) (vaultGrant, error) {
	id, err := a.secretID(ctx, c, proof)
	if err != nil {
		return vaultGrant{}, err
	}
	c.ClearToken() // Vault refuses even a login that shows a token which has died
	login, err := approle.NewAppRoleAuth(a.roleID, &approle.SecretID{FromString: id.Reveal()}, approle.WithMountPath(a.mount))
	if err != nil {
		return vaultGrant{}, fmt.Errorf("%w: role_id and secret_id_file must not be empty", ErrInvalid)
	}
	secret, err := login.Login(ctx, c)
	if refused(err) {
		return vaultGrant{}, a.refused(vaultStatus(err), proof)
	}
	return grantOf(secret, err)
}

// refused reports whether Vault answered that it does not take what was shown.
func refused(err error) bool {
	status := vaultStatus(err)
	return status == http.StatusBadRequest || status == http.StatusForbidden
}

// refused tells why Vault did not take the secret id.
func (a *appRole) refused(status int, proof Secret) error {
	switch {
	case status == http.StatusForbidden:
		return fmt.Errorf("%w: Vault refuses the login (403): is approle enabled at auth/%s/, and the role not locked after five refusals?", ErrDenied, a.mount)
	case looksLikeVaultToken(proof):
		return &vaultRefusal{fmt.Errorf("%w: the wrapping token in %s was used before or has expired, or its secret id has (400): if nobody here used it somebody else did; write a new one", ErrDenied, a.file.path)}
	}
	return &vaultRefusal{fmt.Errorf("%w: Vault does not take role_id and the secret id in %s (400): write a new one", ErrDenied, a.file.path)}
}

// secretID returns the secret id in proof, which may be a token that wraps one.
// The configuration has no key for that: what looks like a token of Vault's is
// looked up, and is a secret id only if Vault knows of no such wrapping token.
// A token unwraps once, so the secret id is kept for the next login.
func (a *appRole) secretID(ctx context.Context, c *api.Client, proof Secret) (Secret, error) {
	if !a.wrapping.Empty() && a.wrapping.Equal(proof) {
		return a.unwrapped, nil
	}
	if !looksLikeVaultToken(proof) {
		return proof, nil
	}
	made, err := c.Logical().WriteWithContext(ctx, "sys/wrapping/lookup", map[string]any{"token": proof.Reveal()})
	switch {
	case refused(err):
		return proof, nil
	case err != nil:
		return Secret{}, err
	case made == nil || !a.wraps(made.Data["creation_path"]):
		return Secret{}, fmt.Errorf("%w: the token in %s wraps something other than a secret id of auth/%s/: it may have been put there in place of the right one", ErrDenied, a.file.path, a.mount)
	}
	secret, err := c.Logical().UnwrapWithContext(ctx, proof.Reveal())
	switch {
	case refused(err):
		return Secret{}, a.refused(http.StatusBadRequest, proof)
	case err != nil:
		return Secret{}, err
	case secret == nil:
		return Secret{}, fmt.Errorf("%w: Vault unwrapped nothing", ErrUnavailable)
	}
	id, _ := secret.Data["secret_id"].(string)
	a.wrapping, a.unwrapped = proof, NewSecret(id)
	return a.unwrapped, nil
}

// wraps reports whether a token made by a request to path wraps a secret id.
func (a *appRole) wraps(path any) bool {
	text, _ := path.(string)
	role, ok := strings.CutPrefix(text, "auth/"+a.mount+"/role/")
	if !ok {
		return false
	}
	role, ok = strings.CutSuffix(role, "/secret-id")
	if !ok {
		role, ok = strings.CutSuffix(role, "/custom-secret-id")
	}
	return ok && role != "" && !strings.Contains(role, "/")
}

// looksLikeVaultToken is true of a service token: hvs. or, before Vault 1.10,
// s., and a long word.
func looksLikeVaultToken(s Secret) bool {
	kind, word, ok := strings.Cut(s.Reveal(), ".")
	return ok && (kind == "hvs" || kind == "s") && len(word) >= 20
}

// kubernetesLogin shows a JWT. The method jwt is asked in the same way.
type kubernetesLogin struct {
	mount, role string
	file        proofFile
}

func (k *kubernetesLogin) name() string { return "kubernetes" }

func (k *kubernetesLogin) proof() (Secret, error) { return k.file.read() }

func (k *kubernetesLogin) logIn(ctx context.Context, c *api.Client, proof Secret) (vaultGrant, error) {
	login, err := kubernetes.NewKubernetesAuth(k.role, kubernetes.WithMountPath(k.mount), kubernetes.WithServiceAccountToken(proof.Reveal()))
	if err != nil {
		return vaultGrant{}, fmt.Errorf("%w: role must not be empty", ErrInvalid)
	}
	secret, err := login.Login(ctx, c)
	if refused(err) {
		return vaultGrant{}, fmt.Errorf("%w: Vault refuses the login (%d): is the method enabled at auth/%s/, is there the role %s, and does it fit the JWT in %s?", ErrDenied, vaultStatus(err), k.mount, k.role, k.file.path)
	}
	return grantOf(secret, err)
}

// grantOf reads the answer to a login.
func grantOf(secret *api.Secret, err error) (vaultGrant, error) {
	switch {
	case err != nil:
		return vaultGrant{}, err
	case secret == nil || secret.Auth == nil || secret.Auth.ClientToken == "":
		return vaultGrant{}, fmt.Errorf("%w: Vault gave no token: a login in two steps (MFA) is not supported", ErrDenied)
	}
	return vaultGrant{
		token:     NewSecret(secret.Auth.ClientToken),
		life:      time.Duration(secret.Auth.LeaseDuration) * time.Second,
		renewable: secret.Auth.Renewable,
	}, nil
}

// vaultRefusal is a login that Vault counts, and locks the role after some.
type vaultRefusal struct{ error }

func (r *vaultRefusal) Unwrap() error { return r.error }

// proofFile is a file with what a login shows.
type proofFile struct {
	key, path string
	log       *slog.Logger // nil: that others can read it is as it should be
	warn      sync.Once
}

// maxProof bounds the file, in bytes.
const maxProof = 64 << 10

// read returns the content without the space around it. That there is none is
// an outage: who writes the file may be about to.
func (p *proofFile) read() (Secret, error) {
	fail := func(reason error) (Secret, error) {
		return Secret{}, fmt.Errorf("%w: %s %s: %w", ErrUnavailable, p.key, p.path, reason)
	}
	info, err := os.Stat(p.path) // before it is opened, which hangs on a FIFO
	if err != nil {
		return fail(reasonOf(err))
	}
	if !info.Mode().IsRegular() {
		return fail(errors.New("it is not a file"))
	}
	if p.log != nil && info.Mode().Perm()&0o006 != 0 {
		p.warn.Do(func() {
			p.log.Warn("file with a login is open to every user of this machine", "file", p.path, "mode", info.Mode().Perm().String())
		})
	}
	file, err := os.Open(p.path)
	if err != nil {
		return fail(reasonOf(err))
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxProof+1))
	text := strings.TrimSpace(string(content))
	switch {
	case err != nil:
		return fail(reasonOf(err))
	case len(content) > maxProof:
		return fail(fmt.Errorf("it is larger than %d bytes", maxProof))
	case text == "":
		return fail(errors.New("it is empty"))
	case strings.ContainsFunc(text, notSendable):
		return fail(errors.New("it has a space, or a character that cannot be sent"))
	}
	return NewSecret(text), nil
}

func notSendable(r rune) bool { return r <= ' ' || r > '~' }
