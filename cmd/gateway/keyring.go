package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/admin"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/crypto"
	"github.com/sallyport/sallyport/internal/gateway"
	"github.com/sallyport/sallyport/internal/secrets"
	"github.com/sallyport/sallyport/internal/telemetry"
)

func newKeyring(std streams) *cobra.Command {
	c := &cobra.Command{
		Use:     "keyring",
		Short:   "Show and rotate keyrings",
		Long:    "Show and rotate the keyrings of the configuration, in the secret backend.",
		Example: "  gateway keyring rotate pii\n  gateway keyring show pii",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newKeyringRotate(std), newKeyringShow(std))
	return c
}

func newKeyringRotate(std streams) *cobra.Command {
	var file, output string
	c := &cobra.Command{
		Use:   "rotate NAME",
		Short: "Give a keyring a fresh key, under which all is encrypted from now on",
		Long: `Write a new version of the keyring to the secret backend. Older versions still
decrypt. Gateways that run follow within secrets.refresh, and at once when they
see a ciphertext of the new version. A keyring that is not there yet is made.`,
		Example: "  gateway keyring rotate pii -c gateway.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: command(func(c *cobra.Command, args []string) error {
			if err := textOrJSON(output); err != nil {
				return err
			}
			k, err := findKeyring(c, std, file, args[0])
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(c.Context(), backendTimeout)
			defer cancel()
			version, err := k.Rotate(ctx)
			if err != nil {
				return err
			}
			if output == "json" {
				return printJSON(std, map[string]any{"name": k.Name, "version": version})
			}
			_, err = fmt.Fprintf(std.out, "keyring %s: version %d is the primary\n", k.Name, version)
			return err
		}),
	}
	configFlag(c, &file)
	c.Flags().StringVar(&output, "output", "text", "text or json")
	return c
}

func newKeyringShow(std streams) *cobra.Command {
	var file, output string
	c := &cobra.Command{
		Use:   "show NAME",
		Short: "Show the versions of a keyring, never its keys",
		Long: `Show the versions of a keyring as they stand in the secret backend, and when the
gateway that runs with this configuration last used each: before a version is
retired, nothing should have needed it for as long as its ciphertexts are kept.
Counts are of one replica, since it started.`,
		Example: "  gateway keyring show pii -c gateway.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: command(func(c *cobra.Command, args []string) error {
			if err := textOrJSON(output); err != nil {
				return err
			}
			k, err := findKeyring(c, std, file, args[0])
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(c.Context(), backendTimeout)
			defer cancel()
			ring, err := k.Open(ctx)
			if err != nil {
				return err
			}
			versions := ring.Status()
			if err := countUse(ctx, file, k, versions); err != nil {
				fmt.Fprintf(std.err, "counts are left out: %v\n", err)
			}
			return printKeyring(std, k, versions, output)
		}),
	}
	configFlag(c, &file)
	c.Flags().StringVar(&output, "output", "text", "text or json")
	return c
}

// findKeyring loads the configuration and finds the keyring in it.
func findKeyring(c *cobra.Command, std streams, file, name string) (*gateway.StoredKeyring, error) {
	cfg, err := config.Load(file, config.Options{})
	if err != nil {
		return nil, err
	}
	k, err := gateway.FindKeyring(c.Context(), cfg, name, telemetry.NewLog(std.err, "warn", cfg.Telemetry.LogFormat))
	if err == nil && k.Backend != nil {
		fmt.Fprintf(std.err, "secret backend: %s (%s)\n", k.Backend.Name(), k.Why)
	}
	return k, err
}

// countUse fills in what the gateway that runs with this configuration has
// counted, by its admin API.
func countUse(ctx context.Context, file string, k *gateway.StoredKeyring, versions []crypto.VersionStatus) error {
	cfg, err := config.Load(file, config.Options{})
	if err != nil {
		return err
	}
	url, err := readyURL(file, true)
	if err != nil {
		return err
	}
	token, err := adminToken(ctx, cfg, k)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(url, "/readyz")+"/api/v1/status", nil)
	if err != nil {
		return err
	}
	if !token.Empty() {
		r.Header.Set("Authorization", "Bearer "+token.Reveal())
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: neverFollow}).Do(r)
	if err != nil {
		return errors.New("no gateway answers at admin.listen")
	}
	defer func() { _ = res.Body.Close() }()
	var status admin.Status
	if err := json.NewDecoder(io.LimitReader(res.Body, maxInput)).Decode(&status); err != nil || res.StatusCode != http.StatusOK {
		return fmt.Errorf("the gateway at admin.listen answers %s", res.Status)
	}
	for _, one := range status.Keyrings {
		if one.Name != k.Name {
			continue
		}
		for i := range versions {
			for _, counted := range one.Versions {
				if counted.Version == versions[i].Version {
					versions[i].Sealed, versions[i].Opened, versions[i].LastSeen = counted.Sealed, counted.Opened, counted.LastSeen
				}
			}
		}
	}
	return nil
}

func neverFollow(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// adminToken reads the admin API's token, empty where it asks for none.
func adminToken(ctx context.Context, cfg *config.Config, k *gateway.StoredKeyring) (secrets.Secret, error) {
	place := cfg.Admin.Token
	literal, ok := place.Literal()
	switch {
	case place.IsZero():
		return secrets.Secret{}, nil
	case ok:
		return secrets.NewSecret(literal), nil
	case k.Backend == nil:
		return secrets.Secret{}, errors.New("the admin token is in a secret backend")
	}
	return secrets.Get(ctx, k.Backend, secrets.Reference{Path: place.Path, Field: place.Field})
}

func printKeyring(std streams, k *gateway.StoredKeyring, versions []crypto.VersionStatus, output string) error {
	if output == "json" {
		return printJSON(std, struct {
			Name     string                 `json:"name"`
			Type     crypto.Type            `json:"type"`
			Versions []crypto.VersionStatus `json:"versions"`
		}{k.Name, k.Type, versions})
	}
	fmt.Fprintf(std.out, "%s (%s)\n", k.Name, k.Type)
	table := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "VERSION\tSTATE\tCREATED\tENCRYPTIONS\tDECRYPTIONS\tLAST SEEN")
	for _, v := range versions {
		state := "decrypts"
		switch {
		case v.Primary:
			state = "primary"
		case v.Retired:
			state = "retired"
		}
		fmt.Fprintf(table, "%d\t%s\t%s\t%d\t%d\t%s\n", v.Version, state, moment(v.Created), v.Sealed, v.Opened, moment(v.LastSeen))
	}
	return table.Flush()
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}
