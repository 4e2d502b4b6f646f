package gateway

import (
	"net/http"
	"slices"
	"time"

	"github.com/sallyport/sallyport/internal/auth"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/credentials"
	"github.com/sallyport/sallyport/internal/upstream"
)

// issuer is a trusted issuer with the keys its readiness depends on.
type issuer struct {
	issuer *auth.Issuer
	keySet *auth.KeySet // nil without a jwks_url
	static []auth.StaticKey
}

// fetchTimeout bounds one fetch of keys or of a token, all in all.
const fetchTimeout = 5 * time.Second

// client returns a client for what the gateway fetches: bounded in time, no
// proxy of the environment, TLS by its own files.
func client(t config.ClientTLS) (*http.Client, error) {
	transport, err := upstream.NewTransport(upstream.TransportOptions{
		Connect: fetchTimeout, ResponseHeader: fetchTimeout,
		TLS: upstream.TLSOptions{CAFile: t.CAFile, CertFile: t.CertFile, KeyFile: t.KeyFile},
	})
	return &http.Client{Transport: transport, Timeout: fetchTimeout}, err
}

// useIssuers makes the issuers that a route uses. The others were checked when
// the configuration was read, and are left alone.
func (b *builder) useIssuers() {
	var named []string
	for _, route := range b.config.Routes {
		named = append(named, route.Auth.Issuers...)
	}
	for _, name := range unique(named) {
		c := b.config.Issuers[name]
		made, err := keep(b, "issuer", name, recipe{c, b.files(c.TLS)}, func() (*issuer, error) { return b.issuer(name, c) })
		if err != nil {
			b.fail("issuers."+name, err)
			continue
		}
		b.issuers[name] = made
	}
}

func unique(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

func (b *builder) issuer(name string, c config.Issuer) (*issuer, error) {
	made := new(issuer)
	var sources []auth.KeySource
	for _, key := range c.Keys {
		made.static = append(made.static, auth.StaticKey{ID: key.KID, Algorithm: key.Algorithm, Value: b.value(key.Key)})
	}
	if len(made.static) > 0 {
		source, err := auth.StaticKeys(made.static)
		if err != nil {
			return nil, err
		}
		sources = append(sources, source)
	}
	if c.JWKSURL != "" {
		fetcher, err := client(c.TLS)
		if err != nil {
			return nil, err
		}
		made.keySet, err = auth.NewKeySet(auth.KeySetOptions{
			Issuer: name, URL: c.JWKSURL, Client: fetcher, Refresh: c.JWKS.Refresh, Cooldown: c.JWKS.Cooldown,
			MaxStale: unlessZero(c.JWKS.MaxStale), Log: b.log, Metrics: b.auth,
		})
		if err != nil {
			return nil, err
		}
		sources = append(sources, made.keySet)
		b.loops = append(b.loops, loop{"keys of issuer " + name, made.keySet})
	}
	var err error
	made.issuer, err = auth.NewIssuer(auth.IssuerOptions{
		Name: name, Issuer: c.Issuer, Keys: sources, Algorithms: c.Algorithms, Audiences: c.Audiences, TokenTypes: c.TokenTypes,
		RequiredClaims: c.RequiredClaims, ScopeClaims: c.ScopeClaims, Leeway: c.Leeway, MaxLifetime: c.MaxLifetime, Log: b.log, Now: b.options.Now,
	})
	return made, err
}

// useCredentials makes the credentials that a route uses.
func (b *builder) useCredentials() {
	var named []string
	for _, route := range b.config.Routes {
		named = append(named, route.Inject...)
	}
	for _, name := range unique(named) {
		c := b.config.Credentials[name]
		made, err := keep(b, "credential", name, recipe{c, b.files(c.TLS)}, func() (credentials.Credential, error) { return b.credential(name, c) })
		if err != nil {
			b.fail("credentials."+name, err)
			continue
		}
		b.credentials[name] = made
	}
}
