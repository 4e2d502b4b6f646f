package config

import (
	"fmt"
	"slices"
	"strings"
)

func (k *checker) issuer(name string, c Issuer) {
	at := "issuers." + name
	if k.skip(at) {
		return
	}
	missing := func(key, advice string) {
		if path := join(at, key); !k.failed(path) {
			k.fail(path, at+" needs "+key+k.because(path), advice)
		}
	}
	if c.Issuer == "" && (!c.Introspects() || c.signs()) {
		missing("issuer", "write the exact value of its tokens' iss claim")
	}
	if len(c.Audiences) == 0 {
		missing("audiences", `name what its tokens are for, as their aud claim does; "*" accepts any`)
	}
	urlAt, keysAt, askAt := join(at, "jwks_url"), join(at, "keys"), join(at, "introspection")
	if !c.signs() && !c.Introspects() && !k.failed(urlAt) && !k.failed(keysAt) && !k.failed(askAt) && !k.failed(join(at, "discovery")) {
		empty, advice := k.because(urlAt)+k.because(keysAt), ""
		if empty == "" {
			advice = "discovery and introspection do it too"
		}
		k.fail(at, fmt.Sprintf("%s needs keys: set jwks_url%s or keys%s", at, k.because(urlAt), k.because(keysAt)), advice)
	}
	if c.JWKSURL != "" {
		k.fetched(urlAt, c.JWKSURL)
	}
	if c.Discovery {
		k.discovery(join(at, "discovery"), c.Issuer)
	}
	if c.Introspects() {
		k.introspection(askAt, c.Introspection)
	}
	k.issuerKeys(at, c)
	k.from(join(at, "from"), c.From)
	k.clientTLS(join(at, "tls"), c.TLS.CertFile, c.TLS.KeyFile)
}

// signs reports whether the issuer has keys of its own, and so signs tokens.
func (c Issuer) signs() bool { return c.JWKSURL != "" || c.Discovery || len(c.Keys) > 0 }

// Introspects reports whether the issuer is asked about tokens.
func (c Issuer) Introspects() bool { return c.Introspection != Introspection{} }

// discovery checks that an issuer's value says where its documents are: an URL
// without query and fragment (RFC 8414, section 2).
func (k *checker) discovery(path, issuer string) {
	u, ok := parseURL(issuer)
	switch {
	case issuer == "": // told already
	case ok && (u.RawQuery != "" || u.ForceQuery):
		k.fail(path, "discovery needs an issuer without a query", "write jwks_url instead")
	case !ok:
		k.fail(path, "discovery needs an issuer that is a URL such as https://idp.example.com/, got "+k.showURL(path, issuer), "write jwks_url instead")
	default:
		k.fetched(path, issuer)
	}
}

func (k *checker) introspection(at string, c Introspection) {
	if k.skip(at) {
		return
	}
	for _, needed := range []struct {
		key     string
		missing bool
	}{{"url", c.URL == ""}, {"client_id", c.ClientID == ""}, {"client_secret", c.ClientSecret.IsZero()}} {
		if path := join(at, needed.key); needed.missing && !k.failed(path) {
			k.fail(path, at+" needs "+needed.key+k.because(path), "introspection takes url, client_id, client_secret")
		}
	}
	if c.URL != "" {
		k.fetched(join(at, "url"), c.URL)
	}
}

// issuerKeys checks that the keys can be told apart, and fit the algorithms.
func (k *checker) issuerKeys(at string, c Issuer) {
	first := make(map[string]int)
	for i, key := range c.Keys {
		path := item(join(at, "keys"), i)
		if before, twice := first[key.KID]; twice && key.KID != "" {
			line, _ := k.place(item(join(at, "keys"), before) + ".kid")
			k.fail(path+".kid", "the kid "+k.show(path+".kid", key.KID)+" is here a second time", fmt.Sprintf("give each key its own; the first is on line %d", line))
		} else {
			first[key.KID] = i
		}
		if len(key.KID) > 128 {
			k.fail(path+".kid", "a kid is at most 128 bytes long", "use a shorter one")
		}
		if key.Algorithm != "" && len(c.Algorithms) > 0 && !slices.Contains(c.Algorithms, key.Algorithm) && !k.failed(path+".algorithm") {
			k.fail(path+".algorithm", quote(key.Algorithm)+" is not among the issuer's algorithms", "add it there, or remove the key")
		}
	}
	if len(c.Keys) > 0 || !c.signs() || k.failed(join(at, "keys")) {
		return
	}
	public := "jwks_url gives"
	if c.JWKSURL == "" {
		public = "discovery gives"
	}
	for i, algorithm := range c.Algorithms {
		if strings.HasPrefix(algorithm, "HS") {
			k.fail(item(join(at, "algorithms"), i), algorithm+" needs a shared key, and "+public+" public ones only", "remove it, or add the key under keys")
		}
	}
}

// place returns where path stands.
func (r *report) place(path string) (line, column int) {
	m := r.nearest(path)
	return m.line, m.column
}

func (k *checker) from(path string, places Strings) {
	if len(places) == 0 && !k.failed(path) {
		k.fail(path, "from names no place a token may stand", "leave it out for header")
	}
	for i, place := range places {
		at := item(path, i)
		kind, name, named := strings.Cut(place, ":")
		switch {
		case slices.Contains(places[:i], place):
			k.fail(at, "the place "+k.show(at, place)+" is here a second time", "remove it")
		case place == "header":
		case named && kind == "cookie" && isToken(name), named && kind == "query" && isToken(name):
		default:
			k.fail(at, "expected header, cookie:NAME or query:NAME, got "+k.show(at, place), "")
		}
	}
}
