package gateway

import (
	"io"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/sallyport/sallyport/internal/auth"
	"github.com/sallyport/sallyport/internal/config"
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

// openAccessLog returns where access lines go, nil for nowhere, and how to
// close it.
func openAccessLog(where string, o Options) (io.Writer, func() error, error) {
	none := func() error { return nil }
	switch where {
	case "":
		return nil, none, nil
	case "stdout":
		return o.Stdout, none, nil
	case "stderr":
		return o.Stderr, none, nil
	}
	f, err := os.OpenFile(where, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return nil, none, err
	}
	return f, f.Close, nil
}

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
		made, err := b.issuer(name, b.config.Issuers[name])
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
		RequiredClaims: c.RequiredClaims, ScopeClaims: c.ScopeClaims, Leeway: c.Leeway, MaxLifetime: c.MaxLifetime, Log: b.log,
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
		made, err := b.credential(name, b.config.Credentials[name])
		if err != nil {
			b.fail("credentials."+name, err)
			continue
		}
		b.credentials[name] = made
	}
}
