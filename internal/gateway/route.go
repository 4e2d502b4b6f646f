package gateway

import (
	"fmt"

	"github.com/sallyport/sallyport/internal/auth"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/policy"
	"github.com/sallyport/sallyport/internal/proxy"
	"github.com/sallyport/sallyport/internal/ratelimit"
	"github.com/sallyport/sallyport/internal/upstream"
)

// route makes a live route of r.
func (b *builder) route(r config.Route) (proxy.Route, error) {
	transport, err := b.transport(r.Upstream)
	if err != nil {
		return proxy.Route{}, err
	}
	pool, err := upstream.NewPool(r.Upstream.URLs)
	if err != nil {
		return proxy.Route{}, err
	}
	route := proxy.Route{
		Name: r.Name, Hosts: r.Hosts, Path: r.Path, Methods: r.Methods,
		CloseAtExpiry: r.Auth.CloseAtExpiry, Observe: r.Auth.Mode == "observe", Forward: r.Forward,
		KeepAuthorization: r.KeepAuthorization, KeepEncodedSlash: r.EncodedSlash == "keep", KeepMethodOverride: r.KeepMethodOverride,
		SetRequest: r.RequestHeaders.Set, RemoveRequest: r.RequestHeaders.Remove,
		SetResponse: r.ResponseHeaders.Set, RemoveResponse: r.ResponseHeaders.Remove,
		MaxBody: int64(b.config.Limits.MaxBody),
		Pool:    pool, Transport: transport, Total: r.Upstream.Timeouts.Total,
		StripPrefix: r.Upstream.StripPrefix, AddPrefix: r.Upstream.AddPrefix, Host: r.Upstream.Host,
	}
	if r.MaxBody != nil {
		route.MaxBody = int64(*r.MaxBody)
	}
	if route.Limits, err = b.limits(r); err != nil {
		return proxy.Route{}, err
	}
	for _, name := range r.Inject {
		route.Inject = append(route.Inject, b.credentials[name])
	}
	return route, b.guard(&route, r)
}

// guard puts before route what its auth block asks for.
func (b *builder) guard(route *proxy.Route, r config.Route) (err error) {
	if r.Auth.Public {
		return nil
	}
	if route.Observe {
		b.log.Warn("a route only observes: it refuses nobody for who he is or what he may not do", "route", r.Name)
	}
	if r.Auth.Resource != "" {
		if _, route.Metadata, err = metadataOf(r.Auth.Resource); err != nil {
			return err
		}
	}
	route.Auth = auth.NewAuthenticator(b.kinds(r.Auth)...)
	claims := make(map[string][]string, len(r.Auth.Claims))
	for name, values := range r.Auth.Claims {
		claims[name] = values
	}
	route.Policy, err = policy.New(policy.Options{
		Scopes: r.Auth.Scopes, Claims: claims, Allow: string(r.Auth.Allow), Params: proxy.Parameters(r.Path),
	})
	return err
}

// table is where the buckets of all routes are kept.
func (b *builder) table() (*ratelimit.Table, error) {
	most := b.config.RateLimits.MaxKeys
	return keep(b, "buckets", "", recipe{most}, func() (*ratelimit.Table, error) { return ratelimit.NewTable(most, b.options.Now), nil })
}

// limits makes the rate limits of r. Two of one route count apart, also where
// their rates and keys are the same.
func (b *builder) limits(r config.Route) ([]proxy.Limit, error) {
	table, err := b.table()
	if err != nil {
		return nil, err
	}
	var limits []proxy.Limit
	for i, l := range r.RateLimit {
		limiter, err := table.Limiter(ratelimit.Limit{
			Name: r.Name, Count: l.Rate.Count, Per: l.Rate.Per, Burst: l.Burst,
		})
		if err != nil {
			return nil, fmt.Errorf("rate_limit[%d]: %w", i, err)
		}
		limits = append(limits, proxy.Limit{Limiter: limiter, Key: l.Key, Number: i})
	}
	return limits, nil
}
