package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// healthTimeout bounds one question after health.
const healthTimeout = 3 * time.Second

func newHealthcheck(streams) *cobra.Command {
	var file, url string
	c := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask a running gateway whether it is ready",
		Long: `Ask /readyz at the configuration's admin.listen, or the URL given, and end with 0
if it answers 200, else with 1; with 2 if the admin listener is off. Without
--config, where there is no gateway.yaml, it asks at the default address,
127.0.0.1:9090. Made for container images that have no shell.`,
		Example: "  gateway healthcheck -c gateway.yaml\n  gateway healthcheck --url http://127.0.0.1:9090/readyz",
		Args:    cobra.NoArgs,
		RunE: command(func(c *cobra.Command, _ []string) error {
			if url == "" {
				var err error
				if url, err = readyURL(file, c.Flags().Changed("config")); err != nil {
					return err
				}
			}
			return askHealth(c.Context(), url)
		}),
	}
	configFlag(c, &file)
	c.Flags().StringVar(&url, "url", "", "URL to ask instead of the configuration's")
	return c
}

func readyURL(file string, named bool) (string, error) {
	cfg, err := (&secretFlags{file: file}).load(named) // the defaults where there is no file
	if err != nil {
		return "", err
	}
	if cfg.Admin.Listen == "" {
		return "", usage{fmt.Errorf("%s switches the admin listener off; set admin.listen, or give --url", file)}
	}
	host, port, err := net.SplitHostPort(cfg.Admin.Listen)
	if err != nil {
		return "", fmt.Errorf("admin.listen: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port) + "/readyz", nil
}

func askHealth(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil || r.URL.Host == "" {
		return usage{errors.New("--url is no URL; write http://HOST:PORT/readyz")}
	}
	asker := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := asker.Do(r)
	if err != nil {
		return fmt.Errorf("no answer from %s: is the gateway running?", r.URL.Redacted())
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", r.URL.Redacted(), res.Status)
	}
	return nil
}
