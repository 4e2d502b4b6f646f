package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/sallyport/sallyport/internal/admin"
	"github.com/sallyport/sallyport/internal/credentials"
)

// adminServer is the operators' server.
func (g *Gateway) adminServer() *http.Server {
	return &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*g.admin.Load()).ServeHTTP(w, r) }),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		BaseContext:       func(net.Listener) context.Context { return g.running.life },
		ErrorLog:          quietly(g.log),
	}
}

// openAdmin serves operators on l, or where that is nil no more.
func (g *Gateway) openAdmin(of *generation, l net.Listener) {
	defer g.sayAdmin(of, l)
	handler := admin.New(g.adminOptions(of, l))
	g.admin.Store(&handler)
	if l == nil {
		g.operators.retire()
		return
	}
	g.operators.serve(g.adminServer(), false)
	g.operators.open(of.config.Admin.Listen, l)
}

// renewAdmin serves operators on the same socket as another generation says.
func (g *Gateway) renewAdmin(of *generation) {
	handler := admin.New(g.adminOptions(of, g.operators.listener()))
	g.admin.Store(&handler)
}

func (g *Gateway) adminOptions(of *generation, l net.Listener) admin.Options {
	o := admin.Options{
		Health: g.Health, Gatherer: g.registry, Local: onLoopback(l),
		Status: g.Status, Refresh: g.refreshCredential, Reload: g.Reload, Explain: g.answerExplain, Record: g.audit.call, Log: g.log,
	}
	if !of.config.Admin.Token.IsZero() {
		o.Token = of.value(of.config.Admin.Token)
	}
	return o
}

// onLoopback reports whether only this machine reaches l.
func onLoopback(l net.Listener) bool {
	if l == nil {
		return false
	}
	addr, ok := l.Addr().(*net.TCPAddr)
	return ok && addr.IP.IsLoopback()
}

// sayAdmin tells where the probes are, and what else is served there.
func (g *Gateway) sayAdmin(of *generation, l net.Listener) {
	token := !of.config.Admin.Token.IsZero()
	switch {
	case l == nil:
		g.log.Info("admin listener is off")
		return
	case !token && !onLoopback(l):
		g.log.Warn("admin listens beyond this machine without admin.token: only the probes and /metrics are served")
	}
	g.log.Info("admin serves", "address", l.Addr().String(), "asks_for_token", token)
}

// refresher is a credential that can be renewed on demand.
type refresher interface {
	Refresh(ctx context.Context) error
}

// refreshCredential renews a credential now. The errors of a renewal tell the
// kind of failure and nothing that the token endpoint said.
func (g *Gateway) refreshCredential(ctx context.Context, name string) error {
	c, ok := g.current.Load().credentials[name]
	if !ok {
		return fmt.Errorf("credential %s: %w", name, admin.ErrUnknown)
	}
	r, ok := c.(refresher)
	if !ok {
		return fmt.Errorf("%w: credential %s is not fetched: it follows its secret", admin.ErrRefused, name)
	}
	switch err := r.Refresh(ctx); {
	case errors.Is(err, credentials.ErrTooSoon):
		return fmt.Errorf("credential %s: %w", name, admin.ErrTooSoon)
	case err != nil:
		return fmt.Errorf("%w: %w", admin.ErrPeer, err)
	}
	return nil
}
