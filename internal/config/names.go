package config

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// isToken reports whether s is a token (RFC 9110, section 5.6.2), as names of
// header fields, methods and cookies are.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9') && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// isFieldValue reports whether s may stand in a header field as it is.
func isFieldValue(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// fold returns a header's name as servers that fold names see it (WSGI, PHP,
// CGI): lower case, every byte that is no letter or digit a hyphen.
func fold(name string) string {
	folded := []byte(strings.ToLower(name))
	for i, c := range folded {
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9') {
			folded[i] = '-'
		}
	}
	return string(folded)
}

// Header fields that are not the operator's to set, folded.
var (
	hopByHop = []string{"connection", "proxy-connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings"}
	framing  = []string{"host", "content-length", "expect"}
	ours     = []string{"x-request-id", "traceparent", "forwarded"}
)

// reserved says why a header field cannot be set; empty if it can.
func reserved(name string) string {
	folded := fold(name)
	switch {
	case slices.Contains(hopByHop, folded):
		return "belongs to a single connection"
	case slices.Contains(framing, folded):
		return "belongs to the message itself"
	case slices.Contains(ours, folded), strings.HasPrefix(folded, "x-forwarded-"):
		return "is set by the gateway"
	}
	return ""
}

// isHost reports whether name is a host name or an IP address, IPv6 in brackets.
func isHost(name string) bool {
	if inner, ok := strings.CutPrefix(name, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		addr, err := netip.ParseAddr(inner)
		return ok && err == nil && addr.Is6() && addr.Zone() == ""
	}
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if !isName(label, 63) {
			return false
		}
	}
	return true
}

// canonical returns a host's name as requests are compared by it.
func canonical(host string) string {
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// splitPort cuts a port from host. It reports false where what stands there is
// none; the port is empty if there is none at all.
func splitPort(s string) (host, port string, ok bool) {
	colon := strings.LastIndexByte(s, ':')
	if colon < 0 || strings.HasSuffix(s, "]") {
		return s, "", true
	}
	host, port = s[:colon], s[colon+1:]
	n, ok := parseDigits(port)
	if !ok || n > 65535 {
		return "", "", false
	}
	return host, strconv.FormatInt(n, 10), true
}

// parseURL reads an absolute http or https URL.
func parseURL(raw string) (*url.URL, bool) {
	if strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' }) {
		return nil, false
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Opaque != "" {
		return nil, false
	}
	host, port, ok := splitPort(u.Host)
	if !ok || port == "0" || strings.HasSuffix(u.Host, ":") || !isHost(strings.TrimSuffix(host, ".")) {
		return nil, false
	}
	return u, true
}

// isLoopback reports whether host, without port, is this machine.
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return canonical(host) == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// hostPort returns where u leads, its scheme's port filled in.
func hostPort(u *url.URL) string {
	host, port, _ := splitPort(u.Host)
	if port == "" {
		port = defaultPort(u.Scheme)
	}
	return canonical(host) + ":" + port
}

func defaultPort(scheme string) string {
	if scheme == "https" {
		return "443"
	}
	return "80"
}
