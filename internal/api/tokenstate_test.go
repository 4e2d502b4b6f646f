package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/secrets"
	"github.com/sallyport/sallyport/internal/token"
)

func TestIntrospectionTellsOfItsOwnValidTokens(t *testing.T) {
	t.Parallel()
	s := serveTokens(t, nil)
	raw := s.token(t, url.Values{"scope": {"orders:read"}, "audience": {"orders-api"}})
	a := s.post(t, "/oauth2/introspect", url.Values{"token": {raw}, "token_type_hint": {"access_token"}, "client_id": {"slow"}, "client_secret": {"slow-secret"}})
	if a.status != 200 || a.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	for name, want := range map[string]any{
		"active": true, "scope": "orders:read", "client_id": "orders", "sub": "orders", "aud": "orders-api", "iss": s.URL, "token_type": "Bearer",
	} {
		if a.body[name] != want {
			t.Errorf("%s is %v, want %v", name, a.body[name], want)
		}
	}
	if !strings.Contains(a.raw, fmt.Sprintf(`"exp":%.0f`, a.body["exp"])) { // as it stands in the token, no float
		t.Errorf("exp: %s", a.raw)
	}
	foreign, err := token.NewSigner([]byte(signingSet(t, "new")), "", "")
	if err != nil {
		t.Fatal(err)
	}
	forged, err := foreign.Sign(map[string]any{"iss": s.URL, "jti": "x", "exp": time.Now().Add(time.Hour).Unix()}, "at+jwt")
	if err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string]string{"no token": "x", "another's signature": forged, "changed": raw[:len(raw)-4] + "AAAA"} {
		if a := s.post(t, "/oauth2/introspect", url.Values{"token": {other}}); a.status != 200 || a.raw != `{"active":false}` {
			t.Errorf("%s: %d %s", name, a.status, a.raw)
		}
	}
	if a := s.post(t, "/oauth2/introspect", url.Values{}); a.status != 400 || a.body["error"] != "invalid_request" {
		t.Errorf("without a token: %d %s", a.status, a.raw)
	}
	if a := s.post(t, "/oauth2/introspect", url.Values{"token": {raw}, "client_id": {"x"}, "client_secret": {"y"}}); a.status != 401 {
		t.Errorf("by nobody known: %d", a.status)
	}
	s.clock.Store(int64(15 * time.Minute))
	if a := s.post(t, "/oauth2/introspect", url.Values{"token": {raw}}); a.raw != `{"active":false}` {
		t.Errorf("expired: %s", a.raw)
	}
}

func TestRevokedTokenIsNotActiveAnyMore(t *testing.T) {
	t.Parallel()
	s := serveTokens(t, nil)
	raw, other := s.token(t, url.Values{}), s.token(t, url.Values{})
	if a := s.post(t, "/oauth2/revoke", url.Values{"token": {raw}, "client_id": {"slow"}, "client_secret": {"slow-secret"}}); a.status != 400 || a.body["error"] != "unauthorized_client" {
		t.Errorf("another client's token: %d %s", a.status, a.raw)
	}
	for range 2 { // revoking it again is no error (RFC 7009, section 2.2)
		if a := s.post(t, "/oauth2/revoke", url.Values{"token": {raw}}); a.status != 200 || a.raw != "" {
			t.Errorf("%d %s", a.status, a.raw)
		}
	}
	if a := s.post(t, "/oauth2/revoke", url.Values{"token": {"no token"}}); a.status != 200 {
		t.Errorf("no token: %d", a.status)
	}
	for token, want := range map[string]bool{raw: false, other: true} {
		if a := s.post(t, "/oauth2/introspect", url.Values{"token": {token}}); a.body["active"] != want {
			t.Errorf("%s, want %v", a.raw, want)
		}
	}
}

// A full list takes no more, rather than to make a revoked token valid again.
func TestRevocationsAreBoundedAndForgottenOnceExpired(t *testing.T) {
	t.Parallel()
	now := time.Now()
	v := NewRevocations(2)
	for i, want := range []error{nil, nil, errFull} {
		if err := v.add(fmt.Sprint(i), now.Add(time.Minute), now); err != want {
			t.Errorf("%d: %v, want %v", i, err, want)
		}
	}
	if err := v.add("1", now.Add(time.Minute), now); err != nil {
		t.Errorf("one that is there: %v", err)
	}
	if !v.Has("0") || !v.Has("1") || v.Has("2") {
		t.Error("not what was added")
	}
	later := now.Add(time.Minute)
	if err := v.add("2", later.Add(time.Minute), later); err != nil || v.Has("0") || !v.Has("2") {
		t.Errorf("later: %v", err)
	}
}

