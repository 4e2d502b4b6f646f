package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/credentials"
	"github.com/sallyport/sallyport/internal/secrets"
	"github.com/sallyport/sallyport/internal/token"
)

// Fetch reads every secret in use once. What could not be had is logged, and
// the routes that need it answer 503 until it comes; a key that could never be
// trusted is an error, with its place in the file.
func (g *Gateway) Fetch(ctx context.Context) error { return g.current.Load().fetch(ctx) }

func (g *generation) fetch(ctx context.Context) error {
	_ = g.store.Fetch(ctx) // each value keeps its own error
	if weak := g.weak(); len(weak) > 0 {
		return inOrder(weak)
	}
	g.tellMissing()
	return nil
}

// tellMissing warns of what the routes in need of it answer 503 for.
func (g *generation) tellMissing() {
	if missing := g.missingSecrets(); len(missing) > 0 {
		g.log.Warn("secrets are missing; the routes that need them answer 503 until they are there", "where", missing.Error())
	}
	for _, bad := range g.badCredentials() {
		g.log.Warn("a credential cannot be sent; the routes that inject it answer 503", "where", bad.Error())
	}
	for _, bad := range g.badKeyrings() {
		g.log.Warn("a keyring cannot be used; calls that need it answer 503", "where", bad.Error())
	}
}

// weak lists the keys that are there and must not be used.
func (g *generation) weak() config.Errors {
	return slices.Concat(g.weakKeys(), g.badAPIKeys(), g.weakSigningKeys(), g.badTokenService(), g.weakAuditKey())
}

// missingSecrets lists the references that could not be read, each with its
// place in the file.
func (g *generation) missingSecrets() config.Errors {
	return g.missing(func(secrets.Reference) bool { return true })
}

func (g *generation) missing(among func(secrets.Reference) bool) config.Errors {
	var missing config.Errors
	for _, use := range g.config.SecretUses() {
		ref := secrets.Reference{Path: use.Path, Field: use.Field}
		if !use.Used || !among(ref) {
			continue
		}
		if _, err := g.scope.Watch(ref).Get(); err != nil {
			missing = append(missing, config.Error{
				File: g.config.File(), Line: use.Line, Column: use.Column,
				Problem: use.Where + ": " + err.Error(),
				Advice:  secretAdvice(err),
			})
		}
	}
	return missing
}

// secretAdvice says what to do about a secret that cannot be read.
func secretAdvice(err error) string {
	switch secrets.Reason(err) {
	case "not_found":
		return "store it in the secret backend, or mend the path"
	case "denied":
		return "let the gateway's user read it"
	case "empty", "invalid":
		return "store a value that is whole"
	}
	return "make the secret backend reachable, or name another in secrets.backend"
}

// badCredentials lists the credentials whose secrets are there and cannot be
// sent: a line break in one, say.
func (g *generation) badCredentials() config.Errors {
	var bad config.Errors
	for _, name := range slices.Sorted(maps.Keys(g.credentials)) {
		c := g.config.Credentials[name]
		status := g.credentials[name].Status()
		if _, rotates := g.credentials[name].(credentials.Rotating); rotates || status.Ready || !g.has(c.Token, c.Username, c.Password) {
			continue
		}
		line, column := g.config.Position("credentials." + name)
		bad = append(bad, config.Error{
			File: g.config.File(), Line: line, Column: column,
			Problem: "credentials." + name + ": " + status.LastError, Advice: "store a value that can stand in a header",
		})
	}
	return bad
}

// has reports whether every secret of these that was asked for is there.
func (g *generation) has(places ...config.Secret) bool {
	for _, s := range places {
		if _, literal := s.Literal(); s.IsZero() || literal {
			continue
		}
		if _, err := g.scope.Watch(secrets.Reference{Path: s.Path, Field: s.Field}).Get(); err != nil {
			return false
		}
	}
	return true
}

