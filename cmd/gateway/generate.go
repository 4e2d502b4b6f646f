package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/auth"
	"github.com/sallyport/sallyport/internal/crypto"
	"github.com/sallyport/sallyport/internal/token"
)

func newGenerate(std streams) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "generate",
		Short: "Make fresh keys, tokens and API keys",
		Long: `Make fresh keys, tokens and API keys, and print them. Nothing is stored.

With --output json: {"key": …} and {"token": …}; the others are JSON anyway.`,
		Example: "  gateway generate token | gateway secrets set gateway/admin -\n  gateway generate api-key --id acme-1 --scope orders:read",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },

		PersistentPreRunE: func(*cobra.Command, []string) error { return textOrJSON(output) },
	}
	c.PersistentFlags().StringVar(&output, "output", "text", "text or json")
	c.AddCommand(newGenerateKey(std, &output), newGenerateToken(std, &output), newGenerateAPIKey(std), newGenerateJWK(std))
	return c
}

func newGenerateKey(std streams, output *string) *cobra.Command {
	var keyType string
	c := &cobra.Command{
		Use:   "key",
		Short: "Print a fresh key of 32 bytes for a keyring",
		Long: `Print a fresh key of 32 bytes, as a keyring of that type takes it: in base64,
and for fernet in its URL-safe alphabet.`,
		Example: "  gateway generate key --type fernet | gateway secrets set crypto/pii -",
		Args:    cobra.NoArgs,
		RunE: printed(std, crypto.ErrGenerate, func() (any, error) {
			key, err := crypto.GenerateKey(keyType)
			return named(*output, "key", key), err
		}),
	}
	c.Flags().StringVar(&keyType, "type", "aes256-gcm", strings.Join(crypto.KeyTypes(), ", "))
	return c
}

func newGenerateToken(std streams, output *string) *cobra.Command {
	var bytes int
	var encoding string
	c := &cobra.Command{
		Use:     "token",
		Short:   "Print a random token",
		Long:    "Print a token of random bytes, 16 to 1024 of them.",
		Example: "  gateway generate token --bytes 32 --encoding base64url",
		Args:    cobra.NoArgs,
		RunE: printed(std, crypto.ErrGenerate, func() (any, error) {
			token, err := crypto.GenerateToken(bytes, encoding)
			return named(*output, "token", token), err
		}),
	}
	c.Flags().IntVar(&bytes, "bytes", 32, "how many random bytes")
	c.Flags().StringVar(&encoding, "encoding", "hex", "hex or base64url")
	return c
}

func newGenerateJWK(std streams) *cobra.Command {
	var alg string
	c := &cobra.Command{
		Use:   "jwk",
		Short: "Print a private key as a JWK",
		Long: `Print a fresh private key as a JWK, with its thumbprint as kid: to sign tokens
with, as the signing_key of a credential, say.`,
		Example: "  gateway generate jwk --alg EdDSA | gateway secrets set jwt/signing -",
		Args:    cobra.NoArgs,
		RunE: printed(std, token.ErrAlgorithm, func() (any, error) {
			jwk, err := token.GenerateJWK(alg)
			return string(jwk), err
		}),
	}
	c.Flags().StringVar(&alg, "alg", "ES256", "RS256, ES256 or EdDSA")
	return c
}

// named is value as it stands, or for the output json an object that has it
// under name.
func named(output, name, value string) any {
	if output == "json" {
		return map[string]string{name: value}
	}
	return value
}

// printed prints what generate returns, a text as it stands and all else as JSON,
// and a newline. An error of that kind is wrong usage.
func printed(std streams, wrong error, generate func() (any, error)) func(*cobra.Command, []string) error {
	return command(func(*cobra.Command, []string) error {
		answer, err := generate()
		switch {
		case errors.Is(err, wrong):
			return usage{err}
		case err != nil:
			return err
		}
		if text, ok := answer.(string); ok {
			_, err = fmt.Fprintln(std.out, text)
			return err
		}
		return printJSON(std, answer)
	})
}

func newGenerateAPIKey(std streams) *cobra.Command {
	var o auth.NewAPIKeyOptions
	var expires string
	c := &cobra.Command{
		Use:   "api-key",
		Short: "Print a fresh API key and the record to store of it",
		Long: `Print a fresh API key and its record: {"key": …, "record": {…}}.

Give the key to its owner: it is shown here and nowhere else. Add the record,
which holds a hash of the key, to the JSON list that the api_keys block of the
configuration names.`,
		Example: "  gateway generate api-key --id acme-1 --scope orders:read --scope orders:write",
		Args:    cobra.NoArgs,
		RunE: command(func(c *cobra.Command, _ []string) error {
			if c.Flags().Changed("expires") {
				var err error
				if o.Expires, err = time.Parse(time.RFC3339, expires); err != nil {
					return usage{errors.New("--expires must be a time such as 2027-01-31T00:00:00Z")}
				}
			}
			key, record, err := auth.NewAPIKey(o)
			if err != nil {
				return usage{err}
			}
			return printJSON(std, struct {
				Key    string            `json:"key"`
				Record auth.APIKeyRecord `json:"record"`
			}{key, record})
		}),
	}
	c.Flags().StringVar(&o.ID, "id", "", "id of the key (default: a random one)")
	c.Flags().StringArrayVar(&o.Scopes, "scope", nil, "a scope the key has; can be given several times")
	c.Flags().StringVar(&o.Prefix, "prefix", "sk_live_", "how the key begins")
	c.Flags().StringVar(&o.Subject, "subject", "", "whom the key stands for (default: its id)")
	c.Flags().StringVar(&expires, "expires", "", "when it ends, as 2027-01-31T00:00:00Z (default: never)")
	return c
}
