package gateway

import (
	"maps"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/admin"
	"github.com/sallyport/sallyport/internal/auth"
	"github.com/sallyport/sallyport/internal/credentials"
	"github.com/sallyport/sallyport/internal/secrets"
)

// Health tells how the gateway is at this moment.
func (g *Gateway) Health() admin.Health { return g.current.Load().health() }

func (g *generation) health() admin.Health {
	h := admin.Health{Draining: g.state.draining.Load()}
	states := make(map[string]admin.State)
	add := func(c admin.Component) {
		if c.State == admin.Unavailable && !g.warm.Load() {
			c.State = admin.Starting
		}
		states[c.Name] = c.State
		h.Components = append(h.Components, c)
	}
	for _, s := range g.store.Status() {
		add(secretHealth(s))
	}
	for _, name := range slices.Sorted(maps.Keys(g.issuers)) {
		add(g.issuers[name].health(name))
	}
	for _, name := range slices.Sorted(maps.Keys(g.apiKeys)) {
		add(apiKeysHealth(name, g.apiKeys[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(g.credentials)) {
		add(credentialHealth(name, g.credentials[name].Status()))
	}
	for _, name := range slices.Sorted(maps.Keys(g.keyrings)) {
		add(keyringHealth(name, g.keyrings[name]))
	}
	audit, there := g.auditHealth()
	if there {
		add(audit)
	}
	for _, r := range g.config.Routes {
		route := admin.Component{Name: r.Name, State: admin.OK, Age: -1}
		sources := authSources(r.Auth)
		usable := len(sources) == 0 || r.Auth.ClientCertificates
		for _, name := range sources {
			usable = usable || states[name] == admin.OK || states[name] == admin.Degraded
			if states[name] != admin.OK {
				route.State, route.Detail = admin.Degraded, strings.Replace(name, "/", " ", 1)
			}
		}
		for _, name := range r.Inject {
			switch states["credential/"+name] {
			case admin.Degraded:
				route.State, route.Detail = admin.Degraded, "credential "+name
			case admin.Unavailable, admin.Starting:
				usable, route.Detail = false, "credential "+name
			}
		}
		if audit.State == admin.Unavailable {
			usable, route.Detail = false, "audit"
		}
		if !usable {
			route.State = admin.Unavailable
		}
		h.Routes = append(h.Routes, route)
	}
	return h
}

// credentialHealth tells how a credential is. Why a secret is not to be had
// stands with the secret; here it would show what backends say.
func credentialHealth(name string, s credentials.Status) admin.Component {
	c := admin.Component{Name: "credential/" + name, State: admin.OK, Age: -1}
	switch {
	case !s.Ready:
		c.State = admin.Unavailable
	case s.ConsecutiveFailures > 0:
		c.State = admin.Degraded
	}
	if s.LastError != "" {
		c.Detail = "secret not to be had"
		if s.Type == "oauth2" || s.Type == "token_exchange" {
			c.Detail = s.LastError
		}
	}
	return c
}

// fetching reports whether a first fetch is still under way.
func (g *generation) fetching() bool {
	for _, s := range g.store.Status() {
		if s.Error == "pending" {
			return true
		}
	}
	for _, i := range g.issuers {
		if slices.ContainsFunc(i.keySets, func(set *auth.KeySet) bool { return pending(set.Status()) }) {
			return true
		}
	}
	for _, c := range g.credentials {
		if s := c.Status(); !s.Ready && s.LastError == "" {
			return true
		}
	}
	return false
}

func secretHealth(s secrets.Status) admin.Component {
	c := admin.Component{Name: "secret/" + s.Name, State: admin.OK, Detail: s.Error, Age: s.Age}
	switch {
	case !s.Ready:
		c.State, c.Age = admin.Unavailable, -1
	case s.Error != "":
		c.State = admin.Degraded
	}
	return c
}

// pending reports whether a key set's first fetch has not ended.
func pending(s auth.KeySetStatus) bool { return !s.Ready && s.Err == "" }
