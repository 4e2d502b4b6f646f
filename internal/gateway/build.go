// Package gateway gives the parts to each other: it makes live objects of a
// configuration and serves with them until it is told to end, or to serve with
// another configuration.
//
// A [Gateway] is what lives as long as the process: sockets, log, metrics. A
// generation is one configuration come alive; a reload builds the next beside it
// and swaps one pointer. What both were made of alike, the next takes over as it
// stands (see keep).
//
// # Security
//
// Nothing is let through because something failed to load: a route whose keys
// or credentials are not to be had answers 503, and a configuration that could
// not mean what it says ends the start with the line that is wrong.
package gateway

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/sallyport/sallyport/internal/api"
	"github.com/sallyport/sallyport/internal/auth"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/credentials"
	"github.com/sallyport/sallyport/internal/crypto"
	"github.com/sallyport/sallyport/internal/proxy"
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
	Now       func() time.Time // by which requests are judged; nil means time.Now

	Load   func() (*config.Config, error) // for a reload; nil: the configuration's file is read again
	Level  *slog.LevelVar                 // of Log, set by each reload; nil: it stays
	Hangup <-chan os.Signal               // each asks for a reload; nil: none comes
}

// Version tells which build this is.
type Version struct{ Version, Commit, Go string }

// Gateway serves, with one configuration after another. Its fields outlive them.
type Gateway struct {
	options  Options
	started  time.Time
	log      *slog.Logger
	registry *prometheus.Registry
	meters
	access  *accessLog
	audit   *auditLog
	revoked *api.Revocations
	current atomic.Pointer[generation]

	preparing atomic.Pointer[generation] // by a reload that is under way; nil: by none
	running   supervisor
	state     lifecycle

	clients, operators door
	admin              atomic.Pointer[http.Handler]
}

// meters are the series of the process, made once: a reload must not make them
// again. What they are labelled with comes and goes with the configurations.
type meters struct {
	traffic    *proxy.Metrics
	auth       *auth.Metrics
	refreshes  *credentials.Metrics
	reads      *secrets.Metrics
	operations *api.Metrics
	usage      *crypto.Usage // what the keys of keyrings did
	reloads    reloadMetrics
}

// builder holds what the parts of a generation share while it is built.
type builder struct {
	*generation
	seen  *auth.Cache    // of tokens that were verified: of this configuration alone
	last  *generation    // the one that serves, whose parts may be taken over; nil at the start
	scope *secrets.Scope // of what is being made; nil: it has read no secret
	named []string       // files named by what is being built
	loops []loop         // what is to run in the background while what is being built is in use
	used  []*part        // in the order they were asked for
	wrong config.Errors  // what could not be built, so that all is told at once
}

// Build makes a Gateway of c. It opens files but no sockets, and starts
// nothing.
func Build(c *config.Config, o Options) (*Gateway, error) {
	registry := prometheus.NewRegistry()
	if o.Level == nil {
		o.Level = new(slog.LevelVar)
	}
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfo(o.Version))
	g := &Gateway{
		options: o, started: time.Now(), log: telemetry.Discard(o.Log), registry: registry, access: newAccessLog(o, registry), audit: newAuditLog(registry), revoked: api.NewRevocations(0),
		meters: meters{
			traffic: proxy.NewMetrics(registry), auth: auth.NewMetrics(registry),
			refreshes: credentials.NewMetrics(registry), reads: secrets.NewMetrics(registry), reloads: newReloadMetrics(registry),
			operations: api.NewMetrics(registry), usage: crypto.NewUsage(),
		},
	}
	registry.MustRegister(sealedCounts{g})
	first, err := g.build(c, nil)
	if err != nil {
		return nil, err
	}
	g.access.move(first.lines)
	g.audit.move(first.audited)
	g.current.Store(first)
	g.state.reloading = make(chan struct{}, 1)
	read := look(g.files())
	g.state.read.Store(&read)
	return g, nil
}

