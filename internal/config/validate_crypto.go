package config

import "strings"

// CryptoRoute names the crypto API in log, metrics and test cases; no route can
// have that name.
const CryptoRoute = "(crypto)"

// Auths returns the auth blocks of the routes, and of the crypto API if there is
// one: all that name issuers and lists of API keys.
func (c *Config) Auths() []Auth {
	var all []Auth
	for _, r := range c.Routes {
		all = append(all, r.Auth)
	}
	if c.Crypto != nil {
		all = append(all, c.Crypto.Auth)
	}
	return all
}

// crypto checks the crypto API and the keyrings.
func (k *checker) crypto() {
	c := k.c.Crypto
	if c == nil || k.skip("crypto") {
		return
	}
	if c.Path == "" && !k.written("crypto.auth") && !k.failed("crypto.path") && !k.failed("crypto.auth") {
		k.c.Crypto = nil // a block that asks for nothing
		return
	}
	switch {
	case c.Path == "" && !k.failed("crypto.path"):
		k.fail("crypto", "crypto needs a path"+k.because("crypto.path"), "write one such as path: /crypto/v1")
	case c.Path != "":
		k.ownPath("crypto.path", c.Path)
	}
	switch {
	case c.Auth.Public:
		k.fail("crypto.auth", "the crypto API is never public", "name the issuers or API keys that may call it")
	case !k.written("crypto.auth") && !k.failed("crypto.auth"):
		k.fail("crypto", "crypto needs an auth block"+k.because("crypto.auth"), "name the issuers or API keys that may call it")
	default:
		k.auth("crypto", &Route{Path: c.Path, Auth: c.Auth})
	}
	if c.PasswordPolicy.MinLength > 1024 {
		k.fail("crypto.password_policy.min_length", "expected a length of 0 to 1024 characters", "")
	}
}

// ownPath checks the path below which the gateway answers itself: no route may
// have it, since it would never be asked.
func (k *checker) ownPath(at, path string) {
	if k.failed(at) {
		return
	}
	segments := strings.Split(strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/"), "/")
	for _, segment := range segments {
		if !strings.HasPrefix(path, "/") || segment == "" || segment == "." || segment == ".." || !isPlain(segment) {
			k.fail(at, "expected a path of plain segments such as /crypto/v1, got "+k.show(at, path), "use letters, digits, dots, _, ~ and -")
			return
		}
	}
	prefix := strings.TrimSuffix(path, "/")
	for i := range k.c.Routes {
		key := item("routes", i) + ".path"
		if p := k.c.Routes[i].Path; (p == prefix || strings.HasPrefix(p, prefix+"/")) && !k.failed(key) {
			k.fail(key, "the path is below "+at+", where the gateway answers itself", "choose another path for one of them")
		}
	}
}
