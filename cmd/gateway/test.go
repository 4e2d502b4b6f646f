package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/gateway"
	"github.com/sallyport/sallyport/internal/telemetry"
)

// testTimeout bounds what the cases may fetch, all in all.
const testTimeout = time.Minute

func newTest(std streams) *cobra.Command {
	var file, output string
	var coverage bool
	c := &cobra.Command{
		Use:   "test CASES.yaml",
		Short: "Run a table of requests and expected decisions",
		Long: `Ask the checks of the configuration about each request of a table, and compare
what they say with what is expected. Ends with 1 where one differs.

Tokens are signed with a throw-away key that stands in for the issuer's, and a
word stands in for each credential, so that neither network nor secrets are
needed: only a raw token needs its issuer's keys, and an API key the record in the
secret backend. Each case finds its limits' buckets full.

The file of cases is described in docs/testing-policies.md.`,
		Example: `  gateway test -c gateway.yaml cases.yaml
  gateway test -c gateway.yaml --coverage --output junit cases.yaml > report.xml`,
		Args: cobra.ExactArgs(1),
		RunE: command(func(c *cobra.Command, args []string) error {
			if !slices.Contains([]string{"text", "tap", "junit", "json"}, output) {
				return usage{errors.New("--output must be text, tap, junit or json")}
			}
			return test(c.Context(), std, file, args[0], output, coverage)
		}),
	}
	configFlag(c, &file)
	c.Flags().StringVar(&output, "output", "text", "text, tap, junit or json")
	c.Flags().BoolVar(&coverage, "coverage", false, "tell which routes and checks no case tried")
	return c
}

func test(ctx context.Context, std streams, file, casesFile, output string, coverage bool) error {
	cfg, err := config.Load(file, config.Options{})
	if err != nil {
		return err
	}
	cases, err := config.LoadCases(casesFile, config.Options{})
	if err != nil {
		return err
	}
	log := telemetry.NewLog(std.err, "error", cfg.Telemetry.LogFormat)
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	report, err := gateway.TestCases(ctx, cfg, cases, gateway.Options{Log: log, Version: buildVersion()})
	if err != nil {
		return err
	}
	if !coverage {
		report.Coverage = nil
	}
	print := map[string]func(streams, string, gateway.TestReport) error{
		"text": printCases, "tap": printTAP, "junit": printJUnit, "json": printCasesJSON,
	}[output]
	if err := print(std, casesFile, report); err != nil {
		return err
	}
	if n := report.Failed(); n > 0 {
		return fmt.Errorf("%s: %d of %d cases differ from what is expected", casesFile, n, len(report.Cases))
	}
	return nil
}
