package proxy

import (
	"net/http"
	"strings"
)

// cleaner says which of a caller's header fields may go upstream. Both lanes
// ask it of each name; what it drops is either the gateway's to say, or a
// credential, or a trick.
type cleaner struct {
	managed    map[string]bool // folded names that never pass on this route
	forwarding map[string]bool // folded names that pass from a trusted proxy
	twins      map[string]bool // folded names that pass in their own spelling only
}

// Names every route manages, folded. Hop-by-hop fields are RFC 9110, section
// 7.6.1; the twins of a method or a URL make frameworks serve another request
// than the one that was judged.
var (
	alwaysManaged  = []string{"authorization", "x-request-id", "traceparent"}
	hopByHop       = []string{"connection", "proxy-connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings"}
	fromTrusted    = []string{"forwarded", "x-real-ip", "x-original-url", "x-rewrite-url", "true-client-ip", "cf-connecting-ip"}
	framing        = []string{"content-length", "host", "expect", "content-type", "content-encoding", "cookie"} // only their twins go
	methodOverride = []string{"x-http-method-override", "x-http-method", "x-method-override"}
)

// forwardedPrefix begins the names a proxy tells of its caller with.
const forwardedPrefix = "x-forwarded-"

// newCleaner returns the cleaner of a route that sets the fields named, beside
// those every route sets.
func newCleaner(sets []string, keepAuthorization, keepMethodOverride bool) *cleaner {
	c := &cleaner{managed: make(map[string]bool), forwarding: make(map[string]bool), twins: make(map[string]bool)}
	c.manage(alwaysManaged...)
	c.manage(hopByHop...)
	if !keepMethodOverride {
		c.manage(methodOverride...)
	}
	if keepAuthorization {
		delete(c.managed, "authorization")
	}
	for _, name := range fromTrusted {
		c.forwarding[name] = true
	}
	for _, name := range framing {
		c.twins[name] = true
	}
	c.manage(sets...)
	return c
}

func (c *cleaner) manage(names ...string) {
	for _, name := range names {
		c.managed[fold(name)] = true
	}
}

// drops reports whether the field must not go upstream. A trusted proxy's
// forwarding headers stay, but only under their own names: a twin such as
// X_Forwarded_For goes even then.
func (c *cleaner) drops(name string, trusted bool) bool {
	folded := fold(name)
	if c.managed[folded] {
		return true
	}
	if strings.HasPrefix(folded, forwardedPrefix) || c.forwarding[folded] {
		return !trusted || !strings.EqualFold(folded, name)
	}
	return c.twins[folded] && !strings.EqualFold(folded, name)
}

// fold returns name as servers that fold header names see it (WSGI, PHP, CGI):
// lower case, every byte that is no letter or digit a hyphen.
func fold(name string) string {
	for i := 0; i < len(name); i++ {
		if c := name[i]; !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-') {
			return foldSlow(name)
		}
	}
	return name
}

func foldSlow(name string) string {
	folded := make([]byte, len(name))
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9':
			folded[i] = c
		case 'A' <= c && c <= 'Z':
			folded[i] = c + 'a' - 'A'
		default:
			folded[i] = '-'
		}
	}
	return string(folded)
}

// cleanHeader removes from an outbound header what the cleaner drops. The field
// of a WebSocket upgrade, which ReverseProxy put back after it removed the
// hop-by-hop ones, stays.
func (c *cleaner) cleanHeader(h http.Header, trusted, upgrade bool) {
	for name := range h {
		if upgrade && (name == "Connection" || name == "Upgrade") {
			continue
		}
		if c.drops(name, trusted) {
			delete(h, name)
		}
	}
}
