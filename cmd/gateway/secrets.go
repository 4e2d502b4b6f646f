package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/gateway"
	"github.com/sallyport/sallyport/internal/secrets"
	"github.com/sallyport/sallyport/internal/telemetry"
)

// backendTimeout bounds what a command asks of the secret backend, all in all.
const backendTimeout = 30 * time.Second

// noConfig is read where there is no file: its secrets block is the defaults and
// what the environment says, and the route is there because one must be.
const noConfig = `routes: [{name: none, path: /, auth: public, upstream: "http://127.0.0.1:1"}]`

// secretFlags are those of every secrets command.
type secretFlags struct{ file, backend, output string }

func newSecrets(std streams) *cobra.Command {
	flags := new(secretFlags)
	c := &cobra.Command{
		Use:   "secrets",
		Short: "Read, store and list secrets in the secret backend",
		Long: `Read, store and list secrets in the secret backend.

The backend is the one that --backend names; else the one of the configuration,
if --config is given or gateway.yaml is here; else auto, by the environment.
Which one it is and why stands on stderr.`,
		Example: "  gateway secrets list 'database/*'\n  gateway secrets set database/password < password.txt",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.PersistentFlags().StringVarP(&flags.file, "config", "c", "gateway.yaml", "configuration file, for its secrets block")
	c.PersistentFlags().StringVar(&flags.backend, "backend", "", "auto, env, file, vault or aws (default: what the configuration says)")
	c.PersistentFlags().StringVar(&flags.output, "output", "text", "text or json")
	c.AddCommand(newSecretsGet(std, flags), newSecretsSet(std, flags), newSecretsList(std, flags))
	return c
}

func newSecretsGet(std streams, flags *secretFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "get PATH[#FIELD]",
		Short: "Print a secret, and a newline",
		Long: `Print the secret at PATH, or its field FIELD, and a newline.

With --output json: {"path": …, "field": …, "value": …}.`,
		Example: "  gateway secrets get database/password\n  gateway secrets get 'batch#user' --backend file",
		Args:    cobra.ExactArgs(1),
		RunE: command(func(c *cobra.Command, args []string) error {
			ref, err := secretName(args[0])
			if err != nil {
				return err
			}
			b, err := flags.open(c, std)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(c.Context(), backendTimeout)
			defer cancel()
			secret, err := secrets.Get(ctx, b, ref)
			if err != nil {
				return err
			}
			return flags.printSecret(std, ref, secret)
		}),
	}
}

func newSecretsSet(std streams, flags *secretFlags) *cobra.Command {
	c := &cobra.Command{
		Use:   "set PATH[#FIELD] [VALUE|-]",
		Short: "Store a secret, read from stdin or a prompt",
		Long: `Store a secret at PATH, or in its field FIELD; the other fields stay.

The value is asked for without echo, or read from stdin where that is no
terminal or VALUE is -; one newline at its end is cut. A VALUE on the command
line stays in the shell's history, and others see it in the list of processes.

Of several backends, the one that is read first is written.`,
		Example: "  gateway secrets set 'batch#password'\n  gateway generate token | gateway secrets set gateway/admin -",
		Args:    cobra.RangeArgs(1, 2),
		RunE: command(func(c *cobra.Command, args []string) error {
			ref, err := secretName(args[0])
			if err != nil {
				return err
			}
			b, err := flags.open(c, std)
			if err != nil {
				return err
			}
			w, ok := b.(secrets.Writer)
			if !ok {
				return fmt.Errorf("%s: set %s: %w", b.Name(), ref, secrets.ErrReadOnly)
			}
			value, err := newValue(c.Context(), std, ref, args[1:])
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(c.Context(), backendTimeout)
			defer cancel()
			if err := w.Set(ctx, ref, value); err != nil {
				return err
			}
			if flags.output == "json" {
				return printJSON(std, map[string]string{"path": ref.Path, "field": ref.Field})
			}
			_, err = fmt.Fprintln(std.out, ref, "is set")
			return err
		}),
	}
	// cobra's own words quote what it takes for a flag, as a value that begins so.
	c.SetFlagErrorFunc(func(*cobra.Command, error) error {
		return errors.New("an unknown flag, or one without its value; a secret that begins with - must come by stdin")
	})
	return c
}

