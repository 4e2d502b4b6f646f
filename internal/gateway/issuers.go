package gateway

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/admin"
	"github.com/sallyport/sallyport/internal/auth"
	"github.com/sallyport/sallyport/internal/config"
)

// issuer is a trusted issuer with what its readiness depends on.
type issuer struct {
	issuer  *auth.Issuer
	keySets []*auth.KeySet // of jwks_url and of discovery
	static  []auth.StaticKey
	asks    *auth.Introspection // nil without introspection
}

// useIssuers makes the issuers that a route uses. The others were checked when
// the configuration was read, and are left alone.
func (b *builder) useIssuers() {
	var named []string
	for _, auth := range b.config.Auths() {
		named = append(named, auth.Issuers...)
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
	for _, at := range []keysAt{{c.JWKSURL, false}, {c.Issuer, true}} {
		if at.url == "" || at.discover && !c.Discovery {
			continue
		}
		set, err := b.keySet(name, at, c)
		if err != nil {
			return nil, err
		}
		made.keySets = append(made.keySets, set)
		sources = append(sources, set)
		b.loops = append(b.loops, loop{"name of issuer " + name, set.For(name)})
	}
	var err error
	if made.asks, err = b.introspection(name, c); err != nil {
		return nil, err
	}
	made.issuer, err = auth.NewIssuer(auth.IssuerOptions{
		Name: name, Issuer: c.Issuer, Keys: sources, Introspection: made.asks, From: places(c.From),
		Algorithms: c.Algorithms, Audiences: c.Audiences, TokenTypes: c.TokenTypes,
		RequiredClaims: c.RequiredClaims, ScopeClaims: c.ScopeClaims, Leeway: c.Leeway, MaxLifetime: c.MaxLifetime, Log: b.log, Now: b.options.Now,
	})
	return made, err
}

// keysAt is where an issuer's keys are: at a URL, or where its metadata says.
type keysAt struct {
	url      string
	discover bool
}

// keySet makes the key set of an issuer, or gives it that of another with the
// same URL and settings: one URL is fetched once for all.
func (b *builder) keySet(name string, at keysAt, c config.Issuer) (*auth.KeySet, error) {
	made := recipe{at, c.TLS, c.JWKS, b.files(c.TLS)}
	return keep(b, "keys", fmt.Sprint(at, c.TLS, c.JWKS), made, func() (*auth.KeySet, error) {
		fetcher, err := b.client(c.TLS)
		if err != nil {
			return nil, err
		}
		set, err := auth.NewKeySet(auth.KeySetOptions{
			Issuer: name, URL: at.url, Discover: at.discover, Hosts: b.namedHosts, Insecure: b.config.AllowInsecureHTTP,
			Client: fetcher, Refresh: c.JWKS.Refresh, Cooldown: c.JWKS.Cooldown,
			MaxStale: unlessZero(c.JWKS.MaxStale), Log: b.log, Metrics: b.auth,
		})
		b.loops = append(b.loops, loop{"keys of issuer " + name, set})
		return set, err
	})
}

// namedHosts lists the hosts of the URLs that the operator lets the gateway
// fetch from, as the configuration that serves has them, and the one that a reload
// is about to serve: a URL that is learned may be on one of these.
func (g *Gateway) namedHosts() []string {
	var hosts []string
	name := func(raw string) {
		if u, err := url.Parse(raw); err == nil && u.Host != "" {
			hosts = append(hosts, auth.HostPort(u))
		}
	}
	for _, in := range []*generation{g.current.Load(), g.preparing.Load()} {
		if in == nil {
			continue
		}
		for _, c := range in.config.Issuers {
			name(c.JWKSURL)
			name(c.Introspection.URL)
			if c.Discovery {
				name(c.Issuer)
			}
		}
		for _, c := range in.config.Credentials {
			name(c.TokenURL)
		}
	}
	return hosts
}

// places are where an issuer's tokens may stand.
func places(from config.Strings) []auth.Place {
	var all []auth.Place
	for _, text := range from {
		switch kind, name, _ := strings.Cut(text, ":"); kind {
		case "cookie":
			all = append(all, auth.Place{In: auth.InCookie, Name: name})
		case "query":
			all = append(all, auth.Place{In: auth.InQuery, Name: name})
		default:
			all = append(all, auth.Authorization)
		}
	}
	return all
}

// tokenCookies are the cookies that tokens come in on any route. A browser sends
// them to every path of their host, and what opens one route is no upstream's on
// another.
func (g *generation) tokenCookies() []string {
	var names []string
	for name := range g.issuers {
		for _, place := range places(g.config.Issuers[name].From) {
			if place.In == auth.InCookie {
				names = append(names, place.Name)
			}
		}
	}
	return unique(names)
}

// introspection makes what asks the issuer about tokens; nil where nothing does.
func (b *builder) introspection(name string, c config.Issuer) (*auth.Introspection, error) {
	if !c.Introspects() {
		return nil, nil
	}
	fetcher, err := b.client(c.TLS)
	if err != nil {
		return nil, err
	}
	return auth.NewIntrospection(auth.IntrospectionOptions{
		Issuer: name, URL: c.Introspection.URL, ClientID: c.Introspection.ClientID, ClientSecret: b.value(c.Introspection.ClientSecret),
		Cache: c.Introspection.Cache, Client: fetcher, Log: b.log, Now: b.options.Now,
	})
}

// health is how an issuer's keys are: one source of them is enough to serve. An
// issuer that is asked about tokens can be asked again, so that a call that
// failed makes it degraded and no more.
func (i *issuer) health(name string) admin.Component {
	c := admin.Component{Name: "issuer/" + name, State: admin.OK, Age: -1}
	ready, failing := i.issuer.StaticStatus()
	if failing > 0 {
		c.Detail = "key from the secret backend"
	}
	for _, set := range i.keySets {
		s := set.Status()
		if s.Err != "" {
			failing, c.Detail = failing+1, "keys cannot be fetched; the log says why"
		}
		if s.Ready {
			ready, c.Age = ready+1, max(c.Age, s.Age)
		}
	}
	if i.asks != nil {
		switch can, failed := i.asks.Status(); {
		case !can:
			failing, c.Detail = failing+1, "client secret for introspection"
		case failed:
			ready, failing, c.Detail = ready+1, failing+1, "introspection fails; the log says why"
		default:
			ready++
		}
	}
	switch {
	case ready == 0:
		c.State, c.Age = admin.Unavailable, time.Duration(-1)
	case failing > 0:
		c.State = admin.Degraded
	}
	return c
}

func (i *issuer) status(name, value string, c admin.Component) admin.IssuerStatus {
	s := admin.IssuerStatus{Name: name, Status: c.State, Detail: c.Detail, Issuer: value}
	s.Keys, _ = i.issuer.StaticStatus()
	for _, keySet := range i.keySets {
		set := keySet.Status()
		if s.JWKSURL, s.Age = set.URL, seconds(c.Age); set.Ready {
			s.Keys += set.Keys
		}
	}
	return s
}
