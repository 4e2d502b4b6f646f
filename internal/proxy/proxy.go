// Package proxy makes of one request another: it asks the checks of the
// contract in their order, takes the caller's credential away, puts the
// upstream's in, and hands the answer back.
//
// A [Proxy] is an http.Handler over a fixed set of routes; a reload makes a new
// one. Read ServeHTTP first.
//
// # Security
//
// The path is normalised once; what is matched is what is forwarded. A request
// goes up only if every check passed and every credential of its route was
// there. Where a route only observes, a 401 or 403 is told and not made, and who
// is not known gets no credential. Header names are compared as the most careless
// upstream would read them. Nothing a caller sends can make a new metric series.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport/internal/auth"
	"github.com/sallyport/sallyport/internal/credentials"
	"github.com/sallyport/sallyport/internal/policy"
	"github.com/sallyport/sallyport/internal/ratelimit"
	"github.com/sallyport/sallyport/internal/telemetry"
	"github.com/sallyport/sallyport/internal/upstream"
)

// Route is a match and what happens to a matching request.
type Route struct {
	Name    string
	Hosts   []string // exact, or *.example.com; none means any
	Path    string   // chi pattern
	Methods []string // none means the default seven

	Auth          *auth.Authenticator // nil: public
	Policy        *policy.Policy      // nil: every principal may pass
	Observe       bool                // 401s and 403s are counted and logged, and the request goes on
	Metadata      string              // URL of the metadata of the resource it belongs to, for challenges; may be empty
	CloseAtExpiry bool
	Forward       map[string]string // header: claim
	Limits        []Limit
	Inject        []credentials.Credential

	KeepAuthorization  bool
	KeepEncodedSlash   bool
	KeepMethodOverride bool
	SetRequest         map[string]string
	RemoveRequest      []string
	SetResponse        map[string]string
	RemoveResponse     []string
	MaxBody            int64 // bytes; 0 means no limit

	Pool        *upstream.Pool
	Transport   http.RoundTripper
	Total       time.Duration // bound on the upstream call; 0 means none
	StripPrefix string
	AddPrefix   string
	Host        string // upstream, preserve, or a literal
}

// Options are what a Proxy is made of.
type Options struct {
	Routes         []Route
	Documents      []Document
	Services       []Service
	TrustedProxies []netip.Prefix
	KeyHeaders     []string           // header fields of API keys, taken away on every route
	TokenCookies   []string           // cookies of tokens, as well: browsers send them to every path of their host
	AuthFailures   *ratelimit.Limiter // of authentications that fail, by address; nil: no limit
	MaxHeader      int                // bytes of a request's header; 0 means no limit
	BodyTimeout    time.Duration      // between two reads of a request's body, and of one write of an answer's; 0 means none
	Metrics        *Metrics
	Access         *telemetry.Lines // nil: no access log
	Denied         func(Denial)     // told of each request that a check refused; nil means none
	Gate           func() error     // an error refuses every request: the audit log cannot be written; nil means none
	Log            *slog.Logger
	Now            func() time.Time
}

// Proxy serves the routes it was made of.
type Proxy struct {
	checks      []check
	router      *router
	documents   map[documentAt]*route
	services    []service
	trust       trust
	keyHeaders  []string
	cookies     []string
	failures    *ratelimit.Limiter
	maxHeader   int
	bodyTimeout time.Duration
	metrics     *Metrics
	unrouted    unrouted
	access      *telemetry.Lines
	onDenied    func(Denial)
	gate        func() error
	log         *slog.Logger
	now         func() time.Time
	serving     atomic.Int64 // requests whose access line is still to come
}

// maxHeaderLines bounds the field lines of a request's header.
const maxHeaderLines = 200

