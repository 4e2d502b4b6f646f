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

// adminServer is the operators' server on l, which may be nil.
func (g *Gateway) adminServer(life context.Context, l net.Listener) *http.Server {
	return &http.Server{
		Handler:           admin.New(g.adminOptions(l)),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		BaseContext:       func(net.Listener) context.Context { return life },
		ErrorLog:          quietly(g.log),
	}
}

func (g *Gateway) adminOptions(l net.Listener) admin.Options {
	o := admin.Options{
		Health: g.Health, Gatherer: g.registry, Local: onLoopback(l),
		Status: g.Status, Refresh: g.refreshCredential, Explain: g.answerExplain, Record: g.audit.call, Log: g.log,
	}
	current := g.current.Load()
	if !current.config.Admin.Token.IsZero() {
		o.Token = current.value(current.config.Admin.Token)
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
func (g *Gateway) sayAdmin(l net.Listener) {
	token := !g.current.Load().config.Admin.Token.IsZero()
	switch {
	case l == nil:
		g.log.Info("admin listener is off")
		return
	case !token && !onLoopback(l):
		g.log.Warn("admin listens beyond this machine without admin.token: only the probes and /metrics are served")
	}
	g.log.Info("admin serves", "address", l.Addr().String(), "token", token)
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
