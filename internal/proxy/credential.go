package proxy

import (
	"context"
	"crypto/x509"
	"net/http"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/auth"
	"github.com/sallyport/sallyport/internal/credentials"
)

// An exchange is an [auth.Request], whichever lane it came by.
var _ auth.Request = (*exchange)(nil)

func (x *exchange) Values(name string) []string       { return x.fields.Values(name) }
func (x *exchange) Method() string                    { return x.method }
func (x *exchange) Host() string                      { return x.authority }
func (x *exchange) Query() string                     { return x.at.query }
func (x *exchange) Certificates() []*x509.Certificate { return x.certificates }

// stripper takes the caller's credential out of what goes upstream, wherever the
// route accepts one, and cookies wherever any route does (CONTRACT 4.7). Header
// fields are the cleaner's to drop; this has the cookies and query parameters.
type stripper struct{ cookies, parameters []string }

// newStripper returns the stripper of these places, and the header fields that
// hold credentials too. Authorization is not among them: a route may keep it.
func newStripper(places []auth.Place) (s stripper, headers []string) {
	for _, place := range places {
		switch place.In {
		case auth.InCookie:
			s.cookies = append(s.cookies, place.Name)
		case auth.InQuery:
			s.parameters = append(s.parameters, place.Name)
		case auth.InHeader:
			if place != auth.Authorization {
				headers = append(headers, place.Name)
			}
		}
	}
	return s, headers
}

func unique(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

// query returns a raw query without the parameters that may hold a credential,
// in every spelling an upstream may read as theirs.
func (s stripper) query(raw string) string {
	for _, name := range s.parameters {
		raw = withoutParameter(raw, name)
	}
	return raw
}

// header takes the cookies out of an outbound header, and the parameters out of
// the URL a browser came from.
func (s stripper) header(h http.Header) {
	if lines := h["Cookie"]; len(s.cookies) > 0 && len(lines) > 0 {
		for _, name := range s.cookies {
			lines = withoutCookie(lines, name)
		}
		if delete(h, "Cookie"); len(lines) > 0 {
			h["Cookie"] = []string{strings.Join(lines, "; ")}
		}
	}
	for _, name := range s.parameters {
		for i, text := range h["Referer"] {
			h["Referer"][i] = withoutMention(text, name)
		}
	}
}

// withCaller tells the credentials of the route who calls, if one of them depends
// on that. It is the one use of the caller's own token after the checks, and a
// token endpoint's alone to see.
func (x *exchange) withCaller(ctx context.Context) context.Context {
	if !x.route.perCaller || x.principal == nil {
		return ctx
	}
	return credentials.WithCaller(ctx, credentials.Caller{Token: x.route.Auth.Token(x), Expires: x.principal.Expires})
}
