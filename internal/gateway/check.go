package gateway

import (
	"context"
	"errors"
	"fmt"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/secrets"
	"github.com/sallyport/sallyport/internal/token"
)

// Fetch reads every secret in use once. What could not be had is logged, and
// the routes that need it answer 503 until it comes; a key that could never be
// trusted is an error, with its place in the file.
func (g *Gateway) Fetch(ctx context.Context) error {
	if err := g.store.Fetch(ctx); err != nil {
		g.log.Warn("secrets are missing; the routes that need them answer 503 until they are there", "where", g.MissingSecrets().Error())
	}
	if weak := g.weakKeys(); len(weak) > 0 {
		return weak
	}
	return nil
}

// MissingSecrets lists the references that could not be read, each with its
// place in the file.
func (g *Gateway) MissingSecrets() config.Errors {
	var missing config.Errors
	for _, use := range g.config.SecretUses() {
		if !use.Used {
			continue
		}
		value := g.store.Watch(secrets.Reference{Path: use.Path, Field: use.Field})
		if _, err := value.Get(); err != nil {
			missing = append(missing, config.Error{
				File: g.config.File(), Line: use.Line, Column: use.Column,
				Problem: use.Where + ": " + err.Error(),
				Advice:  "store it in the secret backend, or mend the path",
			})
		}
	}
	return missing
}

// weakKeys lists the issuers' keys that are there and can never verify a token.
func (g *Gateway) weakKeys() config.Errors {
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

// place puts the place in the file before an error that a key caused.
func (g *Gateway) place(key string, err error) error {
	line, column := g.config.Position(key)
	return config.Error{File: g.config.File(), Line: line, Column: column, Problem: key + ": " + err.Error()}
}

// Validate builds a gateway of c without opening a socket or a log, and unless
// offline reads every secret in use. It returns every mistake at once.
func Validate(ctx context.Context, c *config.Config, o Options, offline bool) error {
	silent := *c
	silent.Telemetry.AccessLog = ""
	g, err := Build(&silent, o)
	if err != nil || offline {
		return err
	}
	if err := g.store.Fetch(ctx); err != nil {
		g.log.Debug("secrets not to be had", "error", err)
	}
	if wrong := append(g.MissingSecrets(), g.weakKeys()...); len(wrong) > 0 {
		return wrong
	}
	return nil
}
