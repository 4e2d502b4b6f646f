package gateway

import (
	"maps"
	"slices"

	"github.com/sallyport/sallyport/internal/admin"
	"github.com/sallyport/sallyport/internal/auth"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/crypto"
	"github.com/sallyport/sallyport/internal/ratelimit"
	"github.com/sallyport/sallyport/internal/secrets"
)

// useAPIKeys makes the lists of API keys that a route uses. They share the
// workers for keys with a slow hash.
func (b *builder) useAPIKeys() {
	var named []string
	for _, auth := range b.config.Auths() {
		named = append(named, auth.APIKeys...)
	}
	for _, name := range unique(named) {
		c := b.config.APIKeys[name]
		made, err := keep(b, "api_keys", name, recipe{c}, func() (*auth.APIKeys, error) {
			workers, err := b.workers()
			if err != nil {
				return nil, err
			}
			return auth.NewAPIKeys(auth.APIKeysOptions{Name: name, Header: c.Header, Keys: b.value(c.Keys), Workers: workers, Now: b.options.Now})
		})
		if err != nil {
			b.fail("api_keys."+name, err)
			continue
		}
		b.apiKeys[name] = made
	}
}

// workers hash the passwords of the crypto API, and API keys with a slow hash.
func (b *builder) workers() (*crypto.Workers, error) {
	n := 0
	if b.config.Crypto != nil {
		n = b.config.Crypto.PasswordWorkers
	}
	return keep(b, "password workers", "", recipe{n}, func() (*crypto.Workers, error) { return crypto.NewWorkers(n), nil })
}

// keyHeaders are the header fields that API keys come in on any route. What is a
// key on one is no upstream's on another.
func (g *generation) keyHeaders() []string {
	var names []string
	for _, keys := range g.apiKeys {
		names = append(names, keys.Header())
	}
	return unique(names)
}

// badAPIKeys lists the lists of API keys that are there and cannot be used.
func (g *generation) badAPIKeys() config.Errors {
	var bad config.Errors
	for _, name := range slices.Sorted(maps.Keys(g.apiKeys)) {
		place := g.config.APIKeys[name].Keys
		if _, literal := place.Literal(); literal {
			continue // looked at when it was built
		}
		list, err := g.scope.Watch(secrets.Reference{Path: place.Path, Field: place.Field}).Get()
		if err != nil {
			continue // told as missing
		}
		if err := g.apiKeys[name].Check(list); err != nil {
			wrong := g.place("api_keys."+name+".keys", err)
			wrong.Advice = "store a JSON list of the records that gateway generate api-key prints"
			bad = append(bad, wrong)
		}
	}
	return bad
}

// apiKeysHealth tells how a list of API keys is. Why the secret is not to be had
// stands with the secret.
func apiKeysHealth(name string, keys *auth.APIKeys) admin.Component {
	c := admin.Component{Name: "api_keys/" + name, State: admin.OK, Age: -1}
	if _, err := keys.Status(); err != nil {
		c.State, c.Detail = admin.Unavailable, "list from the secret backend"
	}
	return c
}

// authSources are the components that know a route's callers, one of which is
// enough to serve some of them.
func authSources(a config.Auth) (names []string) {
	for _, name := range a.Issuers {
		names = append(names, "issuer/"+name)
	}
	for _, name := range a.APIKeys {
		names = append(names, "api_keys/"+name)
	}
	return names
}

// kinds are the kinds of credentials that a route accepts.
func (b *builder) kinds(a config.Auth) (kinds []auth.Kind) {
	var issuers []*auth.Issuer
	for _, name := range a.Issuers {
		issuers = append(issuers, b.issuers[name].issuer)
	}
	if len(issuers) > 0 {
		kinds = append(kinds, b.unrevoked(auth.CachedTokens(b.seen, issuers...)))
	}
	for _, name := range a.APIKeys {
		kinds = append(kinds, b.apiKeys[name])
	}
	if a.ClientCertificates {
		kinds = append(kinds, auth.ClientCertificates(b.options.Now))
	}
	return kinds
}

// failureLimit is limits.auth_failures: nil if it is off.
func (b *builder) failureLimit() *ratelimit.Limiter {
	rate := b.config.Limits.AuthFailures
	if rate == (config.Rate{}) {
		return nil
	}
	table, err := b.table()
	if err != nil {
		b.fail("rate_limits", err)
		return nil
	}
	// No route can have the name, nor share its buckets.
	limiter, err := table.Limiter(ratelimit.Limit{Name: "(auth_failures)", Count: rate.Count, Per: rate.Per, Burst: rate.Count})
	b.fail("limits.auth_failures", err)
	return limiter
}
