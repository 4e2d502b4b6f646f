package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport/internal/admin"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/secrets"
	"github.com/sallyport/sallyport/internal/telemetry"
)

// reloadMetrics count the reloads.
type reloadMetrics struct {
	success, failure prometheus.Counter
	last             prometheus.Gauge
}

func newReloadMetrics(reg prometheus.Registerer) reloadMetrics {
	total := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gateway_config_reloads_total", Help: "Reloads of the configuration, by result: success or failure.",
	}, []string{"result"})
	last := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "gateway_config_last_reload_successful", Help: "1 if the configuration as last read is the one that serves, 0 if it was refused.",
	})
	last.Set(1)
	reg.MustRegister(total, last)
	return reloadMetrics{total.WithLabelValues("success"), total.WithLabelValues("failure"), last}
}

func (m reloadMetrics) count(err error) {
	if err != nil {
		m.failure.Inc()
		m.last.Set(0)
		return
	}
	m.success.Inc()
	m.last.Set(1)
}

// retireAfter bounds how long the loops of a generation go on for the requests
// that it still serves: tokens are renewed and secrets read for these too.
const retireAfter = time.Minute

// errEnding refuses a reload once the gateway drains.
var errEnding = errors.New("the gateway is ending, or has not begun")

// Reload reads the configuration again and serves with it from the next request
// on. A configuration that is wrong changes nothing: the error, which wraps
// [admin.ErrRefused], tells every mistake on a line of its own. One reload goes
// on at a time; ctx bounds the waiting for it too.
func (g *Gateway) Reload(ctx context.Context) error { return g.reload(ctx, "admin call") }

