package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log"
	"maps"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/sallyport/sallyport/internal/credentials"
	"github.com/sallyport/sallyport/internal/telemetry"
)

// The full lane: net/http's server before the checks, ReverseProxy and
// Transport behind them. It carries everything.

// httpFields is a header of the full lane.
type httpFields http.Header

func (h httpFields) Values(name string) []string { return h[name] }

func (h httpFields) All() iter.Seq2[string, []string] { return maps.All(h) }

func (h httpFields) Size() (lines, bytes int) {
	for name, values := range h {
		lines += len(values)
		for _, value := range values {
			bytes += len(name) + len(value) + len(": \r\n")
		}
	}
	return lines, bytes
}

// newExchange says of r what the checks may ask.
func (p *Proxy) newExchange(r *http.Request) *exchange {
	x := &exchange{
		start: p.now(), method: r.Method, proto: [2]int{r.ProtoMajor, r.ProtoMinor}, target: r.RequestURI,
		host: r.Host, secure: r.TLS != nil, fields: httpFields(r.Header), ctx: r.Context(),
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		x.certificates = r.TLS.VerifiedChains[0]
	}
	if addrPort, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		x.peer = clean(addrPort.Addr())
	}
	return x
}

// fullRoute serves the requests of one route that passed the checks.
type fullRoute struct {
	*Proxy
	*route
	reverse *httputil.ReverseProxy
}

// buffers lends ReverseProxy its copy buffers.
type buffers struct{ sync.Pool }

func (b *buffers) Get() []byte  { return *b.Pool.Get().(*[]byte) }
func (b *buffers) Put(p []byte) { b.Pool.Put(&p) }

// ready makes r ready to serve.
func (p *Proxy) ready(r Route) (*route, error) {
	var err error
	if r.StripPrefix, err = normalise(r.StripPrefix); err != nil {
		return nil, fmt.Errorf("strip_prefix: %w", err)
	}
	if r.AddPrefix, err = normalise(r.AddPrefix); err != nil {
		return nil, fmt.Errorf("add_prefix: %w", err)
	}
	rt := &route{Route: r, forward: newForwardings(r.Forward), read: foldedHeaders(r.Policy), params: Parameters(r.Path)}
	var held []string
	if r.Auth != nil {
		rt.stripper, held = newStripper(r.Auth.Places())
	}
	rt.stripper.cookies = unique(append(rt.stripper.cookies, p.cookies...))
	rt.cleaner = newCleaner(slices.Concat(setByRoute(r), held, p.keyHeaders), r.KeepAuthorization, r.KeepMethodOverride)
	rt.perCaller = slices.ContainsFunc(r.Inject, credentials.NeedsCaller)
	rt.series = p.metrics.of(r.Name)
	rt.Limits = make([]Limit, len(r.Limits))
	for i, l := range r.Limits {
		rt.Limits[i] = l.ready()
	}
	for name, value := range r.SetRequest {
		rt.set = append(rt.set, field{http.CanonicalHeaderKey(name), value})
	}
	f := &fullRoute{Proxy: p, route: rt}
	transport := r.Transport
	if len(r.Inject) > 0 {
		transport = &replay{
			inject:  &inject{credentials: r.Inject, next: transport},
			replays: p.metrics.replays.WithLabelValues(r.Name),
		}
	}
	if r.Observe {
		transport = &ifKnown{injecting: transport, bare: r.Transport, credentials: r.Inject}
	}
	f.reverse = &httputil.ReverseProxy{
		Rewrite:        f.rewrite,
		Transport:      transport,
		ModifyResponse: f.answer,
		ErrorHandler:   f.failed,
		BufferPool:     &buffers{sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}},
		ErrorLog:       log.New(io.Discard, "", 0), // what it would log, observe logs
	}
	rt.full = f
	return rt, nil
}

// setByRoute names the fields the gateway alone sets on r.
func setByRoute(r Route) []string {
	var names []string
	for header := range r.Forward {
		names = append(names, header)
	}
	for header := range r.SetRequest {
		names = append(names, header)
	}
	for _, c := range r.Inject {
		if at := c.Placement(); at.Header != "" {
			names = append(names, at.Header)
		}
	}
	return append(names, r.RemoveRequest...)
}

// ServeHTTP sends the request up and its answer back.
func (f *fullRoute) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := exchangeOf(r.Context())
	if f.overlong(r) {
		leaveBody(w, r)
		f.refuse(w, x, checkBody, tooLarge())
		return
	}
	s := newSending(r, w.(*record))
	defer s.done()
	ctx := s.ctx
	if f.Total > 0 {
		bounded, cancel := context.WithTimeout(ctx, f.Total)
		defer cancel()
		ctx = bounded
	}
	if r.Body != nil && r.Body != http.NoBody {
		s.body = newRequestBody(w, r, f.MaxBody, f.bodyTimeout)
		if r.ProtoMajor == 1 {
			_ = http.NewResponseController(w).EnableFullDuplex() // an answer may begin before the body ends
		}
	}
	r = r.WithContext(x.withCaller(ctx))
	if s.body != nil {
		r.Body = s.body
	}
	r.Trailer = nil // announced trailers must not become fields (RFC 9110, section 6.5.1)
	if r.Header.Get("Upgrade") != "" && !webSocket(r) {
		r.Header.Del("Upgrade")
	}
	w.Header()["Content-Type"] = nil // the upstream's or none: net/http must not guess one
	x.sentUp = f.now()
	f.reverse.ServeHTTP(w, r)
}

// overlong reports whether r announces a body that is over the route's bound.
func (rt *route) overlong(r *http.Request) bool {
	return rt.MaxBody > 0 && r.ContentLength > rt.MaxBody
}

