package config

import (
	"reflect"
	"slices"
	"strings"
)

// credentialKeys are the keys of each type, beside those of all types.
func credentialKeys(kind string) (needed, optional []string) {
	switch kind {
	case "static":
		return []string{"token"}, nil
	case "basic":
		return []string{"username", "password"}, nil
	case "oauth2":
		return []string{"token_url", "client_id", "client_secret"}, []string{"client_auth", "scopes", "audience", "resource", "parameters", "refresh_before", "tls"}
	}
	return nil, nil
}

func (k *checker) credential(name string, c *Credential) {
	at := "credentials." + name
	if k.skip(at) || k.failed(at+".type") {
		return
	}
	needed, optional := credentialKeys(c.Type)
	common := []string{"type", "header", "prefix", "query", "cookie", "hosts"}
	v := reflect.ValueOf(*c)
	for _, f := range tagged(v.Type()) {
		path := join(at, f.key)
		zero := v.Field(f.index).IsZero()
		switch {
		case k.failed(path):
		case slices.Contains(needed, f.key) && zero:
			k.fail(path, at+" needs "+f.key+k.because(path), "type "+c.Type+" takes "+strings.Join(needed, ", "))
		case !slices.Contains(slices.Concat(needed, optional, common), f.key) && !zero && k.written(path):
			k.fail(path, quote(f.key)+" does not go with type "+c.Type, "this type takes "+strings.Join(slices.Concat(needed, optional), ", "))
		}
	}
	if c.Type == "oauth2" {
		k.oauth2(at, c)
	}
	k.placement(at, c)
	k.bindings(at, c)
}

func (k *checker) oauth2(at string, c *Credential) {
	if c.TokenURL != "" {
		k.fetched(at+".token_url", c.TokenURL)
	}
	if len(c.Audience) > 1 {
		k.fail(at+".audience", "type oauth2 takes one audience", "write one, or a credential for each")
	}
	own := []string{"grant_type", "client_id", "client_secret", "scope", "audience", "resource"}
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
