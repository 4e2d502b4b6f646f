package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/secrets"
	"github.com/sallyport/sallyport/internal/token"
)

// tokenFlags say whose tokens: the configuration's token service's, or those of
// one key.
type tokenFlags struct {
	secretFlags
	key, algorithm, issuer string
}

func newToken(std streams) *cobra.Command {
	flags := new(tokenFlags)
	c := &cobra.Command{
		Use:   "token",
		Short: "Sign tokens, and check them",
		Long: `Sign tokens, and check them, with the keys of the configuration's token_service,
or with the key at PATH in the secret backend where --key names one.`,
		Example: "  gateway token issue --scope orders:read --subject ann\n  gateway token verify -",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	p := c.PersistentFlags()
	p.StringVarP(&flags.file, "config", "c", "gateway.yaml", "configuration file")
	p.StringVar(&flags.backend, "backend", "", "auto, env, file, vault or aws (default: what the configuration says)")
	p.StringVar(&flags.output, "output", "text", "text or json")
	p.StringVar(&flags.key, "key", "", "PATH[#FIELD] of a key in the secret backend, instead of token_service")
	p.StringVar(&flags.algorithm, "alg", "", "algorithm of --key, such as HS256 (default: the key's usual one)")
	p.StringVar(&flags.issuer, "issuer", "", "iss (default: that of token_service; with --key none)")
	c.AddCommand(newTokenIssue(std, flags), newTokenVerify(std, flags))
	return c
}

func newTokenIssue(std streams, flags *tokenFlags) *cobra.Command {
	var scopes, claims, audience []string
	var subject string
	var expiry time.Duration
	c := &cobra.Command{
		Use:   "issue",
		Short: "Print a signed token",
		Long: `Print a signed token, with exp, iat, nbf and a jti of its own.

A VALUE of --claim that is JSON (123, true, ["a"], {"a": 1}) is taken as that, all
else as a text; write '"123"' for the text 123.`,
		Example: "  gateway token issue --scope orders:read --audience orders-api --claim tenant=acme --expiry 5m\n" +
			"  gateway token issue --key jwt/secret --alg HS256 --issuer https://idp.example.com/ --subject ann",
		Args: cobra.NoArgs,
		RunE: command(func(c *cobra.Command, _ []string) error {
			body, err := parseClaims(claims)
			if err != nil {
				return usage{err}
			}
			if expiry < 0 || expiry%time.Second != 0 {
				return usage{errors.New("--expiry must be a positive number of seconds, such as 15m")}
			}
			keys, err := flags.open(c, std)
			if err != nil {
				return err
			}
			lifetime := cmp.Or(expiry, keys.expiry)
			now := time.Now().Truncate(time.Second)
			body["sub"], body["jti"] = subject, rand.Text()
			body["iat"], body["nbf"], body["exp"] = now.Unix(), now.Unix(), now.Add(lifetime).Unix()
			if keys.issuer != "" {
				body["iss"] = keys.issuer
			}
			if len(scopes) > 0 {
				body["scope"] = strings.Join(scopes, " ")
			}
			switch len(audience) {
			case 0:
			case 1:
				body["aud"] = audience[0]
			default:
				body["aud"] = audience
			}
			signer, err := keys.signer()
			if err != nil {
				return err
			}
			raw, err := signer.Sign(body, "at+jwt")
			if err != nil {
				return err
			}
			if flags.output == "json" {
				return printJSON(std, map[string]any{"token": raw, "expires": now.Add(lifetime).UTC().Format(time.RFC3339)})
			}
			_, err = fmt.Fprintln(std.out, raw)
			return err
		}),
	}
	c.Flags().StringArrayVar(&scopes, "scope", nil, "scope, once for each")
	c.Flags().StringArrayVar(&audience, "audience", nil, "aud, once for each")
	c.Flags().StringArrayVar(&claims, "claim", nil, "further claim, as NAME=VALUE, once for each")
	c.Flags().StringVar(&subject, "subject", "gateway", "sub")
	c.Flags().DurationVar(&expiry, "expiry", 0, "how long it is valid (default: that of token_service, else 15m)")
	return c
}

// parseClaims reads NAME=VALUE texts.
func parseClaims(texts []string) (map[string]any, error) {
	claims := make(map[string]any)
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		switch {
		case !ok || name == "":
			return nil, errors.New("--claim must be NAME=VALUE")
		case slices.Contains([]string{"iss", "sub", "exp", "iat", "nbf", "jti", "scope"}, name):
			return nil, fmt.Errorf("--claim %s: the token's own; there are --issuer, --subject, --expiry and --scope", name)
		}
		claims[name] = claimValue(value)
	}
	return claims, nil
}

