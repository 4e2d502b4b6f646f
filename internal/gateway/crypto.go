package gateway

import (
	"context"
	"net/http"
	"strings"

	"github.com/sallyport/sallyport/internal/admin"
	"github.com/sallyport/sallyport/internal/api"
	"github.com/sallyport/sallyport/internal/audit"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/proxy"
)

// useKeyrings makes every keyring there is.
func (b *builder) useKeyrings() {
	for name, c := range b.config.Keyrings {
		made, err := b.keyring(name, c)
		if err != nil {
			b.fail("keyrings."+name, err)
			continue
		}
		b.keyrings[name] = made
	}
}

// services makes what the gateway itself answers.
func (b *builder) services() ([]proxy.Service, error) {
	c := b.config.Crypto
	if c == nil {
		return nil, nil
	}
	workers, err := b.workers()
	if err != nil {
		return nil, err
	}
	path := strings.TrimSuffix(c.Path, "/")
	keyrings := make(map[string]api.Keyring, len(b.keyrings))
	for name, k := range b.keyrings {
		keyrings[name] = k
	}
	served := api.NewCrypto(api.CryptoOptions{
		Path: path, Keyrings: keyrings, MaxBody: unbounded(int64(c.MaxBody)), Workers: workers,
		Policy:  api.PasswordPolicy{MinLength: c.PasswordPolicy.MinLength, RefuseCommon: c.PasswordPolicy.RefuseCommon},
		Metrics: b.operations, Audit: b.audit.keyOperation, Now: b.options.Now,
	})
	route := proxy.Route{Name: config.CryptoRoute, Path: path, Observe: c.Auth.Mode == "observe", CloseAtExpiry: c.Auth.CloseAtExpiry}
	if err := b.guard(&route, config.Route{Name: config.CryptoRoute, Path: path, Auth: c.Auth}); err != nil {
		return nil, err
	}
	return []proxy.Service{{
		Route: route, Scopes: served.Scopes, Refusal: served.Refusal,
		Serve: func(w http.ResponseWriter, r *http.Request, from proxy.Caller) { served.Serve(w, r, apiCaller(from)) },
	}}, nil
}

// apiCaller is who calls, without a scope where nobody knows who it is.
func apiCaller(from proxy.Caller) api.Caller {
	c := api.Caller{RequestID: from.RequestID}
	if p := from.Principal; p != nil {
		c.Subject, c.Issuer, c.Scopes = p.Subject, p.Issuer, p.Scopes
	}
	return c
}

// unbounded turns the configuration's "0 is no limit" into a size that no body
// has.
func unbounded(size int64) int64 {
	if size == 0 {
		return 1 << 40
	}
	return size
}

// keyOperation records a key operation before it is done: it is not done
// without.
func (a *auditLog) keyOperation(ctx context.Context, e api.Event) error {
	f := a.current.Load()
	if f == nil {
		return nil
	}
	return f.Record(ctx, audit.Event{
		Kind: audit.KindKey, Action: e.Operation, Name: e.Keyring, Decision: "allow", Subject: e.Subject, Issuer: e.Issuer, RequestID: e.RequestID,
	})
}

// keyringHealth tells how a keyring is.
func keyringHealth(name string, k *Keyring) admin.Component {
	c := admin.Component{Name: "keyring/" + name, State: admin.OK, Age: -1}
	ring, err := k.Current()
	if err != nil {
		c.State, c.Detail = admin.Unavailable, "its document is not to be had, or no keyring"
		return c
	}
	if c.Detail = worn(ring.Type(), ring.Status()); c.Detail != "" {
		c.State = admin.Degraded
	}
	return c
}
