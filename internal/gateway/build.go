// Package gateway gives the parts to each other: it makes live objects of a
// configuration and serves with them until it is told to end.
//
// # Security
//
// Nothing is let through because something failed to load: a route whose keys
// or credentials are not to be had answers 503, and a configuration that could
// not mean what it says ends the start with the line that is wrong.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/sallyport/sallyport/internal/auth"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/credentials"
	"github.com/sallyport/sallyport/internal/proxy"
	"github.com/sallyport/sallyport/internal/ratelimit"
	"github.com/sallyport/sallyport/internal/secrets"
	"github.com/sallyport/sallyport/internal/telemetry"
	"github.com/sallyport/sallyport/internal/upstream"
)

// Options are what a Gateway needs beside its configuration.
type Options struct {
	Log       *slog.Logger
	Stdout    io.Writer                   // for the access log
	Stderr    io.Writer                   // for the access log, if it is to go there
	LookupEnv func(string) (string, bool) // for the env backend
	Version   Version
}

// Version tells which build this is.
type Version struct{ Version, Commit, Go string }

// Gateway is a configuration come alive.
type Gateway struct {
	config *config.Config
	log    *slog.Logger
	store  *secrets.Store
	chosen string // the secret backend, and why it is that one

	issuers     map[string]*issuer
	credentials map[string]credentials.Credential
	loops       []loop // what runs in the background while the gateway serves
	lines       *telemetry.Lines
	closeLog    func() error

	routes   []proxy.Route
	proxy    *proxy.Proxy
	tls      *certificates
	registry *prometheus.Registry

	backend string // name of the secret backend
	version Version
	started time.Time
	state   lifecycle
}

// loop is a background task with a name for the log.
type loop struct {
	name string
	task runner
}

// runner is what runs until its context ends.
type runner interface {
	Run(ctx context.Context) error
}

// builder holds what the parts of a Gateway share while it is built.
type builder struct {
	*Gateway
	options    Options
	registerer prometheus.Registerer
	auth       *auth.Metrics
	refreshes  *credentials.Metrics
	table      *ratelimit.Table
	transports map[transportKey]*http.Transport
	wrong      config.Errors // what could not be built, so that all is told at once
}

// Build makes a Gateway of c. It opens files but no sockets, and starts
// nothing.
func Build(c *config.Config, o Options) (*Gateway, error) {
	b := &builder{
		Gateway: &Gateway{
			config: c, log: telemetry.Discard(o.Log), registry: prometheus.NewRegistry(),
			issuers: make(map[string]*issuer), credentials: make(map[string]credentials.Credential),
			closeLog: func() error { return nil }, version: o.Version, started: time.Now(),
		},
		options:    o,
		transports: make(map[transportKey]*http.Transport),
		table:      ratelimit.NewTable(c.RateLimits.MaxKeys, time.Now),
	}
	b.registerer = b.registry
	b.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfo(o.Version))
	b.auth, b.refreshes = auth.NewMetrics(b.registry), credentials.NewMetrics(b.registry)
	if err := b.secrets(); err != nil {
		return nil, err
	}
	for _, step := range []func(){b.certificates, b.accessLog, b.useIssuers, b.useCredentials, b.useRoutes} {
		step()
	}
	if len(b.wrong) > 0 {
		return nil, errors.Join(inOrder(b.wrong), b.closeLog())
	}
	return b.Gateway, nil
}

func buildInfo(v Version) prometheus.Collector {
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "gateway_build_info", Help: "1, labelled with the build.",
		ConstLabels: prometheus.Labels{"version": v.Version, "commit": v.Commit, "goversion": v.Go},
	})
	g.Set(1)
	return g
}

// fail notes an error that the key caused, if it is one.
func (b *builder) fail(key string, err error) {
	if err != nil {
		b.wrong = append(b.wrong, b.place(key, err))
	}
}

func (b *builder) secrets() error {
	backend, why, err := SecretBackend(context.Background(), b.config, "", b.options.LookupEnv, b.log)
	if err != nil {
		return b.place("secrets.backend", err)
	}
	b.backend = backend.Name()
	b.log.Info("secret backend chosen", "backend", backend.Name(), "why", why)
	b.chosen = fmt.Sprintf("%s (%s)", backend.Name(), why)
	b.store = secrets.NewStore(backend, secrets.Options{
		Refresh: b.config.Secrets.Refresh, MaxStale: unlessZero(b.config.Secrets.MaxStale),
		Log: b.log, Metrics: secrets.NewMetrics(b.registerer),
	})
	b.loops = append(b.loops, loop{"secrets", b.store})
	if background, ok := backend.(secrets.Runner); ok {
		b.loops = append(b.loops, loop{"secret backend " + backend.Name(), background})
	}
	for _, use := range b.config.SecretUses() {
		if use.Used {
			b.store.Watch(secrets.Reference{Path: use.Path, Field: use.Field})
		}
	}
	return nil
}

