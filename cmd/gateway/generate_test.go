package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

func TestGenerateKeysTokensAndJWKs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ args, want string }{
		{"key", `^[A-Za-z0-9+/]{43}=\n$`},
		{"key --type aes256-gcm", `^[A-Za-z0-9+/]{43}=\n$`},
		{"key --type xaes256-gcm", `^[A-Za-z0-9+/]{43}=\n$`},
		{"key --type hmac", `^[A-Za-z0-9+/]{43}=\n$`},
		{"key --type fernet", `^[A-Za-z0-9_-]{43}=\n$`},
		{"token", `^[0-9a-f]{64}\n$`},
		{"token --bytes 16", `^[0-9a-f]{32}\n$`},
		{"token --encoding base64url", `^[A-Za-z0-9_-]{43}\n$`},
		{"jwk", `^\{.*"alg":"ES256".*"d":.*\}\n$`},
		{"jwk --alg EdDSA", `^\{.*"alg":"EdDSA".*"d":.*\}\n$`},
		{"jwk --alg RS256", `^\{.*"alg":"RS256".*"d":.*\}\n$`},
	} {
		status, out, errs := invoke(t, append([]string{"generate"}, strings.Fields(c.args)...)...)
		if status != 0 || errs != "" || !regexp.MustCompile(c.want).MatchString(out) {
			t.Errorf("%s: status %d, %q, %q", c.args, status, out, errs)
		}
		if _, again, _ := invoke(t, append([]string{"generate"}, strings.Fields(c.args)...)...); again == out {
			t.Errorf("%s: the same twice", c.args)
		}
	}
	for _, args := range []string{"key --type des", "token --bytes 15", "token --encoding base32", "jwk --alg HS256", "jwk --alg none", "key extra", "api-key --expires tomorrow", "api-key --scope=", "api-key --prefix é"} {
		if status, out, errs := invoke(t, append([]string{"generate"}, strings.Fields(args)...)...); status != 2 || out != "" || errs == "" {
			t.Errorf("%s: status %d, %q, %q", args, status, out, errs)
		}
	}
}

func TestGeneratedAPIKeyIsNotInItsRecord(t *testing.T) {
	t.Parallel()
	status, out, errs := invoke(t, "generate", "api-key", "--id", "acme-1", "--scope", "orders:read", "--scope", "orders:write", "--expires", "2030-01-31T01:00:00+01:00")
	if status != 0 || errs != "" {
		t.Fatalf("status %d: %s", status, errs)
	}
	var made struct {
		Key    string
		Record map[string]any
	}
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^sk_live_[0-9a-f]{64}$`).MatchString(made.Key) {
		t.Errorf("key %q", made.Key)
	}
	digest := sha256.Sum256([]byte(made.Key))
	want := `{"disabled":false,"expires":"2030-01-31T00:00:00Z","hash":"sha256:` + hex.EncodeToString(digest[:]) + `","id":"acme-1","prefix":"` + made.Key[:16] + `","scopes":["orders:read","orders:write"],"subject":"acme-1"}`
	record, err := json.Marshal(made.Record)
	if err != nil || string(record) != want {
		t.Errorf("record %s\nwant   %s", record, want)
	}
	for _, spelling := range []string{made.Key[16:], base64.StdEncoding.EncodeToString([]byte(made.Key[8:]))} {
		if strings.Contains(string(record), spelling) {
			t.Error("the key stands in its record")
		}
	}
}

func TestGeneratedAPIKeyWithoutIDOrScopes(t *testing.T) {
	t.Parallel()
	status, out, errs := invoke(t, "generate", "api-key", "--prefix", "pk_", "--subject", "acme")
	if status != 0 || errs != "" || !regexp.MustCompile(`^\{"key":"pk_[0-9a-f]{64}","record":\{"id":"key-[a-z0-9]{12}","prefix":"pk_[0-9a-f]{13}","hash":"sha256:[0-9a-f]{64}","subject":"acme","scopes":\[\],"disabled":false\}\}\n$`).MatchString(out) {
		t.Errorf("status %d: %s%s", status, out, errs)
	}
}