// inOrder sorts mistakes by their place in the file.
func inOrder(list config.Errors) config.Errors {
	slices.SortStableFunc(list, func(a, b config.Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return list
}

// weakKeys lists the issuers' keys that are there and can never verify a token.
func (g *generation) weakKeys() config.Errors {
	var weak config.Errors
	for name, c := range g.config.Issuers {
		used := g.issuers[name]
		if used == nil {
			continue
		}
		for i, key := range c.Keys {
			secret, err := used.static[i].Value.Get()
			if err != nil {
				continue
			}
			if _, _, err := token.ParseKeys([]byte(secret.Reveal()), token.KeyOptions{ID: key.KID, Algorithm: key.Algorithm, Accept: c.Algorithms}); err != nil {
				where := fmt.Sprintf("issuers.%s.keys[%d].key", name, i)
				line, column := g.config.Position(where)
				advice := "store a key as the README's section on keys describes"
				if errors.Is(err, token.ErrWeakKey) {
					advice = "use at least 32 random bytes for HMAC, 2048 bits for RSA"
				}
				weak = append(weak, config.Error{File: g.config.File(), Line: line, Column: column, Problem: where + ": " + err.Error(), Advice: advice})
			}
		}
	}
	return weak
}

// weakSigningKeys lists the credentials' keys that are there and can never sign.
func (g *generation) weakSigningKeys() config.Errors {
	var weak config.Errors
	for _, name := range slices.Sorted(maps.Keys(g.credentials)) {
		c := g.config.Credentials[name]
		if c.SigningKey.IsZero() {
			continue
		}
		secret, err := g.read(c.SigningKey)
		if err != nil {
			continue
		}
		if _, err := token.NewSigner([]byte(secret.Reveal()), c.Algorithm, c.KID); err != nil {
			weak = append(weak, g.place("credentials."+name+".signing_key", err))
		}
	}
	return weak
}

// read is what a secret place holds now.
func (g *generation) read(s config.Secret) (secrets.Secret, error) {
	if literal, ok := s.Literal(); ok {
		return secrets.NewSecret(literal), nil
	}
	return g.scope.Watch(secrets.Reference{Path: s.Path, Field: s.Field}).Get()
}

// place puts the place in the file before an error that a key caused.
func (g *generation) place(key string, err error) config.Error {
	line, column := g.config.Position(key)
	return config.Error{File: g.config.File(), Line: line, Column: column, Problem: key + ": " + err.Error()}
}

// Validate builds a gateway of c without opening a socket or a log, and unless
// offline opens the files it names and reads every secret in use. It returns
// every mistake it can find at once.
func Validate(ctx context.Context, c *config.Config, o Options, offline bool) error {
	silent := *c
	silent.Telemetry.AccessLog = ""
	silent.Audit = unopened(c.Audit)
	if offline {
		silent = withoutFiles(silent)
	}
	built, err := Build(&silent, o)
	if err != nil || offline {
		return err
	}
	g := built.current.Load()
	if err := g.store.Fetch(ctx); err != nil {
		g.log.Debug("secrets not to be had", "error", err)
	}
	if wrong := slices.Concat(g.missingSecrets(), g.weakKeys(), g.badAPIKeys(), g.weakSigningKeys(), g.badTokenService(), g.weakAuditKey(), g.badCredentials(), g.badKeyrings()); len(wrong) > 0 {
		return inOrder(wrong)
	}
	return nil
}

// withoutFiles returns c with no file to open: those of production are not
// there where a configuration is checked.
func withoutFiles(c config.Config) config.Config {
	c.TLS = nil
	c.Issuers = maps.Clone(c.Issuers)
	for name, issuer := range c.Issuers {
		issuer.TLS = config.ClientTLS{}
		c.Issuers[name] = issuer
	}
	c.Credentials = maps.Clone(c.Credentials)
	for name, credential := range c.Credentials {
		credential.TLS = config.ClientTLS{}
		c.Credentials[name] = credential
	}
	c.Routes = slices.Clone(c.Routes)
	for i := range c.Routes {
		c.Routes[i].Upstream.TLS = config.UpstreamTLS{}
	}
	return c
}
