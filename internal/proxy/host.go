package proxy

import (
	"errors"
	"net/netip"
	"strings"
)

var errHost = errors.New("host is not a host name or address")

// canonicalHost returns host as it is routed and judged by: lower case, without
// port and final dot; empty for an HTTP/1.0 request that names none. The
// authority is that with the port, as upstreams are told.
func canonicalHost(host string) (name, authority string, err error) {
	name, port, err := splitHost(host)
	return name, name + port, err
}

func splitHost(host string) (canonical, port string, err error) {
	name := host
	if strings.HasPrefix(host, "[") {
		end := strings.IndexByte(host, ']')
		if end < 0 || !validPort(host[end+1:]) {
			return "", "", errHost
		}
		if addr, err := netip.ParseAddr(host[1:end]); err != nil || addr.Zone() != "" {
			return "", "", errHost
		}
		return strings.ToLower(host[:end+1]), host[end+1:], nil
	}
	if colon := strings.IndexByte(host, ':'); colon >= 0 {
		name, port = host[:colon], host[colon:]
		if name == "" || !validPort(port) {
			return "", "", errHost
		}
	}
	name = strings.TrimSuffix(name, ".")
	if len(name) > 253 {
		return "", "", errHost
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		if !unreserved(c) || c == '~' {
			return "", "", errHost
		}
	}
	return strings.ToLower(name), port, nil
}

// validPort reports whether s is empty or a colon and at most five digits.
func validPort(s string) bool {
	return s == "" || s[0] == ':' && len(s) <= 6 && strings.Trim(s[1:], "0123456789") == ""
}
