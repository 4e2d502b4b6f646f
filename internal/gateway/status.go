package gateway

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/admin"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/credentials"
	"github.com/sallyport/sallyport/internal/crypto"
)

// Status tells how everything stands at this moment: states, times and the
// names of things, never a value.
func (g *Gateway) Status() admin.Status { return g.current.Load().status() }

func (g *generation) status() admin.Status {
	h := g.health()
	states := make(map[string]admin.Component, len(h.Components))
	s := admin.Status{
		Version: admin.Version(g.options.Version), Status: h.Overall(), Started: g.started.UTC(), Uptime: time.Since(g.started).Seconds(),
		Config:  admin.ConfigStatus{File: g.config.File(), Loaded: g.loaded.UTC()},
		Issuers: []admin.IssuerStatus{}, Credentials: []admin.CredentialStatus{}, Keyrings: []admin.KeyringStatus{},
		Secrets: admin.SecretsStatus{Backend: g.store.backend, Values: []admin.SecretStatus{}},
		Audit:   g.auditStatus(),
	}
	for _, c := range h.Components {
		states[c.Name] = c
		if name, ok := strings.CutPrefix(c.Name, "secret/"); ok {
			s.Secrets.Values = append(s.Secrets.Values, admin.SecretStatus{Name: name, Status: c.State, Reason: c.Detail, Age: seconds(c.Age)})
		}
	}
	for i, r := range g.config.Routes {
		s.Routes = append(s.Routes, routeStatus(r, h.Routes[i]))
	}
	for _, name := range slices.Sorted(maps.Keys(g.issuers)) {
		s.Issuers = append(s.Issuers, g.issuers[name].status(name, g.config.Issuers[name].Issuer, states["issuer/"+name]))
	}
	for _, name := range slices.Sorted(maps.Keys(g.credentials)) {
		s.Credentials = append(s.Credentials, credentialStatus(g.credentials[name].Status(), states["credential/"+name]))
	}
	for _, name := range slices.Sorted(maps.Keys(g.keyrings)) {
		k := admin.KeyringStatus{Name: name, Status: states["keyring/"+name].State, Versions: []crypto.VersionStatus{}}
		if ring, err := g.keyrings[name].Current(); err == nil {
			k.Versions = ring.Status()
		}
		s.Keyrings = append(s.Keyrings, k)
	}
	return s
}

func routeStatus(r config.Route, c admin.Component) admin.RouteStatus {
	return admin.RouteStatus{
		Name: r.Name, Status: c.State, Detail: c.Detail,
		Hosts: list(r.Hosts), Path: r.Path, Methods: list(r.Methods), Public: r.Auth.Public,
		Issuers: list(r.Auth.Issuers), Inject: list(r.Inject), Upstreams: list(r.Upstream.URLs),
	}
}

// list is never nil, so that JSON has [] and not null.
func list(texts config.Strings) []string { return append([]string{}, texts...) }

func credentialStatus(now credentials.Status, c admin.Component) admin.CredentialStatus {
	return admin.CredentialStatus{
		Name: now.Name, Type: now.Type, Status: c.State, LastError: c.Detail, ConsecutiveFailures: now.ConsecutiveFailures,
		ValidUntil: moment(now.ValidUntil), NextRenewal: moment(now.NextRenewal),
	}
}

// moment is t in UTC, nil for none.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// seconds is an age, nil for none.
func seconds(d time.Duration) *float64 {
	if d < 0 {
		return nil
	}
	s := d.Seconds()
	return &s
}