// webSocket reports whether r asks for a WebSocket, the one upgrade that passes
// (RFC 6455, section 4.1). An h2c upgrade would open a tunnel past the checks.
func webSocket(r *http.Request) bool {
	return r.ProtoMajor == 1 && r.ProtoMinor == 1 && r.Method == http.MethodGet &&
		len(r.Header["Upgrade"]) == 1 && strings.EqualFold(r.Header["Upgrade"][0], "websocket")
}

// rewrite turns the caller's request into ours: target, host, header. It runs
// after ReverseProxy took the hop-by-hop fields away, so that nothing the
// gateway sets can be named away by Connection (CVE-2024-45410).
func (f *fullRoute) rewrite(pr *httputil.ProxyRequest) {
	x := exchangeOf(pr.In.Context())
	server := f.Pool.Next()
	x.server = server.Host
	pr.Out.URL = f.outboundURL(server, x.at)
	switch f.Host {
	case "upstream", "":
		pr.Out.Host = ""
	case "preserve":
		pr.Out.Host = x.authority
	default:
		pr.Out.Host = f.Host
	}
	pr.Out.Trailer = nil
	h := pr.Out.Header
	if x.trusted { // ReverseProxy has taken these away
		for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded"} {
			if values := pr.In.Header[name]; len(values) > 0 {
				h[name] = values
			}
		}
	}
	f.cleaner.cleanHeader(h, x.trusted, webSocket(pr.In))
	f.stripper.header(h)
	if f.KeepAuthorization {
		if values := pr.In.Header["Authorization"]; len(values) == 1 {
			h["Authorization"] = values // also where Connection named it
		}
	}
	for _, set := range f.outboundFields(x) {
		h[set.name] = []string{set.value}
	}
	if _, sent := h["User-Agent"]; !sent {
		h["User-Agent"] = nil // none rather than Go's
	}
}

// outboundURL is where at goes on server: the prefix taken away, another put
// before it. Both end at a segment's boundary, so that neither makes another
// segment of the first one.
func (f *fullRoute) outboundURL(server *url.URL, at target) *url.URL {
	path := at.path
	if f.StripPrefix != "" {
		if rest, ok := strings.CutPrefix(path, f.StripPrefix); ok && (rest == "" || rest[0] == '/') {
			path = rest
		}
	}
	path = server.EscapedPath() + f.AddPrefix + path
	if path == "" || path[0] != '/' {
		path = "/" + path
	}
	decoded, err := url.PathUnescape(path)
	if err != nil {
		decoded = path // cannot be: the path is in normal form
	}
	query := f.stripper.query(at.query)
	return &url.URL{
		Scheme: server.Scheme, Host: server.Host, Path: decoded, RawPath: path,
		RawQuery: query, ForceQuery: at.asked && at.query == "",
	}
}

// outboundFields are the fields the gateway sets on every request of the route.
func (f *fullRoute) outboundFields(x *exchange) []field {
	peer := x.peer.String()
	forwardedFor, proto, host := peer, "http", x.authority
	if x.secure {
		proto = "https"
	}
	if x.trusted {
		if before := x.fields.Values("X-Forwarded-For"); len(before) > 0 {
			forwardedFor = strings.Join(before, ", ") + ", " + peer
		}
		if v := x.fields.Values("X-Forwarded-Proto"); len(v) == 1 && (v[0] == "http" || v[0] == "https") {
			proto = v[0]
		}
		if v := x.fields.Values("X-Forwarded-Host"); len(v) == 1 && v[0] != "" {
			host = v[0]
		}
	}
	parent := ""
	if v := x.fields.Values("Traceparent"); len(v) == 1 {
		parent = v[0]
	}
	set := []field{
		{"X-Forwarded-For", forwardedFor}, {"X-Forwarded-Proto", proto}, {"X-Forwarded-Host", host},
		{"X-Request-Id", x.id}, {"Traceparent", telemetry.Traceparent(parent)},
	}
	set = append(set, f.set...)
	return append(set, x.forward...)
}

// answer adjusts the upstream's answer before the caller sees it.
func (f *fullRoute) answer(res *http.Response) error {
	s := sendingOf(res.Request.Context())
	x := s.x
	x.upstream = f.now().Sub(x.sentUp)
	for _, name := range f.RemoveResponse {
		res.Header.Del(name)
	}
	for name, value := range f.SetResponse {
		res.Header.Set(name, value)
	}
	res.Header.Set("X-Request-Id", x.id)
	x.limit.describe(res.Header)
	if s.body.unfinished() && x.proto[0] == 1 {
		res.Header.Set("Connection", "close") // what is left of the body must not be taken for a request
	}
	s.rec.Header()["Content-Type"] = nil // a 1xx before this answer made ReverseProxy forget it
	if res.StatusCode == http.StatusSwitchingProtocols {
		s.rec.status = res.StatusCode // written past the record
	}
	if f.CloseAtExpiry {
		s.endAtExpiry(res, f.now())
	}
	return nil
}

// failed answers where no answer could be had.
func (f *fullRoute) failed(w http.ResponseWriter, r *http.Request, err error) {
	s := sendingOf(r.Context())
	s.x.upstream = f.now().Sub(s.x.sentUp)
	if errors.Is(err, credentials.ErrUnavailable) {
		s.x.server, s.x.upstream = "", 0 // nobody was asked
	}
	if errors.Is(context.Cause(r.Context()), ErrShutdown) {
		err = fmt.Errorf("%w: %w", ErrShutdown, err)
	}
	if s.body.unfinished() {
		leaveBody(w, r)
	}
	f.refuse(w, s.x, "upstream", upstreamFailed(err, s.body))
}
