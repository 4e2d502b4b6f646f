package config

import "fmt"

// apiKeys checks where the keys of a list come in.
func (k *checker) apiKeys(name string, c APIKeys) {
	at := "api_keys." + name
	path := at + ".header"
	if k.skip(at) || k.failed(path) {
		return
	}
	switch folded := fold(c.Header); {
	case !isToken(c.Header):
		k.fail(path, "expected the name of a header, got "+k.show(path, c.Header), "")
	case folded == "authorization" || folded == "cookie":
		k.fail(path, "API keys have a header of their own, and "+k.show(path, c.Header)+" holds other credentials", "use X-API-Key, or another name")
	case reserved(c.Header) != "":
		k.fail(path, "the header "+k.show(path, c.Header)+" "+reserved(c.Header), "use another one")
	}
}

// someone checks that an auth block lets anybody in at all.
func (k *checker) someone(path string, auth Auth) {
	issuers, keys := path+".issuers", path+".api_keys"
	if len(auth.Issuers) > 0 || len(auth.APIKeys) > 0 || auth.ClientCertificates || k.failed(issuers) || k.failed(keys) || k.failed(path+".client_certificates") {
		return
	}
	k.fail(path, "the auth block names nobody: no issuers"+k.because(issuers)+" and no api_keys"+k.because(keys), "name at least one, or write auth: public")
}

// apiKeysOf checks that the lists a route accepts are there, and that a key of
// one cannot be taken for the token of an issuer.
func (k *checker) apiKeysOf(path string, auth Auth) {
	for i, name := range auth.APIKeys {
		at := item(path+".api_keys", i)
		if _, ok := k.c.APIKeys[name]; !ok {
			k.unknownName(at, name, "list of API keys", "api_keys", sortedKeys(k.c.APIKeys))
			continue
		}
		for _, issuer := range auth.Issuers {
			if issuer == name {
				k.fail(at, fmt.Sprintf("the callers of issuers.%s and api_keys.%s cannot be told apart: both have the same name", name, name), "give one another name")
			}
		}
	}
}

// certificateIssuer is the issuer's name of callers with a client certificate.
const certificateIssuer = "client_certificates"

// clientCertificates checks that the listener asks for what a route accepts.
func (k *checker) clientCertificates(path string, auth Auth) {
	if !auth.ClientCertificates {
		return
	}
	if at := path + ".client_certificates"; (k.c.TLS == nil || k.c.TLS.ClientCAFile == "") && !k.failed("tls") && !k.failed("tls.client_ca_file") {
		k.fail(at, "no client certificate is ever asked for"+k.because("tls.client_ca_file"), "set tls.client_ca_file, or remove this")
	}
	for key, names := range map[string]Strings{"issuers": auth.Issuers, "api_keys": auth.APIKeys} {
		for i, name := range names {
			if name == certificateIssuer {
				k.fail(item(path+"."+key, i), "callers with a client certificate are of the issuer "+quote(certificateIssuer)+", too", "give this one another name")
			}
		}
	}
}