// claimValue is what value says as JSON, or the text it is.
func claimValue(value string) any {
	d := json.NewDecoder(strings.NewReader(value))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil || d.More() || d.InputOffset() != int64(len(value)) {
		return value
	}
	return v
}

func newTokenVerify(std streams, flags *tokenFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "verify TOKEN|-",
		Short: "Print the claims of a token as JSON, if it is valid",
		Long: `Print the claims of a token as JSON, if its signature and issuer are right and it
has not expired; else exit with status 1. TOKEN is read from stdin where it is -,
since one on the command line stands in the shell's history. For whom the token is
and what it allows is not judged.`,
		Example: "  gateway token issue | gateway token verify -\n  gateway token verify --key jwt/secret --alg HS256 --issuer https://idp.example.com/ -",
		Args:    cobra.ExactArgs(1),
		RunE: command(func(c *cobra.Command, args []string) error {
			raw := args[0]
			if raw == "-" {
				text, err := readSecret(c.Context(), std, "Token: ")
				if err != nil {
					return err
				}
				raw = strings.TrimSpace(text)
			}
			keys, err := flags.open(c, std)
			if err != nil {
				return err
			}
			verifiers, err := keys.verifiers()
			if err != nil {
				return err
			}
			p, err := token.Judge{Issuer: keys.issuer, Keys: verifiers}.Verify(raw, time.Now())
			if err != nil {
				return fmt.Errorf("the token is not valid: %w", err)
			}
			return printJSON(std, p.Claims.All)
		}),
	}
}

// tokenKeys are key material, and what goes with it.
type tokenKeys struct {
	material          []byte
	algorithm, issuer string
	expiry            time.Duration
	service           bool // of a token service: the first of a set signs
}

// open reads the key that the flags name, or those of the configuration's token
// service.
func (f *tokenFlags) open(c *cobra.Command, std streams) (*tokenKeys, error) {
	keys := &tokenKeys{algorithm: f.algorithm, issuer: f.issuer, expiry: 15 * time.Minute}
	var ref secrets.Reference
	if f.key != "" {
		var err error
		if ref, err = secretName(f.key); err != nil {
			return nil, err
		}
	} else {
		if f.algorithm != "" {
			return nil, usage{errors.New("--alg goes with --key")}
		}
		cfg, err := f.load(c.Flags().Changed("config"))
		if err != nil {
			return nil, err
		}
		s := cfg.TokenService
		if s == nil {
			return nil, fmt.Errorf("%s has no token_service; add one, or name a key with --key PATH", f.file)
		}
		keys.issuer, keys.expiry, keys.service = cmp.Or(f.issuer, s.Issuer), s.Expiry, true
		if literal, ok := s.SigningKeys.Literal(); ok {
			keys.material = []byte(literal)
			return keys, nil
		}
		ref = secrets.Reference{Path: s.SigningKeys.Path, Field: s.SigningKeys.Field}
	}
	b, err := f.secretFlags.open(c, std)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(c.Context(), backendTimeout)
	defer cancel()
	secret, err := secrets.Get(ctx, b, ref)
	if err != nil {
		return nil, err
	}
	keys.material = []byte(secret.Reveal())
	return keys, nil
}

func (k *tokenKeys) signer() (*token.Signer, error) {
	if !k.service {
		return token.NewSigner(k.material, k.algorithm, "")
	}
	signers, err := token.NewSigners(k.material)
	if err != nil {
		return nil, err
	}
	return signers[0], nil
}

func (k *tokenKeys) verifiers() ([]token.Key, error) {
	if !k.service {
		keys, _, err := token.ParseKeys(k.material, token.KeyOptions{Algorithm: k.algorithm})
		return keys, err
	}
	signers, err := token.NewSigners(k.material)
	if err != nil {
		return nil, err
	}
	var keys []token.Key
	for _, s := range signers {
		keys = append(keys, s.Public())
	}
	return keys, nil
}
