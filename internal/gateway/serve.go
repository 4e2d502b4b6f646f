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

	"golang.org/x/net/netutil"

	"github.com/sallyport/sallyport/internal/proxy"
)

// lifecycle is where a Gateway stands between start and end.
type lifecycle struct {
	draining atomic.Bool
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
	defer g.access.start()()

	clients, operators := g.clientServer(life), g.adminServer(life, on.Admin)
	failed := make(chan error, 2)
	go func() { failed <- g.serveClients(clients, on.Clients) }()
	if on.Admin != nil {
		go func() { failed <- operators.Serve(on.Admin) }()
	}
	g.log.Info("gateway serves", "address", on.Clients.Addr().String(), "tls", first.tls != nil, "routes", len(first.routes))
	g.sayAdmin(on.Admin)

	var err error
	select {
	case <-ctx.Done():
		g.drain(clients)
	case err = <-failed: // a listener that fails; the other's requests may finish
		g.drain(clients)
	}
	end()
	_ = clients.Close()
	_ = operators.Close()
	g.current.Load().proxy.Wait(lastLines)
	g.running.tasks.Wait()
	g.log.Info("gateway has ended")
	return err
}

// drain ends serving without losing a request in flight.
func (g *Gateway) drain(clients *http.Server) {
	g.state.draining.Store(true)
	limits := g.current.Load().config.Limits
	g.log.Info("draining", "delay", limits.DrainDelay.String(), "at_most", limits.Drain.String())
	time.Sleep(limits.DrainDelay)
	ctx, cancel := context.Background(), context.CancelFunc(func() {})
	if limits.Drain > 0 {
		ctx, cancel = context.WithTimeout(ctx, limits.Drain)
	}
	defer cancel()
	if err := clients.Shutdown(ctx); err != nil {
		g.log.Warn("requests in flight were cut off at the end of the drain", "error", err)
	}
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
func (g *Gateway) clientServer(life context.Context) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	first := g.current.Load()
	limits := first.config.Limits
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
	if first.tls != nil {
		s.TLSConfig = first.tls.config()
	}
	return s
}

func (g *Gateway) serveClients(s *http.Server, l net.Listener) error {
	l = boundedBuffers{l}
	first := g.current.Load()
	if most := first.config.Limits.MaxConnections; most > 0 {
		l = netutil.LimitListener(l, most)
	}
	if first.tls != nil {
		return unlessClosed(s.ServeTLS(l, "", ""))
	}
	return unlessClosed(s.Serve(l))
}

// writeBuffer bounds what the kernel holds of an answer, in bytes. A write is
// bounded in time, and wakes only when a part of the buffer is free: in one of
// megabytes a caller who reads steadily, if slowly, would look like one who does
// not read.
const writeBuffer = 256 << 10

type boundedBuffers struct{ net.Listener }

func (l boundedBuffers) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(writeBuffer) // the kernel's own size serves too
	}
	return conn, err
}

func unlessClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// quietly turns net/http's own complaints (a handshake that failed, a caller
// that reset) into debug lines: anybody can cause them.
func quietly(l *slog.Logger) *log.Logger { return slog.NewLogLogger(l.Handler(), slog.LevelDebug) }
