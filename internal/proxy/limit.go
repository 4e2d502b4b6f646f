package proxy

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/internal/auth"
	"github.com/sallyport/sallyport/internal/ratelimit"
)

// Limit is one rate limit of a route: how often, and counted by what.
type Limit struct {
	Limiter *ratelimit.Limiter
	Key     string // subject, ip, route, claim:NAME or header:NAME
	Number  int    // its place in the route's list, so that equal limits count apart

	// Of Key and Number, as ready fills them in.
	kind, name string
	prefix     string // of the names of its buckets
}

// ready returns the limit with what of it need not be worked out for a request.
func (l Limit) ready() Limit {
	l.kind, l.name, _ = strings.Cut(l.Key, ":")
	if l.kind == "header" {
		l.name = http.CanonicalHeaderKey(l.name)
	}
	l.prefix = strconv.Itoa(l.Number) + l.Key + "\x00"
	return l
}

// early reports whether the limit is asked before authentication.
func (l Limit) early() bool { return l.kind == "ip" || l.kind == "route" }

// maxKey bounds what is read of one key, in bytes; longer values share a bucket
// with those that begin alike.
const maxKey = 512

// bucket returns the bucket x counts in. It begins with the limit's own key, so
// that those of two limits never collide, nor one issuer's subjects with
// another's. Without the principal, claim or header asked for, the address
// counts.
func (l Limit) bucket(x *exchange) string {
	switch l.kind {
	case "route":
		return l.of("route", "", "")
	case "subject":
		if p := x.principal; p != nil && p.Subject != "" {
			return l.of("value", p.Issuer, p.Subject)
		}
	case "claim":
		if value, ok := claimKey(x.principal, l.name); ok {
			return l.of("value", x.principal.Issuer, value)
		}
	case "header":
		if values := x.fields.Values(l.name); len(values) > 0 {
			return l.of("value", "", strings.Join(values, ","))
		}
	}
	return l.of("ip", "", network(x.client))
}

// ask takes a token from x's bucket, or tells whether there is one.
func (l Limit) ask(x *exchange) ratelimit.Decision {
	if x.explaining {
		return l.Limiter.Peek(l.bucket(x))
	}
	return l.Limiter.Allow(l.bucket(x))
}

// of joins the parts of a bucket's name; NUL stands in none but the last.
func (l Limit) of(kind, issuer, value string) string {
	return cut(l.prefix + kind + "\x00" + issuer + "\x00" + value)
}

func cut(key string) string { return key[:min(len(key), maxKey)] }

// claimKey is a claim's value as JSON text.
func claimKey(p *auth.Principal, name string) (string, bool) {
	if p == nil || p.Claims[name] == nil {
		return "", false
	}
	if s, ok := p.Claims[name].(string); ok {
		return s, true
	}
	text, err := json.Marshal(p.Claims[name])
	return string(text), err == nil
}

// network is what one caller can be expected to hold: an IPv4 address, or an
// IPv6 /64.
func network(addr netip.Addr) string {
	if addr.Is6() && !addr.Is4In6() {
		if prefix, err := addr.Prefix(64); err == nil {
			return prefix.Addr().String()
		}
	}
	return addr.String()
}

// limits asks the route's limits that stand before, or after, authentication.
func (p *Proxy) limits(x *exchange, early bool) error {
	for _, l := range x.route.Limits {
		if l.early() != early {
			continue
		}
		note := limitNote{l.Limiter, l.ask(x)}
		if !note.decision.Allowed {
			x.limit = note
			x.count(p.metrics.limited, x.route.Name, l.kind) // of the configuration's words
			return tooMany(note, l.kind)
		}
		if x.limit.limiter == nil || note.decision.Remaining < x.limit.decision.Remaining {
			x.limit = note
		}
	}
	return nil
}

// describe sets the RateLimit header fields, if a limit was asked.
func (n limitNote) describe(h http.Header) {
	if n.limiter == nil {
		return
	}
	h["Ratelimit-Policy"] = []string{n.limiter.Policy()}
	h["Ratelimit"] = []string{n.decision.Header(n.limiter)}
}
