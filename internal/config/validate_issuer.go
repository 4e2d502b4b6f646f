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
	if c.Issuer == "" {
		missing("issuer", "write the exact value of its tokens' iss claim")
	}
	if len(c.Audiences) == 0 {
		missing("audiences", `name what its tokens are for, as their aud claim does; "*" accepts any`)
	}
	urlAt, keysAt := join(at, "jwks_url"), join(at, "keys")
	if c.JWKSURL == "" && len(c.Keys) == 0 && !k.failed(urlAt) && !k.failed(keysAt) {
		k.fail(at, fmt.Sprintf("%s needs keys: set jwks_url%s or keys%s", at, k.because(urlAt), k.because(keysAt)), "")
	}
	if c.JWKSURL != "" {
		k.fetched(urlAt, c.JWKSURL)
	}
	k.issuerKeys(at, c)
	k.from(join(at, "from"), c.From)
	k.clientTLS(join(at, "tls"), c.TLS.CertFile, c.TLS.KeyFile)
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
	if len(c.Keys) > 0 || c.JWKSURL == "" || k.failed(join(at, "keys")) {
		return
	}
	for i, algorithm := range c.Algorithms {
		if strings.HasPrefix(algorithm, "HS") {
			k.fail(item(join(at, "algorithms"), i), algorithm+" needs a shared key, and jwks_url gives public ones only", "remove it, or add the key under keys")
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
		kind, _, named := strings.Cut(place, ":")
		switch {
		case place == "header":
		case named && (kind == "cookie" || kind == "query"):
			k.fail(at, quote(kind+":")+" is not supported in this version", "use header")
		default:
			k.fail(at, "expected header, got "+k.show(at, place), "")
		}
	}
}
