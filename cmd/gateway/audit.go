package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/audit"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/gateway"
	"github.com/sallyport/sallyport/internal/secrets"
	"github.com/sallyport/sallyport/internal/telemetry"
)

func newAudit(std streams) *cobra.Command {
	c := &cobra.Command{
		Use:     "audit",
		Short:   "Check the audit log",
		Example: "  gateway audit verify -c gateway.yaml /var/log/sallyport/audit.jsonl",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newAuditVerify(std))
	return c
}

func newAuditVerify(std streams) *cobra.Command {
	var file, output string
	var names []string
	c := &cobra.Command{
		Use:   "verify [-c FILE | --key PATH[#FIELD]] FILE…",
		Short: "Check that no record was changed, removed or moved",
		Long: `Check the audit log's chain, and name the first record that was changed, removed
or moved. Of a log that was rotated name all its parts, in any order; PATH.head
beside the newest tells whether records are missing at the end.

The key is the configuration's audit.hmac_key, or what stands at PATH in the
secret backend. After a rotation of the key name the old ones too: --key may be
given more than once, and beside -c.

With --output json: {"first": …, "last": …, "notes": […]}.`,
		Example: "  gateway audit verify -c gateway.yaml /var/log/sallyport/audit.jsonl\n  gateway audit verify --key audit/key audit.jsonl.1 audit.jsonl",
		Args:    cobra.MinimumNArgs(1),
		RunE: command(func(c *cobra.Command, files []string) error {
			if err := textOrJSON(output); err != nil {
				return err
			}
			keys, err := auditKeys(c, std, file, names)
			if err != nil {
				return err
			}
			report, err := audit.Verify(keys, files...)
			if err != nil {
				return err
			}
			return printReport(std, report, output)
		}),
	}
	configFlag(c, &file)
	outputFlag(c, &output)
	c.Flags().StringArrayVar(&names, "key", nil, "where the key is in the secret backend, PATH or PATH#FIELD")
	return c
}

// auditKeys reads the keys that are named: those of --key, and the
// configuration's unless only --key is given.
func auditKeys(c *cobra.Command, std streams, file string, names []string) ([][]byte, error) {
	var refs []secrets.Reference
	for _, name := range names {
		ref, err := secrets.ParseName(name)
		if err != nil {
			return nil, usage{fmt.Errorf("--key: %w", err)}
		}
		refs = append(refs, ref)
	}
	named := c.Flags().Changed("config") || len(names) == 0
	cfg, err := (&secretFlags{file: file}).load(named)
	if err != nil {
		return nil, err
	}
	var keys [][]byte
	if named && cfg.Audit != nil {
		if literal, ok := cfg.Audit.HMACKey.Literal(); ok {
			keys = append(keys, []byte(literal))
		} else {
			refs = append(refs, secrets.Reference{Path: cfg.Audit.HMACKey.Path, Field: cfg.Audit.HMACKey.Field})
		}
	} else if len(names) == 0 {
		return nil, fmt.Errorf("%s has no audit block; name the key with --key PATH[#FIELD]", file)
	}
	fromBackend, err := readKeys(c.Context(), std, cfg, refs)
	return append(keys, fromBackend...), err
}

// readKeys reads secrets that are keys of an audit log.
func readKeys(ctx context.Context, std streams, cfg *config.Config, refs []secrets.Reference) (keys [][]byte, err error) {
	if len(refs) == 0 {
		return nil, nil
	}
	b, why, err := gateway.SecretBackend(ctx, cfg, "", nil, telemetry.NewLog(std.err, "warn", cfg.Telemetry.LogFormat))
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(std.err, "secret backend: %s (%s)\n", b.Name(), why)
	ctx, cancel := context.WithTimeout(ctx, backendTimeout)
	defer cancel()
	for _, ref := range refs {
		secret, err := secrets.Get(ctx, b, ref)
		if err != nil {
			return nil, err
		}
		if err := audit.CheckKey([]byte(secret.Reveal())); err != nil {
			return nil, fmt.Errorf("%s: %w", ref, err)
		}
		keys = append(keys, []byte(secret.Reveal()))
	}
	return keys, nil
}

func printReport(std streams, r audit.Report, output string) error {
	if output == "json" {
		return printJSON(std, struct {
			First uint64   `json:"first"`
			Last  uint64   `json:"last"`
			Notes []string `json:"notes"`
		}{r.First, r.Last, append([]string{}, r.Notes...)})
	}
	text := fmt.Sprintf("records %d to %d are as they were written", r.First, r.Last)
	if r.Last == 0 {
		text = "there is no record, and none is missing"
	}
	_, err := fmt.Fprintln(std.out, text)
	for _, note := range r.Notes {
		_, more := fmt.Fprintln(std.out, "note:", note)
		err = errors.Join(err, more)
	}
	return err
}
