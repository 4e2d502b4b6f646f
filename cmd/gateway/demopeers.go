package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/demo"
)

// newDemoLegacy serves the legacy API alone, for docker-compose.yml.
func newDemoLegacy(std streams) *cobra.Command {
	var listen, header string
	c := &cobra.Command{
		Use:   "legacy",
		Short: "The demo's legacy API alone",
		Long: `Serve the demo's legacy orders API, which takes the key in LEGACY_API_KEY and
nothing else.`,
		Example: "  LEGACY_API_KEY=change-me gateway demo legacy --listen :8081",
		Args:    cobra.NoArgs,
		RunE: command(func(c *cobra.Command, _ []string) error {
			h, err := demo.NewLegacy(demo.LegacyOptions{StaticKey: os.Getenv("LEGACY_API_KEY"), KeyHeader: header})
			if err != nil {
				return fmt.Errorf("%w; set LEGACY_API_KEY", err)
			}
			return servePeer(c.Context(), std, "legacy API", listen, h)
		}),
	}
	c.Flags().StringVar(&listen, "listen", ":8081", "address to listen on")
	c.Flags().StringVar(&header, "key-header", "X-Legacy-Key", "header the key comes in")
	return c
}

// newDemoIssuer serves the token issuer alone, for docker-compose.yml.
func newDemoIssuer(std streams) *cobra.Command {
	var listen, url string
	c := &cobra.Command{
		Use:   "issuer",
		Short: "The demo's token issuer alone",
		Long: `Serve the demo's token issuer. Its one client is demo, with the secret in
DEMO_CLIENT_SECRET (default: demo-secret).`,
		Example: "  gateway demo issuer --listen :8082 --url http://issuer:8082",
		Args:    cobra.NoArgs,
		RunE: command(func(c *cobra.Command, _ []string) error {
			idp, err := demo.NewIssuer(demo.IssuerOptions{URL: url, Clients: []demo.Client{{
				ID: "demo", Secret: cmp.Or(os.Getenv("DEMO_CLIENT_SECRET"), "demo-secret"),
				Audience: "orders-api", Scopes: demoScopes, Lifetime: demoLifetime,
			}}})
			if err != nil {
				return err
			}
			return servePeer(c.Context(), std, "token issuer", listen, idp)
		}),
	}
	c.Flags().StringVar(&listen, "listen", ":8082", "address to listen on")
	c.Flags().StringVar(&url, "url", "http://127.0.0.1:8082", "URL its callers know it by, and the iss of its tokens")
	return c
}

func servePeer(ctx context.Context, std streams, name, address string, h http.Handler) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w; end the program that has it, or give another --listen", address, err)
	}
	fmt.Fprintf(std.err, "%s serves on %s\n", name, l.Addr())
	return serveUntil(ctx, l, h)
}
