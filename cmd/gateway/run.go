package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/gateway"
	"github.com/sallyport/sallyport/internal/telemetry"
)

func newRun(std streams) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "run",
		Short: "Serve",
		Long: `Serve with the configuration until SIGTERM or Ctrl-C, then let requests in
flight finish.`,
		Example: "  gateway run -c gateway.yaml",
		Args:    cobra.NoArgs,
		RunE: command(func(c *cobra.Command, _ []string) error {
			return serve(c.Context(), file, std)
		}),
	}
	configFlag(c, &file)
	return c
}

func serve(ctx context.Context, file string, std streams) error {
	cfg, err := config.Load(file, config.Options{})
	if err != nil {
		return err
	}
	lines := telemetry.NewLines(std.err) // a blocked stderr must not hold up requests
	defer lines.Start()()
	log := telemetry.NewLog(lines, cfg.Telemetry.LogLevel, cfg.Telemetry.LogFormat)
	g, err := gateway.Build(cfg, gateway.Options{Log: log, Stdout: std.out, Stderr: std.err, Version: buildVersion()})
	if err != nil {
		return err
	}
	if err := g.Fetch(ctx); err != nil {
		return err
	}
	on, err := g.Listen()
	if err != nil {
		return err
	}
	return g.Run(ctx, on)
}
