package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/gateway"
	"github.com/sallyport/sallyport/internal/telemetry"
)

func newValidate(std streams) *cobra.Command {
	var file string
	var offline bool
	c := &cobra.Command{
		Use:   "validate",
		Short: "Check a configuration: every error at once, with its place",
		Long: `Check a configuration and print every error, each as
file:line:column: what is wrong; what would be right.

The files it names are opened and every secret reference is resolved too, unless
--offline.`,
		Example: "  gateway validate -c gateway.yaml\n  gateway validate -c gateway.yaml --offline",
		Args:    cobra.NoArgs,
		RunE: command(func(c *cobra.Command, _ []string) error {
			cfg, err := config.Load(file, config.Options{})
			if err != nil {
				return err
			}
			log := telemetry.NewLog(std.err, "error", cfg.Telemetry.LogFormat)
			if err := gateway.Validate(c.Context(), cfg, gateway.Options{Log: log, Version: buildVersion()}, offline); err != nil {
				return err
			}
			fmt.Fprintf(std.out, "%s is valid\n", file)
			return nil
		}),
	}
	configFlag(c, &file)
	c.Flags().BoolVar(&offline, "offline", false, "check the file alone: open no other, resolve no secret")
	return c
}