// The checks by name, as log lines, [Proxy.Explain] and test cases have them.
const (
	checkNormalise      = "normalise"
	checkRoute          = "route"
	checkLimitAddress   = "limit_address"
	checkAuthenticate   = "authenticate"
	checkAuthorise      = "authorise"
	checkLimitPrincipal = "limit_principal"
	checkBody           = "body"    // that it is not announced as too long; made by the lane, and by Explain
	checkService        = "service" // what a service refuses itself, as for a scope of its own; made by it, and by Explain
	checkInject         = "inject"  // made by the RoundTripper, and by Explain
)

// check is one thing asked of every request; an error refuses it.
type check struct {
	name string
	ask  func(*exchange) error
}

// route is a Route made ready to serve.
type route struct {
	Route
	params  []string // names of the path's parameters
	forward []forwarding
	read    map[string]bool // header fields the policy asks for by name, folded
	set     []field         // request_headers.set, in a fixed order
	cleaner *cleaner
	stripper
	full      http.Handler
	series    series
	perCaller bool                               // a credential depends on who calls
	scopes    func(method, path string) []string // of a service; nil: it is none
}

// New returns a Proxy for o.Routes, or why they cannot be served together.
func New(o Options) (*Proxy, error) {
	p := &Proxy{
		trust: o.TrustedProxies, maxHeader: o.MaxHeader, bodyTimeout: o.BodyTimeout, metrics: o.Metrics,
		keyHeaders: o.KeyHeaders, cookies: o.TokenCookies, failures: o.AuthFailures,
		access: o.Access, onDenied: o.Denied, gate: o.Gate, log: telemetry.Discard(o.Log), now: o.Now,
	}
	if p.now == nil {
		p.now = time.Now
	}
	if p.metrics == nil {
		p.metrics = NewMetrics(prometheus.NewRegistry())
	}
	p.unrouted = p.metrics.without()
	p.checks = []check{
		{checkNormalise, p.normalise}, {checkRoute, p.find}, {checkLimitAddress, p.limitAddress},
		{checkAuthenticate, p.authenticate}, {checkAuthorise, p.authorise}, {checkLimitPrincipal, p.limitPrincipal},
	}
	if p.gate != nil { // behind the first, which finds out whose request it is
		p.checks = slices.Insert(p.checks, 1, check{checkAudit, p.audited})
	}
	routes := make([]*route, len(o.Routes))
	for i, r := range o.Routes {
		rt, err := p.ready(r)
		if err != nil {
			return nil, fmt.Errorf("proxy: route %s: %w", r.Name, err)
		}
		routes[i] = rt
	}
	p.documents = p.newDocuments(o.Documents)
	var err error
	if p.services, err = p.newServices(o.Services); err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	if p.router, err = newRouter(routes); err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	return p, nil
}

// ServeHTTP asks the checks of CONTRACT.md section 4 in their order; the first
// refusal ends the request. [Proxy.Explain] asks the same list.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := p.newExchange(r)
	rec := p.observe(w, x)
	defer rec.finish()
	for _, check := range p.checks {
		if err := check.ask(x); err != nil {
			leaveBody(rec, r)
			p.refuse(rec, x, check.name, err)
			return
		}
	}
	x.route.full.ServeHTTP(rec, r.WithContext(withExchange(r.Context(), x)))
}

// Wait returns when every request has ended and was logged, or after atMost.
func (p *Proxy) Wait(atMost time.Duration) {
	end := time.Now().Add(atMost)
	for p.serving.Load() > 0 && time.Now().Before(end) {
		time.Sleep(time.Millisecond)
	}
}

