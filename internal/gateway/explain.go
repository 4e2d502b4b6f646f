package gateway

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/sallyport/sallyport/internal/admin"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/proxy"
)

// Question is a request to explain, as its caller would write it.
type Question struct {
	Method  string // empty: GET
	URL     string // absolute, or a path
	Headers []Header
	IP      netip.Addr // the peer's; not valid: 127.0.0.1
	Secure  bool       // over TLS; also if the URL is https, or the gateway serves TLS
}

// Header is one field of a Question.
type Header struct{ Name, Value string }

// ErrQuestion says that something is no request at all.
var ErrQuestion = errors.New("cannot be asked")

// Explain answers what would become of the request, and changes nothing. The
// error wraps ErrQuestion.
func (g *Gateway) Explain(q Question) (proxy.Explanation, error) {
	current := g.acquire()
	defer current.leave()
	q.Secure = q.Secure || current.config.TLS != nil
	r, err := q.request()
	if err != nil {
		return proxy.Explanation{}, err
	}
	return current.proxy.Explain(r), nil
}

// answerExplain is the admin API's call (CONTRACT 9).
func (g *Gateway) answerExplain(_ context.Context, asked admin.Question) (any, error) {
	q := Question{Method: asked.Method, URL: asked.URL}
	for name, value := range asked.Headers {
		q.Headers = append(q.Headers, Header{name, value})
	}
	if asked.IP != "" {
		var err error
		if q.IP, err = netip.ParseAddr(asked.IP); err != nil {
			return nil, fmt.Errorf("%w: ip is no address", admin.ErrBadRequest)
		}
	}
	e, err := g.Explain(q)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", admin.ErrBadRequest, err)
	}
	return e, nil
}

// request is q as the server of the full lane would hand it over. It is written
// out and read by net/http, so that nothing here can read it otherwise.
func (q Question) request() (*http.Request, error) {
	scheme, host, target, err := splitURL(q.URL)
	if err != nil {
		return nil, err
	}
	method := q.Method
	if method == "" {
		method = http.MethodGet
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", method, target)
	if !slices.ContainsFunc(q.Headers, func(h Header) bool { return strings.EqualFold(h.Name, "Host") }) {
		fmt.Fprintf(&b, "Host: %s\r\n", host)
	}
	for _, h := range q.Headers {
		if !httpguts.ValidHeaderFieldName(h.Name) || !httpguts.ValidHeaderFieldValue(h.Value) {
			return nil, fmt.Errorf("%w: header %.40q has a name or value that HTTP does not allow", ErrQuestion, h.Name)
		}
		fmt.Fprintf(&b, "%s: %s\r\n", h.Name, h.Value)
	}
	if strings.ContainsAny(method+target+host, " \r\n\x00") {
		return nil, fmt.Errorf("%w: method or URL holds a space or the end of a line", ErrQuestion)
	}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(b.String() + "\r\n")))
	if err != nil { // its text may quote a header
		return nil, fmt.Errorf("%w: the server would answer 400 before any check: not a well-formed HTTP/1.1 request", ErrQuestion)
	}
	if q.Secure || scheme == "https" {
		r.TLS = new(tls.ConnectionState)
	}
	peer := q.IP
	if !peer.IsValid() {
		peer = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	r.RemoteAddr = netip.AddrPortFrom(peer, 1).String()
	return r, nil
}

// splitURL takes a URL apart without changing the path in it: its form is what
// the first check judges. A fragment is cut, as every client does.
func splitURL(raw string) (scheme, host, target string, err error) {
	raw, _, _ = strings.Cut(raw, "#")
	if strings.HasPrefix(raw, "/") {
		return "", "localhost", raw, nil
	}
	scheme, rest, found := strings.Cut(raw, "://")
	scheme = strings.ToLower(scheme)
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	host, target = rest[:end], rest[end:]
	if !found || scheme != "http" && scheme != "https" || host == "" || strings.Contains(host, "@") {
		return "", "", "", fmt.Errorf("%w: the URL must be a path such as /orders/1, or an absolute http or https URL without a user", ErrQuestion)
	}
	if !strings.HasPrefix(target, "/") {
		target = "/" + target
	}
	return scheme, host, target, nil
}

// BuildToExplain makes a Gateway that answers [Gateway.Explain] and is not to
// serve: it opens no log, and none of the files that only serving needs.
func BuildToExplain(c *config.Config, o Options) (*Gateway, error) {
	silent := *c
	silent.TLS = nil
	silent.Telemetry.AccessLog = ""
	silent.Audit = unopened(c.Audit)
	silent.Routes = slices.Clone(c.Routes)
	for i := range silent.Routes {
		silent.Routes[i].Upstream.TLS = config.UpstreamTLS{}
	}
	return Build(&silent, o)
}

// Backend names the secret backend, and why it is that one.
func (g *Gateway) Backend() string {
	from := g.current.Load().store
	return fmt.Sprintf("%s (%s)", from.backend, from.why)
}

// Ready fetches once what the checks and credentials need, at most until ctx
// ends, and serves nothing. What could not be had shows in the explanations.
func (g *Gateway) Ready(ctx context.Context) error {
	if err := g.Fetch(ctx); err != nil {
		return err
	}
	life, end := context.WithCancel(ctx)
	defer end()
	current := g.current.Load()
	g.running.begin(life, g.log)
	g.running.adopt(current)
	current.awaitWarm(life)
	end()
	g.running.tasks.Wait()
	return nil
}
