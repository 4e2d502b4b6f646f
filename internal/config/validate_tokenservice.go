package config

import "strings"

// tokenService checks the issuer that the gateway itself is.
func (k *checker) tokenService() {
	const at = "token_service"
	s := k.c.TokenService
	if s == nil || k.skip(at) {
		return
	}
	if s.Path == "" && s.Issuer == "" && s.SigningKeys.IsZero() && s.Clients.IsZero() && !k.failed(at) {
		k.c.TokenService = nil // a block that asks for nothing
		return
	}
	for _, needed := range []struct {
		key, advice string
		missing     bool
	}{
		{"path", "write one such as path: /oauth2", s.Path == ""},
		{"issuer", "write the URL callers reach the gateway by, as in https://gateway.example.com", s.Issuer == ""},
		{"signing_keys", "write ${secret:PATH} of a private key, or of a JWKS", s.SigningKeys.IsZero()},
	} {
		if path := join(at, needed.key); needed.missing && !k.failed(path) {
			k.fail(path, at+" needs "+needed.key+k.because(path), needed.advice)
		}
	}
	if s.Path != "" {
		k.ownPath(at+".path", s.Path)
		k.apart(at+".path", s.Path)
	}
	k.wellKnown(at, s)
}

// apart checks that the paths of both services do not hold each other.
func (k *checker) apart(at, path string) {
	if k.c.Crypto == nil || k.failed(at) || k.failed("crypto.path") {
		return
	}
	a, b := strings.TrimSuffix(path, "/")+"/", strings.TrimSuffix(k.c.Crypto.Path, "/")+"/"
	if strings.HasPrefix(a, b) || strings.HasPrefix(b, a) {
		k.fail(at, "the path is that of crypto.path, or one holds the other", "choose another path for one of them")
	}
}

// wellKnown refuses a route that would never be asked, as the gateway itself
// answers there.
func (k *checker) wellKnown(at string, s *TokenService) {
	for i := range k.c.Routes {
		path := item("routes", i) + ".path"
		switch p := k.c.Routes[i].Path; {
		case k.failed(path):
		case p == wellKnownMetadata || len(p) > len(wellKnownMetadata) && p[:len(wellKnownMetadata)+1] == wellKnownMetadata+"/":
			k.fail(path, "the path is where "+at+" answers with its metadata", "choose another path, or remove token_service")
		}
	}
}

// wellKnownMetadata is where an issuer's metadata is (RFC 8414, section 3).
const wellKnownMetadata = "/.well-known/oauth-authorization-server"
