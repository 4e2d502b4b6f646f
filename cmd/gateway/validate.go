package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/gateway"
	"github.com/sallyport/sallyport/internal/telemetry"
)

func newValidate(std streams) *cobra.Command {
	var file, output string
	var offline bool
	c := &cobra.Command{
		Use:   "validate",
		Short: "Check a configuration: every error at once, with its place",
		Long: `Check a configuration and print every error, each as
file:line:column: what is wrong; what would be right.

The files it names are opened and every secret reference is resolved too, unless
--offline.

With --output json: {"file": …, "valid": …, "errors": [{"line": …, "column": …,
"problem": …, "advice": …}]}.`,
		Example: "  gateway validate -c gateway.yaml\n  gateway validate -c gateway.yaml --offline --output json",
		Args:    cobra.NoArgs,
		RunE: command(func(c *cobra.Command, _ []string) error {
			if err := textOrJSON(output); err != nil {
				return err
			}
			err := validate(c.Context(), std, file, offline)
			if output == "json" {
				return printVerdict(std, file, err)
			}
			if err == nil {
				_, err = fmt.Fprintf(std.out, "%s is valid\n", file)
			}
			return err
		}),
	}
	configFlag(c, &file)
	outputFlag(c, &output)
	c.Flags().BoolVar(&offline, "offline", false, "check the file alone: open no other, resolve no secret")
	return c
}

// validate returns every mistake in file that can be found at once.
func validate(ctx context.Context, std streams, file string, offline bool) error {
	cfg, wrong, err := config.Draft(file, config.Options{})
	switch {
	case err != nil:
		return err
	case cfg == nil:
		return wrong
	}
	o := gateway.Options{Log: telemetry.NewLog(std.err, "error", cfg.Telemetry.LogFormat), Version: buildVersion()}
	if len(wrong) > 0 {
		return gateway.InOrder(append(wrong, gateway.Mistakes(ctx, cfg, o, offline)...))
	}
	return gateway.Validate(ctx, cfg, o, offline)
}

// mistake is one in JSON.
type mistake struct {
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Problem string `json:"problem"`
	Advice  string `json:"advice"`
}

// printVerdict prints as JSON what is wrong with file, and returns that it is. An
// error that has no place in it is returned as it stands.
func printVerdict(std streams, file string, err error) error {
	var list config.Errors
	var one config.Error
	switch {
	case errors.As(err, &list):
	case errors.As(err, &one):
		list = config.Errors{one}
	case err != nil:
		return err
	}
	found := make([]mistake, len(list))
	for i, e := range list {
		found[i] = mistake{e.Line, e.Column, e.Problem, e.Advice}
	}
	err = printJSON(std, struct {
		File   string    `json:"file"`
		Valid  bool      `json:"valid"`
		Errors []mistake `json:"errors"`
	}{file, len(list) == 0, found})
	if err == nil && len(list) > 0 {
		return fmt.Errorf("%s is not valid: %d found", file, len(list))
	}
	return err
}
