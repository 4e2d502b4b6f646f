package auth

import (
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// reach is how far a URL may lead that was learned from a peer: from a redirect,
// or from a document (CONTRACT 5).
type reach struct {
	written  *url.URL        // the one the operator wrote
	hosts    func() []string // others the configuration names, as HostPort has them; nil: none
	insecure bool            // plain http is allowed off this machine too
}

// judge refuses a learned URL unless it is https, on the host the operator wrote
// or one the configuration names, and never link-local, where clouds keep their
// metadata. Plain http goes where it is allowed for written URLs, and only if
// the operator wrote http.
func (r reach) judge(to *url.URL) error {
	switch {
	case to.Scheme != "https" && (to.Scheme != "http" || r.written.Scheme != "http"):
		return errors.New("a URL that is not https")
	case linkLocal(to.Hostname()):
		return errors.New("a link-local address")
	case !r.sameHost(to) && !r.named(to):
		return errors.New("another host")
	case to.Scheme == "http" && !r.insecure && !isLoopback(to.Hostname()):
		return errors.New("a URL that is not https")
	case to.User != nil:
		return errors.New("a URL with a user name")
	}
	return nil
}

// sameHost also lets http go up to https, from the one usual port to the other.
func (r reach) sameHost(to *url.URL) bool {
	from := r.written
	if !strings.EqualFold(to.Hostname(), from.Hostname()) {
		return false
	}
	return portOf(to) == portOf(from) || to.Scheme == "https" && portOf(to) == "443" && portOf(from) == "80"
}

func (r reach) named(to *url.URL) bool {
	return r.hosts != nil && slices.Contains(r.hosts(), HostPort(to))
}

// HostPort returns the host and port of a URL, in lower case, the port of its
// scheme filled in.
func HostPort(u *url.URL) string { return strings.ToLower(u.Hostname()) + ":" + portOf(u) }

// portOf returns a URL's port, its scheme's filled in.
func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "http":
		return "80"
	}
	return "443"
}

func linkLocal(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && (addr.Unmap().IsLinkLocalUnicast() || addr.Unmap().IsLinkLocalMulticast())
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") || err == nil && addr.Unmap().IsLoopback()
}
