package proxy

import (
	"net/netip"
	"strings"
)

// maxHops bounds how many forwarding entries are read.
const maxHops = 64

// trust knows the proxies whose forwarding headers are believed.
type trust []netip.Prefix

func (t trust) holds(addr netip.Addr) bool {
	for _, prefix := range t {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// client returns the caller's address: the peer's, or where the peer is a
// trusted proxy the right-most address it and the trusted ones before it
// report that is not itself trusted. X-Forwarded-For wins over Forwarded
// (RFC 7239). An entry that is no address ends the search at the last good one.
func (t trust) client(peer netip.Addr, h fields) netip.Addr {
	if !t.holds(peer) {
		return peer
	}
	entries := h.Values("X-Forwarded-For")
	read := strings.TrimSpace
	if len(entries) == 0 {
		entries, read = h.Values("Forwarded"), forwardedFor
	}
	addr, hops := peer, 0
	for i := len(entries) - 1; i >= 0; i-- {
		for rest := entries[i]; rest != ""; hops++ {
			comma := strings.LastIndexByte(rest, ',')
			hop, ok := hopAddress(read(rest[comma+1:]))
			if !ok || hops >= maxHops {
				return addr
			}
			addr = hop
			if !t.holds(addr) {
				return addr
			}
			rest = rest[:max(comma, 0)]
		}
	}
	return addr
}

// hopAddress reads an address with or without a port: 192.0.2.1, 192.0.2.1:80,
// 2001:db8::1, [2001:db8::1], [2001:db8::1]:80.
func hopAddress(s string) (netip.Addr, bool) {
	if addrPort, err := netip.ParseAddrPort(s); err == nil {
		return clean(addrPort.Addr()), true
	}
	s = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	addr, err := netip.ParseAddr(s)
	return clean(addr), err == nil
}

// clean makes one address of its several spellings.
func clean(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

// forwardedFor returns the for parameter of one element of a Forwarded header.
func forwardedFor(element string) string {
	for pair := range strings.SplitSeq(element, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if strings.EqualFold(name, "for") {
			return strings.Trim(value, `"`)
		}
	}
	return ""
}
