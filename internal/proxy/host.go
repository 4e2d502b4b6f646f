package proxy

import (
	"errors"
	"net/netip"
	"strings"
)

var errHost = errors.New("host is not a host name or address")

// canonicalHost returns host as it is routed and judged by: lower case, without
// port and final dot; empty for an HTTP/1.0 request that names none.
func canonicalHost(host string) (string, error) {
	name := host
	if strings.HasPrefix(host, "[") {
		end := strings.IndexByte(host, ']')
		if end < 0 {
			return "", errHost
		}
		if addr, err := netip.ParseAddr(host[1:end]); err != nil || addr.Zone() != "" {
			return "", errHost
		}
		name = host[:end+1]
		if !validPort(host[end+1:]) {
			return "", errHost
		}
		return strings.ToLower(name), nil
	}
	if colon := strings.IndexByte(host, ':'); colon >= 0 {
		name = host[:colon]
		if name == "" || !validPort(host[colon:]) {
			return "", errHost
		}
	}
	name = strings.TrimSuffix(name, ".")
	if len(name) > 253 {
		return "", errHost
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		if !unreserved(c) || c == '~' {
			return "", errHost
		}
	}
	return strings.ToLower(name), nil
}

// validPort reports whether s is empty or a colon and at most five digits.
func validPort(s string) bool {
	return s == "" || s[0] == ':' && len(s) <= 6 && strings.Trim(s[1:], "0123456789") == ""
}
