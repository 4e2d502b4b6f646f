package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"math"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/proxy"
)

// lifecycle is where a Gateway stands between start and end.
type lifecycle struct {
	draining  atomic.Bool
	reloading chan struct{}            // full while a reload is under way
	named     []string                 // files named by the configuration as last tried; guarded by reloading
	read      atomic.Pointer[contents] // what the files were when last tried
}

// lastLines is how long requests that were cut off may take to be logged.
const lastLines = 2 * time.Second

// warmUp bounds how long the first fetches hold up /readyz.
const warmUp = 15 * time.Second

// Listeners are the sockets a Gateway serves on.
type Listeners struct {
	Clients net.Listener
	Admin   net.Listener // nil: switched off
}

// Listen opens the sockets the configuration names.
func (g *Gateway) Listen() (Listeners, error) {
	first := g.current.Load()
	clients, err := listen("listen", first.config.Listen)
	if err != nil {
		return Listeners{}, first.place("listen", err)
	}
	if first.config.Admin.Listen == "" {
		return Listeners{Clients: clients}, nil
	}
	operators, err := listen("admin.listen", first.config.Admin.Listen)
	if err != nil {
		_ = clients.Close()
		return Listeners{}, first.place("admin.listen", err)
	}
	return Listeners{Clients: clients, Admin: operators}, nil
}

func listen(key, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s is in use by another program; end it or choose another %s", address, key)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s may not be opened by this user; choose a port above 1023 for %s", address, key)
	}
	return nil, fmt.Errorf("cannot listen on %s: %w", address, err)
}

// Run serves on the listeners until ctx ends, then drains: /readyz fails, after
// drain_delay no new connection is taken, and requests in flight have drain to
// finish. It returns nil after a clean end.
func (g *Gateway) Run(ctx context.Context, on Listeners) error {
	life, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	end := func() { cancel(proxy.ErrShutdown) }
	defer end()
	first := g.current.Load()
	defer g.audit.start()()
	g.running.begin(life, g.log)
	g.running.adopt(first)
	g.running.tasks.Go(func() { first.awaitWarm(life) })
	g.running.tasks.Go(func() { g.follow(life) })
	defer g.access.start()()

	failed := make(chan error, 1)
	g.clients.failed, g.operators.failed = failed, failed
	g.clients.seats.set(first.config.Limits.MaxConnections)
	g.clients.serve(g.clientServer(first), first.tls != nil)
	g.clients.open(first.config.Listen, on.Clients)
	g.openAdmin(first, on.Admin)
	g.log.Info("gateway serves", "address", on.Clients.Addr().String(), "tls", first.tls != nil, "routes", len(first.routes))

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed: // a socket that fails; the other's requests may finish
	}
	g.drain()
	end()
	g.state.reloading <- struct{}{} // no reload goes on beyond here; a later one is refused
	<-g.state.reloading
	g.clients.close()
	g.operators.close()
	for _, generation := range g.running.generations() {
		generation.proxy.Wait(lastLines)
	}
	g.running.tasks.Wait()
	g.log.Info("gateway has ended")
	return err
}

// drain ends serving without losing a request in flight.
func (g *Gateway) drain() {
	g.state.draining.Store(true)
	limits := g.current.Load().config.Limits
	g.log.Info("draining", "delay", limits.DrainDelay.String(), "at_most", limits.Drain.String())
	time.Sleep(limits.DrainDelay)
	ctx, cancel := context.Background(), context.CancelFunc(func() {})
	if limits.Drain > 0 {
		ctx, cancel = context.WithTimeout(ctx, limits.Drain)
	}
	defer cancel()
	if err := g.clients.shutdown(ctx); err != nil {
		g.log.Warn("requests in flight were cut off at the end of the drain", "error", err)
	}
}

// enter has connections come in as next says, where that is not as last did.
// Those that are open stay as they are.
func (g *Gateway) enter(last *generation, next prepared) {
	limits := next.config.Limits
	g.clients.seats.set(limits.MaxConnections)
	if serverLimits(last.config.Limits) != serverLimits(limits) || last.tls != next.tls {
		g.clients.serve(g.clientServer(next.generation), next.tls != nil)
	}
	if next.clients != nil {
		g.clients.open(next.config.Listen, next.clients)
		g.log.Info("gateway serves", "address", next.clients.Addr().String(), "tls", next.tls != nil)
	}
	switch {
	case next.operators != nil:
		g.openAdmin(next.generation, next.operators)
	case next.config.Admin.Listen == "" && last.config.Admin.Listen != "":
		g.openAdmin(next.generation, nil)
	default:
		g.renewAdmin(next.generation)
	}
}

// serverLimits are those that a server has for its life.
func serverLimits(l config.Limits) config.Limits {
	return config.Limits{HeaderTimeout: l.HeaderTimeout, IdleTimeout: l.IdleTimeout, MaxHeader: l.MaxHeader}
}

// awaitWarm notes when the first fetches have ended, however they ended.
func (g *generation) awaitWarm(ctx context.Context) {
	tick, limit := time.NewTicker(20*time.Millisecond), time.NewTimer(warmUp)
	defer tick.Stop()
	defer limit.Stop()
	for g.fetching() {
		select {
		case <-tick.C:
		case <-limit.C:
			g.warm.Store(true)
			return
		case <-ctx.Done():
			return
		}
	}
	g.warm.Store(true)
}

// clientServer is the full lane's server: HTTP/1.1, HTTP/2 over TLS, and h2c by
// prior knowledge.
func (g *Gateway) clientServer(of *generation) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	life, limits := g.running.life, of.config.Limits
	s := &http.Server{
		Handler:                      http.HandlerFunc(g.serveCurrent),
		ReadHeaderTimeout:            limits.HeaderTimeout,
		IdleTimeout:                  limits.IdleTimeout,
		MaxHeaderBytes:               cmp.Or(int(limits.MaxHeader), math.MaxInt32), // 0: no limit
		Protocols:                    protocols,
		HTTP2:                        &http.HTTP2Config{MaxConcurrentStreams: 250, MaxReadFrameSize: 16 << 10},
		DisableGeneralOptionsHandler: true,
		BaseContext:                  func(net.Listener) context.Context { return life },
		ErrorLog:                     quietly(g.log),
	}
	if of.tls != nil {
		s.TLSConfig = of.tls.config()
	}
	return s
}

// writeBuffer bounds what the kernel holds of an answer, in bytes. A write is
// bounded in time, and wakes only when a part of the buffer is free: in one of
// megabytes a caller who reads steadily, if slowly, would look like one who does
// not read.
const writeBuffer = 256 << 10

// quietly turns net/http's own complaints (a handshake that failed, a caller
// that reset) into debug lines: anybody can cause them.
func quietly(l *slog.Logger) *log.Logger { return slog.NewLogLogger(l.Handler(), slog.LevelDebug) }
