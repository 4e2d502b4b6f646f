package gateway

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/proxy"
)

// wellKnownResource is where the metadata of a resource is, before its path (RFC
// 9728, section 3.1).
const wellKnownResource = "/.well-known/oauth-protected-resource"

// resource is what is told of a protected resource (RFC 9728, section 2).
type resource struct {
	Resource             string   `json:"resource"`
	AuthorizationServers []string `json:"authorization_servers,omitempty"`
	ScopesSupported      []string `json:"scopes_supported,omitempty"`
	BearerMethods        []string `json:"bearer_methods_supported"`
}

// resources makes a document of each resource that routes name. Routes that name
// the same one are told of together.
func resources(c *config.Config) []proxy.Document {
	var order []string
	all := make(map[string]*resource)
	for _, r := range c.Routes {
		if r.Auth.Resource == "" {
			continue
		}
		told := all[r.Auth.Resource]
		if told == nil {
			told = &resource{Resource: r.Auth.Resource, BearerMethods: []string{}}
			all[r.Auth.Resource], order = told, append(order, r.Auth.Resource)
		}
		told.ScopesSupported = add(told.ScopesSupported, r.Auth.Scopes...)
		for _, name := range r.Auth.Issuers {
			told.add(c.Issuers[name])
		}
	}
	documents := make([]proxy.Document, 0, len(order))
	for _, name := range order {
		u, _, _ := metadataOf(name) // was checked when the configuration was read
		body, _ := json.Marshal(all[name])
		documents = append(documents, proxy.Document{Host: strings.ToLower(strings.TrimSuffix(hostOf(u), ".")), Path: u.EscapedPath(), Body: body})
	}
	return documents
}

// add tells of an issuer. A value that is no URL is not one a client can ask.
func (r *resource) add(i config.Issuer) {
	if u, err := url.Parse(i.Issuer); err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" {
		r.AuthorizationServers = add(r.AuthorizationServers, i.Issuer)
	}
	for _, place := range i.From {
		switch kind, name, _ := strings.Cut(place, ":"); {
		case kind == "header":
			r.BearerMethods = add(r.BearerMethods, "header")
		case kind == "query" && name == "access_token": // the one name RFC 6750, section 2.3, has for it
			r.BearerMethods = add(r.BearerMethods, "query")
		}
	}
}

// add adds texts that are not there yet.
func add(list []string, texts ...string) []string {
	for _, text := range texts {
		if !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	return list
}

// metadataOf returns the URL of a resource's metadata, also as text.
func metadataOf(resource string) (u *url.URL, text string, err error) {
	if u, err = url.Parse(resource); err != nil {
		return nil, "", err
	}
	path := u.EscapedPath()
	if path == "/" {
		path = ""
	}
	u.RawPath = wellKnownResource + path
	if u.Path, err = url.PathUnescape(u.RawPath); err != nil {
		return nil, "", err
	}
	return u, u.String(), nil
}

// hostOf is a URL's host as requests are compared by it, IPv6 in brackets.
func hostOf(u *url.URL) string {
	if strings.Contains(u.Hostname(), ":") {
		return "[" + u.Hostname() + "]"
	}
	return u.Hostname()
}