// normalise brings path and host to their one form (CONTRACT 4.1), and finds
// out whose request this is.
func (p *Proxy) normalise(x *exchange) error {
	x.trusted = p.trust.holds(x.peer)
	x.client = p.trust.client(x.peer, x.fields)
	x.id = requestID(x)
	if x.proto != [2]int{1, 0} && x.proto != [2]int{1, 1} && x.proto != [2]int{2, 0} {
		return &refusal{status: http.StatusHTTPVersionNotSupported, kind: "http-version", reason: "http_version", detail: "the HTTP version is not supported", header: closing}
	}
	if x.method == http.MethodConnect {
		return methodNotAllowed(allowDefault)
	}
	if lines, bytes := x.fields.Size(); lines > maxHeaderLines || p.maxHeader > 0 && bytes > p.maxHeader {
		return tooLong(http.StatusRequestHeaderFieldsTooLarge, "header", "the header is too long")
	}
	var err error
	if x.hostname, x.authority, err = canonicalHost(x.host); err != nil {
		return badRequest("host", "the host is malformed", err)
	}
	x.at, err = parseTarget(x.target)
	switch {
	case errors.Is(err, errTargetTooLong):
		return tooLong(http.StatusRequestURITooLong, "target", "the URL is too long")
	case err != nil:
		return badRequest("path", "the path is malformed or ambiguous", err)
	}
	return nil
}

// find chooses the route: host, then path, then method (CONTRACT 4.2).
func (p *Proxy) find(x *exchange) error {
	if found, err := p.findDocument(x); found {
		return err
	}
	if found, err := p.findService(x); found {
		return err
	}
	found, params := p.router.find(x.hostname, x.at.path)
	if x.at.slashes && (found == nil || !found.slashes) {
		return badRequest("path", "the path is malformed or ambiguous", errTargetSlash)
	}
	if found == nil {
		return notFound()
	}
	rt := found.methods[x.method]
	if rt == nil {
		return methodNotAllowed(found.allow)
	}
	x.route, x.params = rt, params
	if x.at.slashes && !rt.KeepEncodedSlash {
		return badRequest("path", "the path is malformed or ambiguous", errTargetSlash)
	}
	return nil
}

// limitAddress counts by address and route before anything is verified, so
// that guessing costs the guesser (CONTRACT 4.3).
func (p *Proxy) limitAddress(x *exchange) error { return p.limits(x, true) }

// limitPrincipal counts by who called (CONTRACT 4.6).
func (p *Proxy) limitPrincipal(x *exchange) error { return p.limits(x, false) }

// authenticate finds out who calls (CONTRACT 4.4).
func (p *Proxy) authenticate(x *exchange) error {
	if len(x.fields.Values("Authorization")) > 1 {
		p.countDeny(x, auth.Reason(auth.ErrMultiple))
		return unauthenticated(x.route, auth.ErrMultiple)
	}
	if x.route.Auth == nil {
		x.inc(x.route.series.public)
		return nil
	}
	principal, err := p.identify(x)
	if err != nil {
		return p.decline(x, checkAuthenticate, unauthenticated(x.route, err))
	}
	x.principal = principal
	return nil
}

// authorise asks whether the principal may do this, and whether what must be
// said of it can be said in a header (CONTRACT 4.5).
func (p *Proxy) authorise(x *exchange) error {
	if x.route.Auth == nil {
		return nil
	}
	if err := x.missing(); err != nil { // never only observed
		err, x.observed = unauthorised(x.route, err), nil
		p.countDeny(x, reasonOf(err))
		return err
	}
	if x.anonymous() {
		return nil
	}
	err := error(nil)
	if x.route.Policy != nil {
		err = x.route.Policy.Check(x.principal)
	}
	if err == nil && x.route.Policy.Asks() {
		err = x.allow()
	}
	if err == nil {
		x.forward, err = forwardFields(x.route.forward, x.principal)
	}
	if err != nil {
		if err = p.decline(x, checkAuthorise, unauthorised(x.route, err)); err == nil {
			x.forward, _ = forwardFields(x.route.forward, x.principal) // none of a claim that cannot be sent
		}
		return err
	}
	x.inc(x.route.series.allowed)
	return nil
}

type exchangeKey struct{}

func withExchange(ctx context.Context, x *exchange) context.Context {
	return context.WithValue(ctx, exchangeKey{}, x)
}

// exchangeOf returns the exchange that ServeHTTP put there.
func exchangeOf(ctx context.Context) *exchange { return ctx.Value(exchangeKey{}).(*exchange) }
