package config

import (
	"reflect"
	"slices"
	"strings"
)

// credentialKeys are the keys of each type, beside those of all types.
func credentialKeys(c *Credential) (needed, optional []string) {
	switch c.Type {
	case "static":
		return []string{"token"}, nil
	case "basic":
		return []string{"username", "password"}, nil
	case "oauth2", "token_exchange":
		needed = []string{"token_url", "client_id"}
		optional = []string{"client_auth", "scopes", "audience", "resource", "parameters", "refresh_before", "tls"}
		switch c.ClientAuth {
		case "private_key_jwt":
			return append(needed, "signing_key"), append(optional, "algorithm", "kid")
		case "tls":
			return append(needed, "tls"), optional
		}
		return append(needed, "client_secret"), optional
	case "jwt":
		return []string{"signing_key"}, []string{"algorithm", "kid", "issuer", "audience", "subject", "scopes", "claims", "expiry", "refresh_before"}
	}
	return nil, nil
}

func (k *checker) credential(name string, c *Credential) {
	at := "credentials." + name
	if k.skip(at) || k.failed(at+".type") {
		return
	}
	needed, optional := credentialKeys(c)
	common := []string{"type", "header", "prefix", "query", "cookie", "hosts"}
	v := reflect.ValueOf(*c)
	for _, f := range tagged(v.Type()) {
		path := join(at, f.key)
		zero := v.Field(f.index).IsZero()
		switch {
		case k.failed(path):
		case slices.Contains(needed, f.key) && zero:
			k.fail(path, at+" needs "+f.key+k.because(path), "type "+kindOfCredential(c)+" takes "+strings.Join(needed, ", "))
		case !slices.Contains(slices.Concat(needed, optional, common), f.key) && !zero && k.written(path):
			k.fail(path, quote(f.key)+" does not go with type "+kindOfCredential(c), "this type takes "+strings.Join(slices.Concat(needed, optional), ", "))
		}
	}
	switch c.Type {
	case "oauth2", "token_exchange":
		k.oauth2(at, c)
	case "jwt":
		k.jwt(at, c)
	}
	k.placement(at, c)
	k.bindings(at, c)
}

// fetched reports whether the credential comes from a token endpoint.
func (c *Credential) fetched() bool { return c.Type == "oauth2" || c.Type == "token_exchange" }

// kindOfCredential is the type, and where that decides on its keys how the client
// authenticates.
func kindOfCredential(c *Credential) string {
	if c.fetched() && (c.ClientAuth == "private_key_jwt" || c.ClientAuth == "tls") {
		return c.Type + " with client_auth " + c.ClientAuth
	}
	return c.Type
}

// jwt checks what stands in the tokens the gateway signs.
func (k *checker) jwt(at string, c *Credential) {
	k.kid(at, c)
	own := map[string]string{"iss": "issuer", "sub": "subject", "aud": "audience", "exp": "expiry", "scope": "scopes", "iat": "", "nbf": "", "jti": ""}
	for _, name := range sortedKeys(c.Claims) {
		path := join(at, "claims") + "." + shortKey(name)
		switch key, set := own[name]; {
		case set && key != "":
			k.fail(path, "the claim "+quote(name)+" has a key of its own", "write it as "+key)
		case set:
			k.fail(path, "the claim "+quote(name)+" is set by the gateway", "remove it")
		}
	}
}

func (k *checker) kid(at string, c *Credential) {
	if path := at + ".kid"; len(c.KID) > 128 {
		k.fail(path, "a kid is at most 128 bytes long", "use a shorter one")
	} else if !isFieldValue(c.KID) {
		k.fail(path, "the kid holds a control character", "remove it")
	}
}

func (k *checker) oauth2(at string, c *Credential) {
	if c.TokenURL != "" {
		k.fetched(at+".token_url", c.TokenURL)
	}
	if len(c.Audience) > 1 {
		k.fail(at+".audience", "type "+c.Type+" takes one audience", "write one, or a credential for each")
	}
	k.kid(at, c)
	if c.ClientAuth == "tls" && !k.failed(at+".tls") && !k.failed(at+".token_url") {
		switch {
		case c.TLS.CertFile == "" && c.TLS.KeyFile == "":
			k.fail(at+".tls", "client_auth tls needs a certificate", "name its files as tls.cert_file and tls.key_file")
		case strings.HasPrefix(c.TokenURL, "http:"):
			k.fail(at+".token_url", "client_auth tls needs a URL that is https", "")
		}
	}
	own := []string{"grant_type", "client_id", "client_secret", "client_assertion", "client_assertion_type", "scope", "audience", "resource", "subject_token", "actor_token"}
	for _, name := range sortedKeys(c.Parameters) {
		if slices.Contains(own, name) {
			k.fail(join(at, "parameters")+"."+name, "the parameter "+quote(name)+" is set by the gateway", "use the credential's own keys")
		}
	}
	k.clientTLS(at+".tls", c.TLS.CertFile, c.TLS.KeyFile)
}

// placement checks that a credential goes to one place, where it may stand, and
// fills in Authorization.
func (k *checker) placement(at string, c *Credential) {
	places := 0
	for _, place := range []string{c.Header, c.Query, c.Cookie} {
		if place != "" {
			places++
		}
	}
	switch {
	case places > 1:
		k.fail(at, at+" names more than one of header, query and cookie", "keep one")
		return
	case places == 0:
		c.Header = "Authorization"
	}
	if c.Header == "" && c.Prefix != nil && *c.Prefix != "" {
		k.fail(at+".prefix", "a prefix goes with a header only", "remove it")
	}
	if c.Prefix != nil && !isFieldValue(*c.Prefix) {
		k.fail(at+".prefix", "the prefix holds a control character", "remove it")
	}
	switch path := at + ".header"; {
	case c.Header == "":
	case !isToken(c.Header):
		k.fail(path, "expected the name of a header, got "+k.show(path, c.Header), "")
	case fold(c.Header) == "cookie":
		k.fail(path, "a cookie has a key of its own", "write cookie: NAME")
	case reserved(c.Header) != "":
		k.fail(path, "the header "+k.show(path, c.Header)+" "+reserved(c.Header), "use another one")
	}
	if c.Cookie != "" && !isToken(c.Cookie) {
		k.fail(at+".cookie", "expected the name of a cookie, got "+k.show(at+".cookie", c.Cookie), "")
	}
	if !isFieldValue(c.Query) {
		k.fail(at+".query", "the parameter's name holds a control character", "remove it")
	}
}

// bindings brings the hosts a credential may go to into one form.
func (k *checker) bindings(at string, c *Credential) {
	for i, text := range c.Hosts {
		path := item(at+".hosts", i)
		host, port, ok := splitPort(text)
		if !ok || port == "0" || !isHost(strings.TrimSuffix(host, ".")) {
			k.fail(path, "expected host:port, got "+k.show(path, text), "write it as in legacy-1:8080")
			continue
		}
		c.Hosts[i] = canonical(host)
		if port != "" {
			c.Hosts[i] += ":" + port
		}
	}
}
