package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

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
flight finish. The configuration is read again when its file changes, and on
SIGHUP; one that is wrong is reported, and the one before goes on.`,
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
	hangup := make(chan os.Signal, 1) // taken from here on, so that an early one ends nothing
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	load := func() (*config.Config, error) { return config.Load(file, config.Options{}) }
	cfg, err := load()
	if err != nil {
		return err
	}
	lines := telemetry.NewLines(std.err) // a blocked stderr must not hold up requests
	defer lines.Start()()
	level := new(slog.LevelVar)
	level.Set(telemetry.Level(cfg.Telemetry.LogLevel))
	log := telemetry.NewLeveled(lines, level, cfg.Telemetry.LogFormat)
	g, err := gateway.Build(cfg, gateway.Options{
		Log: log, Stdout: std.out, Stderr: std.err, Version: buildVersion(), Load: load, Level: level, Hangup: hangup,
	})
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
