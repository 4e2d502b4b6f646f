package proxy

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/auth"
	"github.com/sallyport/sallyport/internal/policy"
)

// Service is what the gateway itself answers at every path below one prefix, on
// every host, behind the same checks as a route.
type Service struct {
	Route // its Path is the prefix, without a slash at its end
	Serve func(w http.ResponseWriter, r *http.Request, from Caller)

	// Scopes are those of which a caller must have one for a call, beside what the
	// route asks: none if it needs none. They are asked for where the service only
	// observes too, for it would not go on without them.
	Scopes func(method, path string) []string
	// Refusal tells, for [Proxy.Explain] alone, what else Serve would refuse before
	// it reads a body, and why. Status 0: nothing. nil: it does not say.
	Refusal func(method, path string) (status int, why string)
}

// Caller is who asks a [Service]: nobody known, where a service only observes.
type Caller struct {
	Principal *auth.Principal // nil: not authenticated
	RequestID string
	IP        string
	Network   string // of that address: what failures are counted by
}

// service is a Service made ready.
type service struct {
	route  *route
	prefix string
}

// serviceMethods are those a service may answer; it refuses what is left.
var serviceMethods = []string{http.MethodGet, http.MethodHead, http.MethodPost}

// newServices makes services ready. They are found before any route is: a route
// for every path of its host would hide them otherwise.
func (p *Proxy) newServices(all []Service) ([]service, error) {
	var ready []service
	for _, s := range all {
		rt, err := p.ready(s.Route)
		if err != nil {
			return nil, err
		}
		rt.full, rt.scopes = &localRoute{p, rt, s.Serve, s.Refusal}, s.Scopes
		ready = append(ready, service{rt, s.Path})
	}
	return ready, nil
}

// findService chooses the service a request asks for, if there is one.
func (p *Proxy) findService(x *exchange) (found bool, err error) {
	for _, s := range p.services {
		rest, below := strings.CutPrefix(x.at.path, s.prefix)
		switch {
		case !below || rest != "" && rest[0] != '/':
			continue
		case x.at.slashes:
			return true, badRequest("path", "the path is malformed or ambiguous", errTargetSlash)
		case !slices.Contains(serviceMethods, x.method):
			return true, methodNotAllowed(strings.Join(serviceMethods, ", "))
		}
		x.route = s.route
		return true, nil
	}
	return false, nil
}

// localRoute hands requests that passed the checks to a service.
type localRoute struct {
	*Proxy
	*route
	serve   func(http.ResponseWriter, *http.Request, Caller)
	refusal func(method, path string) (int, string)
}

// needed are the scopes of which a service asks for one; none if it asks for none,
// or the route is no service's.
func (x *exchange) needed() []string {
	if x.route.scopes == nil {
		return nil
	}
	return x.route.scopes(x.method, x.at.path)
}

// missing refuses who has none of the scopes that x needs of a service.
func (x *exchange) missing() error {
	needed := x.needed()
	if len(needed) == 0 || x.principal != nil && slices.ContainsFunc(needed, func(scope string) bool { return slices.Contains(x.principal.Scopes, scope) }) {
		return nil
	}
	return &policy.Denied{Check: "scopes", MissingScopes: needed[:1], Reason: "missing scope " + strings.Join(needed, ", or ")}
}

// explain adds what the service says of x to an explanation that allows it.
func (l *localRoute) explain(e *Explanation, x *exchange) {
	if e.Decision == "deny" {
		e.skip(checkService)
		return
	}
	if l.refusal != nil {
		if status, why := l.refusal(x.method, x.at.path); status != 0 {
			e.deny(checkService, &refusal{status: status}, why)
			return
		}
	}
	e.Checks = append(e.Checks, Check{checkService, pass, "the gateway answers itself, once it has read the body"})
}

// ServeHTTP gives the service the path in its normal form, and a body whose
// sender may not stall.
func (l *localRoute) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := exchangeOf(r.Context())
	out := r.WithContext(r.Context())
	out.URL = &url.URL{Path: x.at.path, RawQuery: x.at.query}
	body := newRequestBody(w, r, 0, l.bodyTimeout)
	if r.Body == http.NoBody {
		body = nil
	} else {
		out.Body = body
	}
	h := w.Header()
	h.Set("X-Request-Id", x.id)
	x.limit.describe(h)
	l.serve(&reply{w, r, body, false}, out, Caller{x.principal, x.id, x.client.String(), network(x.client)})
}

// reply is an answer that lets go of the body, where it has not been read.
type reply struct {
	http.ResponseWriter
	r     *http.Request
	body  *requestBody
	begun bool
}

func (a *reply) WriteHeader(status int) {
	if !a.begun && a.body.unfinished() {
		leaveBody(a.ResponseWriter, a.r)
	}
	a.begun = true
	a.ResponseWriter.WriteHeader(status)
}

func (a *reply) Write(p []byte) (int, error) {
	if !a.begun {
		a.WriteHeader(http.StatusOK)
	}
	return a.ResponseWriter.Write(p)
}

func (a *reply) Unwrap() http.ResponseWriter { return a.ResponseWriter }