func (g *Gateway) reload(ctx context.Context, reason string) error {
	select {
	case g.state.reloading <- struct{}{}:
		defer func() { <-g.state.reloading }()
	case <-ctx.Done():
		return fmt.Errorf("another reload is under way: %w", ctx.Err())
	}
	if g.state.draining.Load() || g.running.life == nil || g.running.life.Err() != nil {
		return fmt.Errorf("%w: %w", admin.ErrRefused, errEnding)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(g.running.life, cancel)()
	begun := time.Now()
	before := g.state.read.Load().again() // what is written from here on is another change
	next, err := g.prepare(ctx)
	if ctx.Err() != nil {
		if err == nil {
			next.discard()
		}
		return fmt.Errorf("reload: %w", context.Cause(ctx))
	}
	read := look(g.files())
	for name, sum := range before {
		if _, ok := read[name]; ok {
			read[name] = sum
		}
	}
	g.state.read.Store(&read)
	g.reloads.count(err)
	g.audit.reloaded(reason, err)
	if err != nil {
		g.log.Error("reload refused; the configuration before goes on", "reason", reason, "errors", strings.Count(err.Error(), "\n")+1)
		for line := range strings.Lines(err.Error()) {
			g.log.Error("reload refused", "where", strings.TrimSpace(line))
		}
		return fmt.Errorf("%w: %w", admin.ErrRefused, err)
	}
	g.commit(next)
	g.log.Info("configuration reloaded", "reason", reason, "routes", len(next.generation.routes), "took", time.Since(begun))
	return nil
}

// prepared is a generation ready to serve, with the sockets it asks for.
type prepared struct {
	*generation
	clients, operators net.Listener // nil: as they are
}

// discard lets go of all that was prepared.
func (p prepared) discard() {
	for _, l := range []net.Listener{p.clients, p.operators} {
		if l != nil {
			_ = l.Close()
		}
	}
	p.running.release(p.generation)
	p.running.bury(p.generation)
	p.lines.close()
	p.audited.end()
	p.forgetSeries(p.generation)
}

// prepare builds the next generation beside the one that serves and has it fetch
// what is new in it, so that it can serve from its first request on. As at the
// start, what cannot be had holds nothing up; but what the present generation
// has must not be lost.
func (g *Gateway) prepare(ctx context.Context) (prepared, error) {
	last := g.current.Load()
	c, err := g.load(last)
	if err != nil {
		return prepared{}, err
	}
	next, err := g.build(c, last)
	if err != nil {
		return prepared{}, err
	}
	g.preparing.Store(next)
	defer g.preparing.Store(nil)
	_ = next.store.FetchNew(ctx) // each value keeps its own error; what fetches tokens needs them
	g.running.adopt(next)
	p := prepared{generation: next}
	next.awaitWarm(ctx)
	if wrong := append(next.weak(), next.lostSecrets(last)...); len(wrong) > 0 {
		p.discard()
		return prepared{}, inOrder(wrong)
	}
	if p.clients, err = g.clients.reopen("listen", next, c.Listen); err == nil {
		p.operators, err = g.operators.reopen("admin.listen", next, c.Admin.Listen)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		p.discard()
		return prepared{}, err
	}
	next.tellMissing()
	return p, nil
}

// load reads the configuration that last was read from.
func (g *Gateway) load(last *generation) (*config.Config, error) {
	if g.options.Load != nil {
		return g.options.Load()
	}
	return config.Load(last.config.File(), config.Options{})
}

// files are those whose change is one of the configuration: its own, and those it
// names that are not read again by themselves, as last tried.
func (g *Gateway) files() []string {
	return append([]string{g.current.Load().config.File()}, g.state.named...)
}

// commit has next serve from the next request on.
func (g *Gateway) commit(next prepared) {
	last := g.current.Load()
	g.options.Level.Set(telemetry.Level(next.config.Telemetry.LogLevel))
	g.access.move(next.lines)
	g.audit.move(next.audited)
	g.current.Store(next.generation)
	g.enter(last, next)
	last.retire()
	g.running.tasks.Go(func() { g.see(last) })
	if next.config.Telemetry.LogFormat != last.config.Telemetry.LogFormat {
		g.log.Warn("telemetry.log_format has changed; it needs a restart")
	}
}

// see ends a generation that serves no new request: its loops after its last
// request, or when that takes long; the rest after its last request.
func (g *Gateway) see(last *generation) {
	timer := time.NewTimer(retireAfter)
	defer timer.Stop()
	select {
	case <-last.ended:
	case <-timer.C:
	case <-g.running.life.Done():
	}
	g.running.release(last)
	select {
	case <-last.ended:
	case <-g.running.life.Done():
		return
	}
	g.running.bury(last)
	select {
	case g.state.reloading <- struct{}{}: // or a reload might take up series that are about to go
		g.forgetSeries(last)
		<-g.state.reloading
	case <-g.running.life.Done():
	}
}

// forgetSeries takes away the series of what the configuration that serves does
// not name, after the last request that could count there. No reload is under way
// but the one that asks.
func (g *Gateway) forgetSeries(last *generation) {
	current := g.current.Load()
	if current == nil {
		return
	}
	routes := make(map[string]bool)
	for _, r := range current.config.Routes {
		routes[r.Name] = true
	}
	for _, r := range last.config.Routes {
		if !routes[r.Name] {
			g.traffic.Forget(r.Name)
		}
	}
	if current.config.Crypto == nil && last.config.Crypto != nil {
		g.traffic.Forget(config.CryptoRoute)
	}
	if current.config.TokenService == nil && last.config.TokenService != nil {
		g.traffic.Forget(tokenRoute)
	}
	for name := range last.credentials {
		if current.credentials[name] == nil {
			g.refreshes.Forget(name)
		}
	}
	for name := range last.issuers {
		if current.issuers[name] == nil {
			g.auth.Forget(name)
		}
	}
	for name := range last.keyrings {
		if current.keyrings[name] == nil {
			g.operations.Forget(name)
		}
	}
}

// lostSecrets lists the references that last can read and g cannot, since it
// asks another backend.
func (g *generation) lostSecrets(last *generation) config.Errors {
	if g.store == last.store {
		return nil
	}
	had := make(map[string]bool)
	for _, s := range last.store.Status() {
		had[s.Name] = s.Ready
	}
	return g.missing(func(ref secrets.Reference) bool { return had[ref.String()] })
}