// unlessZero turns the configuration's "0 is no limit" into the negative that
// secrets and auth read so.
func unlessZero(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// value is the live value of a secret place.
func (g *Gateway) value(s config.Secret) *secrets.Value {
	if literal, ok := s.Literal(); ok {
		return secrets.Fixed(secrets.NewSecret(literal))
	}
	return g.store.Watch(secrets.Reference{Path: s.Path, Field: s.Field})
}

func (b *builder) certificates() {
	if b.config.TLS == nil {
		return
	}
	var err error
	if b.tls, err = newCertificates(*b.config.TLS, b.log); err != nil {
		b.fail("tls.cert_file", err)
		return
	}
	b.loops = append(b.loops, loop{"certificates", b.tls})
}

func (b *builder) accessLog() {
	out, closeLog, err := openAccessLog(b.config.Telemetry.AccessLog, b.options)
	b.fail("telemetry.access_log", err)
	b.closeLog = closeLog
	if out == nil {
		return
	}
	b.lines = telemetry.NewLines(out)
	b.registerer.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "gateway_access_log_dropped_total", Help: "Access log lines lost because their writer was blocked or failed.",
	}, func() float64 { return float64(b.lines.Dropped()) }))
}

// useRoutes makes the routes, and of them the proxy. Nothing is made of a route
// whose issuer or credential could not be.
func (b *builder) useRoutes() {
	metrics := proxy.NewMetrics(b.registerer)
	var trusted []netip.Prefix
	for i, text := range b.config.TrustedProxies {
		prefix, err := parsePrefix(text)
		b.fail(fmt.Sprintf("trusted_proxies[%d]", i), err)
		trusted = append(trusted, prefix)
	}
	for i, r := range b.config.Routes {
		if !b.made(r) {
			continue
		}
		route, err := b.route(r)
		b.failRoute(i, err)
		b.routes = append(b.routes, route)
	}
	if len(b.wrong) > 0 {
		return
	}
	var err error
	b.proxy, err = proxy.New(proxy.Options{
		Routes: b.routes, TrustedProxies: trusted, MaxHeader: int(b.config.Limits.MaxHeader), BodyTimeout: b.config.Limits.BodyTimeout,
		Metrics: metrics, Access: b.lines, Log: b.log,
	})
	b.fail("routes", err)
}

// made reports whether all that r names could be made.
func (b *builder) made(r config.Route) bool {
	for _, name := range r.Auth.Issuers {
		if b.issuers[name] == nil {
			return false
		}
	}
	for _, name := range r.Inject {
		if b.credentials[name] == nil {
			return false
		}
	}
	return true
}

// parsePrefix reads a CIDR range, or an address as a range of one.
func parsePrefix(text string) (netip.Prefix, error) {
	if !strings.Contains(text, "/") {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return netip.Prefix{}, fmt.Errorf("%q is no address or CIDR range", text)
		}
		return netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is no address or CIDR range", text)
	}
	return prefix.Masked(), nil
}

// transportKey is what two upstreams must share to share connections.
type transportKey struct {
	connect, header time.Duration
	tls             config.UpstreamTLS
}

// transport returns the client for an upstream; equal settings share one.
func (b *builder) transport(u config.Upstream) (*http.Transport, error) {
	key := transportKey{u.Timeouts.Connect, u.Timeouts.ResponseHeader, u.TLS}
	if t := b.transports[key]; t != nil {
		return t, nil
	}
	t, err := upstream.NewTransport(upstream.TransportOptions{
		Connect: u.Timeouts.Connect, ResponseHeader: u.Timeouts.ResponseHeader,
		TLS: upstream.TLSOptions{
			CAFile: u.TLS.CAFile, CertFile: u.TLS.CertFile, KeyFile: u.TLS.KeyFile,
			ServerName: u.TLS.ServerName, InsecureSkipVerify: u.TLS.InsecureSkipVerify,
		},
	})
	if err == nil {
		b.transports[key] = t
	}
	return t, err
}
