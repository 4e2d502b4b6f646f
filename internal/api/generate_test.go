package api

import (
	"regexp"
	"strings"
	"testing"
)

func TestWhatIsGenerated(t *testing.T) {
	s := serve(t, nil)
	for _, c := range []struct{ path, body, name, form string }{
		{"/keys", `{"type": "fernet"}`, "key", `^[A-Za-z0-9_-]{43}=$`},
		{"/keys", `{"type": "aes256-gcm"}`, "key", `^[A-Za-z0-9+/]{43}=$`},
		{"/keys", `{"type": "xaes256-gcm"}`, "key", `^[A-Za-z0-9+/]{43}=$`},
		{"/keys", `{"type": "hmac"}`, "key", `^[A-Za-z0-9+/]{43}=$`},
		{"/tokens", `{}`, "token", `^[0-9a-f]{64}$`},
		{"/tokens", `{"bytes": 16, "encoding": "base64url", "prefix": "t_"}`, "token", `^t_[A-Za-z0-9_-]{22}$`},
		{"/api-keys", `{"id": "acme"}`, "key", `^sk_live_[0-9a-f]{64}$`},
		{"/api-keys", `{"id": "acme", "prefix": "", "scopes": ["a"], "subject": "s", "expires": "2030-01-01T00:00:00Z"}`, "key", `^[0-9a-f]{64}$`},
		{"/hash", `{"data": "abc"}`, "digest", `^ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad$`},
		{"/hash", `{"data": "YWJj", "encoding": "base64", "algorithm": "sha3-256"}`, "digest", `^3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532$`},
	} {
		a, b := s.post(c.path, c.body), s.post(c.path, c.body)
		text, _ := a.m[c.name].(string)
		if ok, _ := regexp.MatchString(c.form, text); !ok {
			t.Errorf("%s %s: %s", c.path, c.body, a.body)
		}
		if c.path != "/hash" && a.m[c.name] == b.m[c.name] {
			t.Errorf("%s %s came twice", c.path, c.body)
		}
		if record := quote(a.m["record"]); c.path == "/api-keys" && (strings.Contains(record, text) || !strings.Contains(record, `"hash":"sha256:`)) {
			t.Errorf("record %s", record)
		}
	}
	for body, equal := range map[string]bool{`{"a": "x", "b": "x"}`: true, `{"a": "x", "b": "y"}`: false, `{"a": "x", "b": "xx"}`: false, `{"a": "", "b": ""}`: true} {
		if a := s.post("/compare", body); a.m["equal"] != equal {
			t.Errorf("%s: %s", body, a.body)
		}
	}
}
