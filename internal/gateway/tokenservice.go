package gateway

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/api"
	"github.com/sallyport/sallyport/internal/audit"
	"github.com/sallyport/sallyport/internal/auth"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/proxy"
	"github.com/sallyport/sallyport/internal/ratelimit"
	"github.com/sallyport/sallyport/internal/secrets"
)

// tokenRoute names the token service in log and metrics; no route can have that
// name.
const tokenRoute = "(token_service)"

// clientFailures is how often the clients of one address may fail to
// authenticate a minute, where limits.auth_failures does not say.
const clientFailures = 20

// tokenServices makes what the token service answers: its own paths, and those of
// its metadata.
func (b *builder) tokenServices() ([]proxy.Service, error) {
	c := b.config.TokenService
	if c == nil {
		return nil, nil
	}
	made, err := b.tokenService(*c)
	if err != nil {
		return nil, err
	}
	serve := func(w http.ResponseWriter, r *http.Request, from proxy.Caller) {
		made.Serve(w, r, api.TokenCaller{RequestID: from.RequestID, IP: from.IP, Network: from.Network})
	}
	var all []proxy.Service
	for _, path := range append(api.MetadataPaths(c.Issuer), strings.TrimSuffix(c.Path, "/")) {
		all = append(all, proxy.Service{Route: proxy.Route{Name: tokenRoute, Path: path}, Serve: serve})
	}
	return all, nil
}

func (b *builder) tokenService(c config.TokenService) (*api.TokenService, error) {
	workers, err := b.workers()
	if err != nil {
		return nil, err
	}
	table, err := b.table()
	if err != nil {
		return nil, err
	}
	rate := b.config.Limits.AuthFailures
	return keep(b, "token service", "", recipe{c, rate, workers, table}, func() (*api.TokenService, error) {
		failures := b.failureLimit()
		if failures == nil {
			limit := ratelimit.Limit{Name: tokenRoute, Count: clientFailures, Per: time.Minute, Burst: clientFailures}
			if failures, err = table.Limiter(limit); err != nil {
				return nil, err
			}
		}
		o := api.TokenOptions{
			Path: strings.TrimSuffix(c.Path, "/"), Issuer: c.Issuer, SigningKeys: b.value(c.SigningKeys), Expiry: c.Expiry,
			Workers: workers, Failures: failures, Revoked: b.revoked, Audit: b.audit.tokenEvent, Now: b.options.Now, Log: b.log,
		}
		if !c.Clients.IsZero() {
			o.Clients = b.value(c.Clients)
		}
		return api.NewTokenService(o), nil
	})
}

// unrevoked is kind without the tokens that the gateway's own token service has
// given out and revoked.
func (b *builder) unrevoked(kind auth.Kind) auth.Kind {
	c := b.config.TokenService
	if c == nil {
		return kind
	}
	issuer, revoked := c.Issuer, b.revoked
	return auth.Unrevoked(kind, func(p *auth.Principal) bool {
		id, ok := p.Claims["jti"].(string)
		return ok && p.IssuerURL == issuer && revoked.Has(id)
	})
}

// tokenEvent records what the token service does, before it is done: it is not
// done without. What it refuses is recorded as other denials are.
func (a *auditLog) tokenEvent(ctx context.Context, e api.TokenEvent) error {
	f := a.current.Load()
	if f == nil {
		return nil
	}
	record := audit.Event{
		Kind: audit.KindKey, Action: "token_" + e.Action, Decision: "allow", Subject: e.Client,
		RequestID: e.From.RequestID, IP: e.From.IP, Path: e.Path,
	}
	if e.Action != "refuse" {
		return f.Record(ctx, record)
	}
	record.Kind, record.Decision, record.Status, record.Reason = audit.KindDeny, "deny", e.Status, e.Reason
	f.Add(record)
	return nil
}

// badTokenService lists what is there of the token service's secrets and can
// never serve.
func (g *generation) badTokenService() config.Errors {
	c := g.config.TokenService
	if c == nil {
		return nil
	}
	var bad config.Errors
	for _, one := range []struct {
		key   string
		from  config.Secret
		check func(secrets.Secret) error
	}{
		{"token_service.signing_keys", c.SigningKeys, api.CheckSigningKeys},
		{"token_service.clients", c.Clients, api.CheckClients},
	} {
		if one.from.IsZero() {
			continue
		}
		secret, err := g.read(one.from)
		if err != nil {
			continue
		}
		if err := one.check(secret); err != nil {
			bad = append(bad, g.place(one.key, err))
		}
	}
	return bad
}
