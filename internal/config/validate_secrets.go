package config

import "slices"

// secrets checks where secrets are read.
func (k *checker) secrets() {
	c := k.c.Secrets
	if len(c.Backend) == 0 && !k.failed("secrets.backend") {
		k.fail("secrets.backend", "no secret backend is named", "leave it out for auto, or name env, file, vault or aws")
	}
	if len(c.Backend) > 1 && slices.Contains(c.Backend, "auto") {
		k.fail("secrets.backend", "auto cannot stand in a list of backends", "write auto alone, or name the backends")
	}
	k.vault(c.Vault)
	if at := "secrets.aws.endpoint"; c.AWS.Endpoint != "" {
		k.fetched(at, c.AWS.Endpoint)
	}
	if at := "secrets.aws.tls"; c.AWS.TLS.CertFile != "" || c.AWS.TLS.KeyFile != "" {
		k.fail(at, "AWS takes no client certificate", "remove cert_file and key_file; ca_file may stay")
	}
}

func (k *checker) vault(c Vault) {
	const at = "secrets.vault"
	if c.Address != "" {
		k.fetched(at+".address", c.Address)
	}
	if c.KVVersion != 1 && c.KVVersion != 2 && !k.failed(at+".kv_version") {
		k.fail(at+".kv_version", "there are versions 1 and 2 of Vault's KV engine", "write 1 or 2")
	}
	k.clientTLS(at+".tls", c.TLS.CertFile, c.TLS.KeyFile)
	keys := []struct{ key, value, method string }{
		{"token_file", c.Auth.TokenFile, "token"},
		{"role_id", c.Auth.RoleID, "approle"},
		{"secret_id_file", c.Auth.SecretIDFile, "approle"},
		{"role", c.Auth.Role, "kubernetes"},
		{"jwt_file", c.Auth.JWTFile, "kubernetes"},
	}
	needed := []string{"role_id", "secret_id_file", "role"}
	for _, key := range keys {
		path := at + ".auth." + key.key
		switch {
		case key.value != "" && key.method != c.Auth.Method:
			k.fail(path, quote(key.key)+" does not go with the method "+c.Auth.Method, "remove it, or write method: "+key.method)
		case key.value == "" && key.method == c.Auth.Method && slices.Contains(needed, key.key) && !k.failed(path):
			k.fail(path, "the method "+c.Auth.Method+" needs "+key.key+k.because(path), "")
		}
	}
}
