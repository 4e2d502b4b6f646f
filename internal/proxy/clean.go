package proxy

import (
	"bytes"
	"net/http"
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
var forwardedPrefix = []byte("x-forwarded-")

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
	var buffer [64]byte // a longer name takes an allocation
	folded := appendFold(buffer[:0], name)
	if c.managed[string(folded)] {
		return true
	}
	if bytes.HasPrefix(folded, forwardedPrefix) || c.forwarding[string(folded)] {
		return !trusted || !ownName(name, folded)
	}
	return c.twins[string(folded)] && !ownName(name, folded)
}

// ownName reports whether name is the folded one, but for case: no twin of it.
func ownName(name string, folded []byte) bool {
	for i := 0; i < len(name); i++ {
		if lower(name[i]) != folded[i] {
			return false
		}
	}
	return true
}

// fold returns name as servers that fold header names see it (WSGI, PHP, CGI):
// lower case, every byte that is no letter or digit a hyphen.
func fold(name string) string { return string(appendFold(nil, name)) }

func appendFold(folded []byte, name string) []byte {
	for i := 0; i < len(name); i++ {
		c := lower(name[i])
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9') {
			c = '-'
		}
		folded = append(folded, c)
	}
	return folded
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
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