func TestMetadataIsThatOfRFC8414(t *testing.T) {
	t.Parallel()
	for issuer, at := range map[string][]string{
		"https://gw.example.com":        {WellKnown},
		"https://gw.example.com/":       {WellKnown},
		"https://gw.example.com/oauth2": {WellKnown, WellKnown + "/oauth2"},
		"gateway":                       nil,
		"https://gw.example.com/?a=b":   nil,
	} {
		s := serveTokens(t, func(o *TokenOptions) { o.Issuer = issuer })
		for _, path := range []string{WellKnown, WellKnown + "/oauth2"} {
			a := get(t, s.URL+path)
			served := false
			for _, one := range at {
				served = served || one == path
			}
			if (a.status == http.StatusOK) != served {
				t.Errorf("%s of %s: %d", path, issuer, a.status)
			}
			if !served {
				continue
			}
			for name, want := range map[string]string{
				"issuer": issuer, "token_endpoint": "https://gw.example.com/oauth2/token", "jwks_uri": "https://gw.example.com/oauth2/jwks.json",
				"introspection_endpoint": "https://gw.example.com/oauth2/introspect", "revocation_endpoint": "https://gw.example.com/oauth2/revoke",
			} {
				if a.body[name] != want {
					t.Errorf("%s: %s is %v, want %s", issuer, name, a.body[name], want)
				}
			}
			if a.header.Get("Cache-Control") != "public, max-age=300" || a.body["response_types_supported"] == nil {
				t.Errorf("%v %s", a.header, a.raw)
			}
		}
	}
}

func TestSecretsOfNoUseAreRefusedWithoutQuotingThem(t *testing.T) {
	t.Parallel()
	good := `"hash":"` + digestOf("x") + `"`
	for name, text := range map[string]string{
		"no JSON": "canary", "no list": `{"id":"canary"}`, "a word": `["canary"]`, "null": `[null]`,
		"no hash": `[{"id":"canary"}]`, "a short hash": `[{"id":"canary","hash":"sha256:00"}]`, "a plain secret": `[{"id":"a","hash":"canary"}]`,
		"an empty secret's hash": `[{"id":"canary","hash":"` + digestOf("") + `"}]`, "no id": `[{` + good + `}]`, "a twin": `[{"id":"canary",` + good + `},{"id":"canary",` + good + `}]`,
		"a scope with a space": `[{"id":"a",` + good + `,"scopes":["canary b"]}]`, "an empty audience": `[{"id":"canary",` + good + `,"audience":[""]}]`,
		"an unknown member": `[{"id":"canary",` + good + `,"disabled":true}]`, "a name twice": `[{"id":"canary","id":"b",` + good + `}]`,
		"a control character": `[{"id":"canary\n",` + good + `}]`,
	} {
		if err := CheckClients(secrets.NewSecret(text)); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("clients, %s: %v", name, err)
		}
	}
	for name, text := range map[string]string{"an HMAC key": strings.Repeat("canary", 10), "nothing": `{"keys":[]}`, "a short key": "canary"} {
		if err := CheckSigningKeys(secrets.NewSecret(text)); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("keys, %s: %v", name, err)
		}
	}
	list, _ := json.Marshal([]map[string]any{{"id": "a", "hash": digestOf("x"), "scopes": []string{"b"}, "audience": []string{"c"}}})
	if err := CheckClients(secrets.NewSecret(string(list))); err != nil {
		t.Error(err)
	}
	if err := CheckSigningKeys(secrets.NewSecret(signingSet(t, "a", "b"))); err != nil {
		t.Error(err)
	}
}

func FuzzClients(f *testing.F) {
	f.Add(`[{"id":"a","hash":"` + digestOf("x") + `","scopes":["b"],"audience":["c"]}]`)
	f.Add(`[]`)
	f.Add(`[{"id":"a","hash":"$pbkdf2-sha256$i=100000$AAAA$AAAA"}]`)
	f.Fuzz(func(t *testing.T, text string) {
		known, err := parseClients(secrets.NewSecret(text))
		if err != nil {
			return
		}
		for id, c := range known.byID {
			if id == "" || c.ID != id || c.slow == nil && c.digest == [32]byte{} {
				t.Errorf("accepted %+v", c)
			}
		}
	})
}