// build makes a generation of c, which takes over from last what is made of the
// same.
func (g *Gateway) build(c *config.Config, last *generation) (*generation, error) {
	b := &builder{last: last, generation: &generation{
		Gateway: g, config: c, loaded: time.Now(), parts: make(map[partKey]*part), uses: make(map[*part]bool),
		requests: requests{ended: make(chan struct{})},
		issuers:  make(map[string]*issuer), apiKeys: make(map[string]*auth.APIKeys), credentials: make(map[string]credentials.Credential),
		keyrings: make(map[string]*Keyring),
	}}
	err := b.secrets()
	if err == nil {
		for _, step := range []func(){b.certificates, b.accessLog, b.auditLog, b.useIssuers, b.useAPIKeys, b.useCredentials, b.useKeyrings, b.useRoutes} {
			step()
		}
		b.rest()
		if len(b.wrong) > 0 {
			err = inOrder(b.wrong)
		}
	}
	g.state.named = b.named
	if err != nil {
		b.discard()
		return nil, err
	}
	return b.generation, nil
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

// store is the secrets in use, and where they come from.
type store struct {
	*secrets.Store
	from         secrets.Backend
	backend, why string
}

func (b *builder) secrets() error {
	c := b.config.Secrets
	made, err := keep(b, "secrets", "", recipe{c, b.files(c.Vault.TLS, c.AWS.TLS)}, func() (*store, error) {
		backend, why, err := SecretBackend(context.Background(), b.config, "", b.options.LookupEnv, b.log)
		if err != nil {
			return nil, err
		}
		b.log.Info("secret backend chosen", "backend", backend.Name(), "why", why)
		made := &store{from: backend, backend: backend.Name(), why: why, Store: secrets.NewStore(backend, secrets.Options{
			Refresh: c.Refresh, MaxStale: unlessZero(c.MaxStale), Log: b.log, Metrics: b.reads, OnRead: b.audit.read,
		})}
		b.loops = append(b.loops, loop{"secrets", made})
		if background, ok := backend.(secrets.Runner); ok {
			b.loops = append(b.loops, loop{"secret backend " + backend.Name(), background})
		}
		return made, nil
	})
	if err != nil {
		return b.place("secrets.backend", err)
	}
	b.store, b.generation.scope = made, made.Scope()
	for _, use := range b.config.SecretUses() {
		if use.Used {
			b.generation.scope.Watch(secrets.Reference{Path: use.Path, Field: use.Field})
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

// value is the live value of a secret place, for as long as the generation is in
// use.
func (g *generation) value(s config.Secret) *secrets.Value { return valueIn(g.scope, s) }

func valueIn(scope *secrets.Scope, s config.Secret) *secrets.Value {
	if literal, ok := s.Literal(); ok {
		return secrets.Fixed(secrets.NewSecret(literal))
	}
	return scope.Watch(secrets.Reference{Path: s.Path, Field: s.Field})
}

func (b *builder) certificates() {
	if b.config.TLS == nil {
		return
	}
	made, err := keep(b, "certificates", "", recipe{*b.config.TLS}, func() (*certificates, error) {
		made, err := newCertificates(*b.config.TLS, b.log)
		b.loops = append(b.loops, loop{"certificates", made})
		return made, err
	})
	b.fail("tls.cert_file", err)
	b.tls = made
}

func (b *builder) accessLog() {
	var err error
	b.lines, err = b.access.openPlace(b.config.Telemetry.AccessLog)
	b.fail("telemetry.access_log", err)
}

// useRoutes makes the routes, and of them the proxy. Nothing is made of a route
// whose issuer or credential could not be.
func (b *builder) useRoutes() {
	var err error
	if b.seen, err = auth.NewCache(); err != nil {
		b.fail("routes", err)
		return
	}
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
	var denied func(proxy.Denial)
	var gate func() error
	if b.audited != nil {
		denied = b.audit.denied
		if b.config.Audit.OnError == "refuse" {
			gate = b.audit.err
		}
	}
	services, err := b.services()
	if err != nil {
		b.fail("crypto", err)
		return
	}
	tokens, err := b.tokenServices()
	if err != nil {
		b.fail("token_service", err)
		return
	}
	b.proxy, err = proxy.New(proxy.Options{
		Routes: b.routes, Services: append(services, tokens...), Documents: resources(b.config), TrustedProxies: trusted, MaxHeader: int(b.config.Limits.MaxHeader), BodyTimeout: b.config.Limits.BodyTimeout,
		KeyHeaders: b.keyHeaders(), TokenCookies: b.tokenCookies(), AuthFailures: b.failureLimit(),
		Metrics: b.traffic, Access: b.accessLines(), Denied: denied, Gate: gate, Log: b.log, Now: b.options.Now,
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
	for _, name := range r.Auth.APIKeys {
		if b.apiKeys[name] == nil {
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

// transportOptions is what two upstreams must share to share connections.
type transportOptions struct {
	connect, header time.Duration
	tls             config.UpstreamTLS
}

// transport returns the client for an upstream; equal settings share one.
func (b *builder) transport(u config.Upstream) (*http.Transport, error) {
	o := transportOptions{u.Timeouts.Connect, u.Timeouts.ResponseHeader, u.TLS}
	files := b.files(config.ClientTLS{CAFile: u.TLS.CAFile, CertFile: u.TLS.CertFile, KeyFile: u.TLS.KeyFile})
	return keep(b, "transport", fmt.Sprint(o), recipe{o, files}, func() (*http.Transport, error) {
		return upstream.NewTransport(upstream.TransportOptions{
			Connect: o.connect, ResponseHeader: o.header,
			TLS: upstream.TLSOptions{
				CAFile: o.tls.CAFile, CertFile: o.tls.CertFile, KeyFile: o.tls.KeyFile,
				ServerName: o.tls.ServerName, InsecureSkipVerify: o.tls.InsecureSkipVerify,
			},
		})
	})
}
