package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/demo"
	"github.com/sallyport/sallyport/internal/gateway"
	"github.com/sallyport/sallyport/internal/telemetry"
)

// demoLifetime is how long the printed tokens are good for; crmLifetime is the
// short life of the tokens the gateway gets for itself.
const (
	demoLifetime = 12 * time.Hour
	crmLifetime  = 30 * time.Second
)

func newDemo(std streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show everything on this machine, with no config and no network",
		Long: `Start a legacy orders API that refuses every call without credentials of its
own, a token issuer, and the gateway in front, then print curl lines that work as
they stand. Ctrl-C ends it and leaves nothing behind.`,
		Example: "  gateway demo",
		Args:    cobra.NoArgs,
		RunE: command(func(c *cobra.Command, _ []string) error {
			return runDemo(c.Context(), std)
		}),
	}
	c.AddCommand(newDemoLegacy(std), newDemoIssuer(std))
	return c
}

// stage is the demo's sockets, keys and files.
type stage struct {
	gateway, admin, legacy, issuer net.Listener
	dir                            string // of the configuration and the secrets; removed at the end
	staticKey                      string
	crmSecret                      string
	basicPassword                  string
	idp                            *demo.Issuer
}

func runDemo(ctx context.Context, std streams) error {
	s, err := newStage()
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(s.dir) }()
	legacy, err := demo.NewLegacy(demo.LegacyOptions{
		StaticKey: s.staticKey, JWKSURL: url(s.issuer) + "/jwks", TokenIssuer: url(s.issuer), TokenAudience: "legacy-crm",
		BasicUser: "reports", BasicPassword: s.basicPassword,
	})
	if err != nil {
		return err
	}
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return serveUntil(ctx, s.issuer, s.idp) })
	all.Go(func() error { return serveUntil(ctx, s.legacy, legacy) })
	g, err := s.build(std)
	if err != nil {
		return err
	}
	if err := g.Fetch(ctx); err != nil {
		return err
	}
	all.Go(func() error { return g.Run(ctx, gateway.Listeners{Clients: s.gateway, Admin: s.admin}) })
	if err := awaitReady(ctx, url(s.admin)+"/readyz"); err != nil {
		return errors.Join(err, all.Wait())
	}
	if err := s.print(std.out); err != nil {
		return err
	}
	err = all.Wait()
	fmt.Fprintln(std.out, "\nThe demo has ended.")
	return err
}

func newStage() (*stage, error) {
	s := &stage{staticKey: random(), crmSecret: random(), basicPassword: random()}
	for _, socket := range []struct {
		l    *net.Listener
		port string
	}{{&s.gateway, "8080"}, {&s.legacy, "8081"}, {&s.issuer, "8082"}, {&s.admin, "9090"}} {
		l, err := listenNear(socket.port)
		if err != nil {
			return nil, err
		}
		*socket.l = l
	}
	var err error
	s.idp, err = demo.NewIssuer(demo.IssuerOptions{URL: url(s.issuer), Clients: []demo.Client{
		{ID: "gateway", Secret: s.crmSecret, Audience: "legacy-crm", Scopes: []string{"crm:read", "crm:write"}, Lifetime: crmLifetime},
		{ID: "demo", Secret: "demo-secret", Audience: "orders-api", Scopes: demoScopes, Lifetime: demoLifetime},
	}})
	if err != nil {
		return nil, err
	}
	return s, s.writeFiles()
}

// demoScopes are those the demo's callers may have.
var demoScopes = []string{"orders:read", "crm:read", "reports:read"}

func random() string {
	var b [24]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// listenNear listens on loopback at port, or at a free one if that is taken.
func listenNear(port string) (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, fmt.Errorf("no port to listen on: %w", err)
	}
	return l, nil
}

func url(l net.Listener) string { return "http://" + l.Addr().String() }

// writeFiles puts the configuration and the secrets it names into a folder.
func (s *stage) writeFiles() (err error) {
	if s.dir, err = os.MkdirTemp("", "sallyport-demo-"); err != nil {
		return err
	}
	files := map[string]string{
		"gateway.yaml":              s.config(),
		"secrets/legacy/api-key":    s.staticKey,
		"secrets/crm/client-secret": s.crmSecret,
		"secrets/reports/user":      "reports",
		"secrets/reports/password":  s.basicPassword,
	}
	for name, text := range files {
		path := filepath.Join(s.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) config() string {
	return fmt.Sprintf(`# The configuration of this demo; "gateway run -c" would take it too.
listen: %[1]s
admin: {listen: %[2]s}

secrets:
  backend: file
  file: {dir: %[5]s/secrets}

issuers:
  demo:
    issuer: %[4]s
    jwks_url: %[4]s/jwks
    audiences: [orders-api]

credentials:
  legacy-key:                       # a static key in a header of its own
    type: static
    header: X-Legacy-Key
    prefix: ""
    token: ${secret:legacy/api-key}
  crm-token:                        # an OAuth2 token with 30 s of life
    type: oauth2
    token_url: %[4]s/token
    client_id: gateway
    client_secret: ${secret:crm/client-secret}
    scopes: [crm:read]
  reports-login:                    # HTTP Basic
    type: basic
    username: ${secret:reports/user}
    password: ${secret:reports/password}

telemetry: {access_log: %[5]s/access.log, log_level: warn}

routes:
  - name: orders
    path: /orders/*
    auth: {issuers: [demo], scopes: [orders:read]}
    forward: {X-User: sub}
    inject: legacy-key
    rate_limit: {rate: 100/s, key: subject}
    upstream: %[3]s
  - name: crm
    path: /crm/*
    auth: {issuers: [demo], scopes: [crm:read]}
    forward: {X-User: sub}
    inject: crm-token
    upstream: %[3]s
  - name: reports
    path: /reports/*
    auth: {issuers: [demo], scopes: [reports:read]}
    forward: {X-User: sub}
    inject: reports-login
    rate_limit: {rate: 5/1m, key: subject}
    upstream: %[3]s
  - name: health
    path: /healthz
    auth: public
    upstream: %[3]s
`, s.gateway.Addr(), s.admin.Addr(), url(s.legacy), url(s.issuer), s.dir)
}

func (s *stage) build(std streams) (*gateway.Gateway, error) {
	cfg, err := config.Load(filepath.Join(s.dir, "gateway.yaml"), config.Options{})
	if err != nil {
		return nil, err
	}
	log := telemetry.NewLog(std.err, slog.LevelWarn.String(), "auto")
	return gateway.Build(cfg, gateway.Options{Log: log, Stdout: std.out, Stderr: std.err, Version: buildVersion()})
}

// serveUntil serves h on l until ctx ends.
func serveUntil(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	defer context.AfterFunc(ctx, func() { _ = s.Close() })()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// awaitReady asks url until it answers 200.
func awaitReady(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		err := askHealth(ctx, url)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}
