package config

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// checker judges a configuration as a whole: what the type of a key cannot say.
// It also brings values into the one form the rest of the gateway compares.
type checker struct {
	*report
	c *Config
}

func (k *checker) all() {
	k.listeners()
	k.limits()
	k.secrets()
	k.audit()
	for _, name := range sortedKeys(k.c.Issuers) {
		k.issuer(name, k.c.Issuers[name])
	}
	for _, name := range sortedKeys(k.c.APIKeys) {
		k.apiKeys(name, k.c.APIKeys[name])
	}
	for _, name := range sortedKeys(k.c.Credentials) {
		c := k.c.Credentials[name]
		k.credential(name, &c)
		k.c.Credentials[name] = c
	}
	if len(k.c.Routes) == 0 && !k.failed("routes") {
		k.fail("routes", "there are no routes", "write at least one")
	}
	k.routes()
	k.crypto()
	k.tokenService()
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// listeners checks both addresses, TLS, and the proxies in front.
func (k *checker) listeners() {
	client, okay := k.listen("listen", k.c.Listen)
	if k.c.Admin.Listen != "" {
		if admin, ok := k.listen("admin.listen", k.c.Admin.Listen); ok && okay && overlap(client, admin) {
			at := "admin.listen"
			if !k.written(at) {
				at = "listen"
			}
			k.fail(at, fmt.Sprintf("listen and admin.listen cannot both be had: %s and %s", k.show("listen", k.c.Listen), k.show("admin.listen", k.c.Admin.Listen)), "give each a port of its own")
		}
	}
	if t := k.c.TLS; t != nil && !k.skip("tls") {
		switch {
		case t.CertFile == "" && !k.failed("tls.cert_file"):
			k.fail("tls.cert_file", "tls needs cert_file"+k.because("tls.cert_file"), "name the certificate's file, or remove tls")
		case t.KeyFile == "" && !k.failed("tls.key_file"):
			k.fail("tls.key_file", "tls needs key_file"+k.because("tls.key_file"), "name the private key's file, or remove tls")
		}
	}
	for i, text := range k.c.TrustedProxies {
		if _, err := netip.ParsePrefix(text); err == nil {
			continue
		}
		if addr, err := netip.ParseAddr(text); err != nil || addr.Zone() != "" {
			at := item("trusted_proxies", i)
			k.fail(at, "expected an address or a CIDR range, got "+k.show(at, text), "write it as in 10.0.0.0/8 or 192.0.2.1")
		}
	}
}

// item returns the path of an item of a list.
func item(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// listen checks an address to listen on. It reports false where there is none,
// and where the port is still to be chosen by the system.
func (k *checker) listen(path, text string) (address [2]string, fixed bool) {
	if k.failed(path) {
		return address, false
	}
	host, port, err := net.SplitHostPort(text)
	n, ok := parseDigits(port)
	if err != nil || !ok || n > 65535 || host != "" && !isHost(host) && !isIP(host) {
		k.fail(path, "expected an address such as 127.0.0.1:8080 or :8080, got "+k.show(path, text), "")
		return address, false
	}
	return [2]string{strings.ToLower(host), strconv.FormatInt(n, 10)}, n != 0
}

func isIP(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// overlap reports whether two addresses cannot both be listened on.
func overlap(a, b [2]string) bool {
	everywhere := func(host string) bool {
		addr, err := netip.ParseAddr(host)
		return host == "" || err == nil && addr.IsUnspecified()
	}
	return a[1] == b[1] && (a[0] == b[0] || everywhere(a[0]) || everywhere(b[0]))
}

func (k *checker) limits() {
	l := k.c.Limits
	if l.MaxHeader > 0 && l.MaxHeader < 4<<10 {
		k.fail("limits.max_header", "limits.max_header is too small for real requests", "write 4KiB or more")
	}
	if l.HeaderTimeout == 0 && !k.failed("limits.header_timeout") {
		k.fail("limits.header_timeout", "limits.header_timeout cannot be 0: a client could hold a connection for ever", "write a duration such as 5s")
	}
}

// clientTLS checks the files of a client certificate, of which one alone is no use.
func (k *checker) clientTLS(path, cert, key string) {
	if (cert == "") != (key == "") && !k.failed(path) {
		k.fail(path, "cert_file and key_file belong together", "write both, or none")
	}
}

// fetched checks a URL the gateway fetches keys or tokens from. What is read
// there decides who is believed, so it must not pass over a network in the open.
func (k *checker) fetched(path, raw string) {
	u, ok := parseURL(raw)
	switch {
	case !ok:
		k.fail(path, "expected a URL such as https://idp.example.com/jwks, got "+k.showURL(path, raw), "")
	case u.User != nil:
		k.fail(path, "the URL holds a user name or password", "remove what stands before the @")
	case u.Fragment != "" || strings.Contains(raw, "#"):
		k.fail(path, "the URL holds a fragment", "remove what begins with #")
	case u.Scheme != "https" && !k.c.AllowInsecureHTTP && !isLoopback(u.Hostname()):
		k.fail(path, "the URL must be https, got "+k.showURL(path, raw), "use https, or allow_insecure_http: true if its network is trusted")
	}
}