func newSecretsList(std streams, flags *secretFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "list [PATTERN]",
		Short: "Print the names of secrets, never their values",
		Long: `Print the names of the secrets that PATTERN fits, one a line; * stands for any
text, slashes too. With --output json: a list.`,
		Example: "  gateway secrets list 'database/*'\n  gateway secrets list --backend file --output json",
		Args:    cobra.MaximumNArgs(1),
		RunE: command(func(c *cobra.Command, args []string) error {
			b, err := flags.open(c, std)
			if err != nil {
				return err
			}
			l, ok := b.(secrets.Lister)
			if !ok {
				return fmt.Errorf("%s cannot list its secrets", b.Name())
			}
			pattern := strings.Join(args, "")
			if h, ok := b.(secrets.Hinter); ok {
				if hint := h.Hint(pattern); hint != "" {
					fmt.Fprintln(std.err, hint)
				}
			}
			ctx, cancel := context.WithTimeout(c.Context(), backendTimeout)
			defer cancel()
			names, err := l.List(ctx, pattern)
			if err != nil {
				return err
			}
			if flags.output == "json" {
				return printJSON(std, append([]string{}, names...)) // [], never null
			}
			for _, name := range names {
				if _, err := fmt.Fprintln(std.out, name); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}

// secretName reads PATH[#FIELD].
func secretName(arg string) (secrets.Reference, error) {
	ref, err := secrets.ParseName(arg)
	if err != nil {
		return ref, usage{fmt.Errorf("PATH[#FIELD]: %w", err)}
	}
	return ref, nil
}

// open opens the backend and tells which it is.
func (f *secretFlags) open(c *cobra.Command, std streams) (secrets.Backend, error) {
	if f.output != "text" && f.output != "json" {
		return nil, usage{errors.New("--output must be text or json")}
	}
	if f.backend != "" && !slices.Contains([]string{"auto", "env", "file", "vault", "aws"}, f.backend) {
		return nil, usage{errors.New("--backend must be auto, env, file, vault or aws")}
	}
	cfg, err := f.load(c.Flags().Changed("config"))
	if err != nil {
		return nil, err
	}
	log := telemetry.NewLog(std.err, "warn", cfg.Telemetry.LogFormat)
	b, why, err := gateway.SecretBackend(c.Context(), cfg, f.backend, nil, log)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(std.err, "secret backend: %s (%s)\n", b.Name(), why)
	return b, nil
}

// load reads the configuration that is named, or the one that is here.
func (f *secretFlags) load(named bool) (*config.Config, error) {
	if _, err := os.Stat(f.file); !named && errors.Is(err, fs.ErrNotExist) {
		return config.Parse("defaults", []byte(noConfig), config.Options{})
	}
	return config.Load(f.file, config.Options{})
}

func (f *secretFlags) printSecret(std streams, ref secrets.Reference, secret secrets.Secret) error {
	if f.output == "text" {
		_, err := fmt.Fprintln(std.out, secret.Reveal())
		return err
	}
	if !utf8.ValidString(secret.Reveal()) {
		return errors.New("the value is no UTF-8 and cannot stand in JSON; use --output text")
	}
	return printJSON(std, struct {
		Path  string `json:"path"`
		Field string `json:"field"`
		Value string `json:"value"`
	}{ref.Path, ref.Field, secret.Reveal()})
}

// printJSON writes one line of JSON, with < and & as they are.
func printJSON(std streams, answer any) error {
	enc := json.NewEncoder(std.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(answer)
}
