package auth

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/token"
)

// The cases jwtclaims-01 to 14, with a clock that stands still.
func TestJWTClaims(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	o := IssuerOptions{Leeway: 30 * time.Second, Now: func() time.Time { return now }}
	a := accepting(newIssuer(t, o))
	o.MaxLifetime = 24 * time.Hour
	short := accepting(newIssuer(t, o))
	for _, c := range []struct {
		name    string
		changes map[string]any
		want    string
	}{
		{"jwtclaims-01 exp at the edge of leeway", map[string]any{"exp": at(-29 * time.Second)}, ""},
		{"jwtclaims-01 exp at leeway", map[string]any{"exp": at(-30 * time.Second)}, "expired"},
		{"jwtclaims-01 exp beyond leeway", map[string]any{"exp": at(-31 * time.Second)}, "expired"},
		{"jwtclaims-01 exp 0", map[string]any{"exp": 0}, "expired"},
		{"jwtclaims-02 exp absent", map[string]any{"exp": nil}, "claims"},
		{"jwtclaims-02 exp null", map[string]any{"exp": json.RawMessage("null")}, "malformed"},
		{"jwtclaims-03 exp a string", map[string]any{"exp": "9999999999"}, "malformed"},
		{"jwtclaims-04 nbf far ahead", map[string]any{"nbf": 9999999999}, "not_yet_valid"},
		{"jwtclaims-04 nbf within leeway", map[string]any{"nbf": at(30 * time.Second)}, ""},
		{"jwtclaims-04 nbf beyond leeway", map[string]any{"nbf": at(31 * time.Second)}, "not_yet_valid"},
		{"jwtclaims-04 iat an hour ahead", map[string]any{"iat": at(time.Hour)}, "not_yet_valid"},
		{"jwtclaims-04 iat within leeway", map[string]any{"iat": at(30 * time.Second)}, ""},
		{"jwtclaims-05 exp 1e400", map[string]any{"exp": json.RawMessage("1e400")}, "malformed"},
		{"jwtclaims-05 exp of 400 digits", map[string]any{"exp": json.RawMessage(strings.Repeat("9", 400))}, "malformed"},
		{"jwtclaims-07 EXP beside exp", map[string]any{"exp": 1, "EXP": 9999999999}, "malformed"},
		{"jwtclaims-07 EXP alone", map[string]any{"exp": nil, "EXP": 9999999999}, "malformed"},
		{"jwtclaims-08 another aud", map[string]any{"aud": "other"}, "audience"},
		{"jwtclaims-08 another aud in an array", map[string]any{"aud": []string{"other"}}, "audience"},
		{"jwtclaims-08 aud absent", map[string]any{"aud": nil}, "audience"},
		{"jwtclaims-08 aud empty", map[string]any{"aud": []string{}}, "audience"},
		{"jwtclaims-08 aud one of several", map[string]any{"aud": []string{"other", testAudience}}, ""},
		{"jwtclaims-08 aud with more behind", map[string]any{"aud": testAudience + "-admin"}, "audience"},
		{"jwtclaims-08 aud two in one string", map[string]any{"aud": testAudience + " other"}, "audience"},
		{"jwtclaims-08 aud in another case", map[string]any{"aud": strings.ToUpper(testAudience)}, "audience"},
		{"jwtclaims-08 aud with a wildcard", map[string]any{"aud": "*"}, "audience"},
		{"jwtclaims-09 iss without its slash", map[string]any{"iss": strings.TrimSuffix(testIssuer, "/")}, "issuer"},
		{"jwtclaims-10 sub a number", map[string]any{"sub": 1}, "malformed"},
		{"jwtclaims-10 sub empty", map[string]any{"sub": ""}, "claims"},
		{"jwtclaims-10 sub absent", map[string]any{"sub": nil}, "claims"},
		{"jwtclaims-10 sub null", map[string]any{"sub": json.RawMessage("null")}, "malformed"},
		{"jwtclaims-10 sub of 10 MB", map[string]any{"sub": strings.Repeat("a", 10<<20)}, "malformed"},
		{"jwtclaims-10 sub with a newline", map[string]any{"sub": "alice\r\nX-User: root"}, "claims"},
		{"jwtclaims-10 sub with NUL", map[string]any{"sub": "alice\x00"}, "claims"},
		{"jwtclaims-10 sub with DEL", map[string]any{"sub": "alice\x7f"}, "claims"},
		{"jwtclaims-10 sub with a C1 control", map[string]any{"sub": "alice\u009b31m"}, "claims"},
		{"jwtclaims-11 scope with a tab", map[string]any{"scope": "read\tadmin"}, "claims"},
		{"jwtclaims-11 scope with a newline", map[string]any{"scope": []string{"read\nadmin"}}, "claims"},
		{"jwtclaims-11 scope a number", map[string]any{"scope": 1}, "claims"},
		{"jwtclaims-11 scope null", map[string]any{"scope": json.RawMessage("null")}, "claims"},
		{"jwtclaims-11 scope an object", map[string]any{"scope": map[string]any{"admin": true}}, "claims"},
		{"jwtclaims-11 scope of mixed elements", map[string]any{"scp": []any{"a", 1}}, "claims"},
		{"jwtclaims-11 scope element with a space", map[string]any{"scp": []any{"read admin"}}, "claims"},
		{"jwtclaims-14 max_lifetime not asked", map[string]any{"exp": at(10 * 365 * 24 * time.Hour), "iat": at(0)}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := claims(map[string]any{"exp": at(10 * time.Minute)})
			for name, value := range c.changes {
				if all[name] = value; value == nil {
					delete(all, name)
				}
			}
			_, err := a.Authenticate(t.Context(), bearerOf(forgeClaims(t, all)))
			wantReason(t, err, c.want)
		})
	}
	for name, c := range map[string]struct {
		changes map[string]any
		want    string
	}{
		"ten years":       {map[string]any{"iat": at(0), "exp": at(10 * 365 * 24 * time.Hour)}, "lifetime"},
		"a day":           {map[string]any{"iat": at(0), "exp": at(24 * time.Hour)}, ""},
		"a second longer": {map[string]any{"iat": at(0), "exp": at(24*time.Hour + time.Second)}, "lifetime"},
		"without iat":     {map[string]any{"exp": at(time.Minute)}, "claims"},
	} {
		t.Run("jwtclaims-14 "+name, func(t *testing.T) {
			_, err := short.Authenticate(t.Context(), bearerOf(forgeClaims(t, claims(c.changes))))
			wantReason(t, err, c.want)
		})
	}
	for _, payload := range []string{`[1]`, `null`, `"x"`, `{}{}`, `{}x`, "\ufeff{}", ``, `{/**/}`} {
		_, err := a.Authenticate(t.Context(), bearerOf(forge(testSecret, `{"alg":"HS256"}`, payload)))
		if why := Reason(err); why != "malformed" && why != "issuer" {
			t.Errorf("jwtclaims-12 %q: %v", payload, err)
		}
	}
	for name, payload := range map[string]string{
		"jwtclaims-06 exp twice":     `{"iss":"` + testIssuer + `","aud":"` + testAudience + `","sub":"alice","exp":1,"exp":9999999999}`,
		"jwtclaims-13 invalid UTF-8": `{"iss":"` + testIssuer + `","aud":"` + testAudience + `","exp":9999999999,"sub":"a` + "\xff" + `"}`,
	} {
		_, err := a.Authenticate(t.Context(), bearerOf(forge(testSecret, `{"alg":"HS256"}`, payload)))
		if Reason(err) != "malformed" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// jwtenc-05 to 08, as far as a request can carry them.
func TestJWTEncodings(t *testing.T) {
	t.Parallel()
	a := accepting(newIssuer(t, IssuerOptions{}))
	payload := string(toJSON(t, claims(nil)))
	good := forge(testSecret, `{"alg":"HS256"}`, payload)
	for name, h := range map[string]fields{
		"jwtenc-01 padded":                         bearerOf(good + "="),
		"jwtenc-02 standard alphabet":              bearerOf(good[:len(good)-2] + "+/"),
		"jwtenc-05 four parts":                     bearerOf(good + ".x"),
		"jwtenc-06 over the cap":                   bearerOf(good + strings.Repeat("A", token.MaxSize)),
		"jwtenc-07 alg twice":                      bearerOf(forge(testSecret, `{"alg":"none","alg":"HS256"}`, payload)),
		"jwtenc-07 ALG":                            bearerOf(forge(testSecret, `{"ALG":"HS256"}`, payload)),
		"jwtenc-07 trailing {}":                    bearerOf(forge(testSecret, `{"alg":"HS256"}{}`, payload)),
		"jwtenc-07 64 KB header":                   bearerOf(forge(testSecret, `{"alg":"HS256","x":"`+strings.Repeat("x", 64<<10)+`"}`, payload)),
		"jwtenc-08 header an array":                bearerOf(forge(testSecret, `["HS256"]`, payload)),
		"jwtenc-08 header empty":                   bearerOf(forge(testSecret, ``, payload)),
		"jwtenc-08 header not JSON":                bearerOf(forge(testSecret, `HS256`, payload)),
		"a JWT with an Authorization scheme twice": {"Authorization": {"Bearer Bearer " + good}},
	} {
		_, err := a.Authenticate(t.Context(), h)
		if Reason(err) != "malformed" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// jwtclaims-11: scopes are elements, compared whole.
func TestScopes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		changes map[string]any
		from    []string
		want    string
	}{
		{nil, nil, "[]"},
		{map[string]any{"scope": ""}, nil, "[]"},
		{map[string]any{"scope": "read admin2"}, nil, "[admin2 read]"},
		{map[string]any{"scope": []string{"admin"}}, nil, "[admin]"},
		{map[string]any{"scope": "b  a "}, nil, "[a b]"},
		{map[string]any{"scope": "a", "scp": []string{"b", "a"}}, nil, "[a b]"},
		{map[string]any{"scope": "a", "roles": []string{"r"}}, []string{"roles"}, "[r]"},
		{map[string]any{"scope": "a"}, []string{}, "[]"},
		{map[string]any{"scope": []string{}}, nil, "[]"},
	} {
		a := accepting(newIssuer(t, IssuerOptions{ScopeClaims: c.from}))
		p, err := a.Authenticate(t.Context(), bearerOf(forgeClaims(t, claims(c.changes))))
		if err != nil || fmt.Sprint(p.Scopes) != c.want {
			t.Errorf("%v: %v, %v; want %s", c.changes, p, err, c.want)
		}
	}
}

func TestAnyAudience(t *testing.T) {
	t.Parallel()
	a := accepting(newIssuer(t, IssuerOptions{Audiences: []string{"*"}}))
	for _, aud := range []any{nil, "x", []string{"a", "b"}, []string{}} {
		if _, err := a.Authenticate(t.Context(), bearerOf(forgeClaims(t, claims(map[string]any{"aud": aud})))); err != nil {
			t.Errorf("%v: %v", aud, err)
		}
	}
}

func TestRequiredClaims(t *testing.T) {
	t.Parallel()
	a := accepting(newIssuer(t, IssuerOptions{RequiredClaims: []string{"tenant", "n"}}))
	for tenant, want := range map[string]string{
		`"acme"`: "", `0`: "", `false`: "", `["a"]`: "", `{"a":null}`: "",
		`""`: "claims", `null`: "claims", `[]`: "claims", `{}`: "claims",
	} {
		_, err := a.Authenticate(t.Context(), bearerOf(forgeClaims(t, claims(map[string]any{"tenant": json.RawMessage(tenant), "n": 1, "sub": nil}))))
		wantReason(t, err, want)
	}
	_, err := a.Authenticate(t.Context(), bearerOf(forgeClaims(t, claims(map[string]any{"tenant": "acme"}))))
	wantReason(t, err, "claims")
	none := accepting(newIssuer(t, IssuerOptions{RequiredClaims: []string{}}))
	if p, err := none.Authenticate(t.Context(), bearerOf(forgeClaims(t, claims(map[string]any{"sub": nil})))); err != nil || p.Subject != "" {
		t.Errorf("nothing required: %v, %v", p, err)
	}
}

// THREATS, claims: mutate one claim, never accept more. What the mutation is
// allowed to be is judged here by plainer rules than those of the package.
func TestMutatedClaimsNeverGiveMore(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	a := accepting(newIssuer(t, IssuerOptions{Now: func() time.Time { return now }}))
	base := map[string]string{
		"iss": `"` + testIssuer + `"`, "aud": `"` + testAudience + `"`, "sub": `"alice"`, "exp": "1800000600", "nbf": "1799999000", "iat": "1799999000", "scope": `"read"`,
	}
	values := []string{
		`null`, `true`, `0`, `1`, `-1`, `""`, `"x"`, `[]`, `{}`, `["x"]`, `[["orders-api"]]`, `"1800000600"`, `1800000600.5`, `1.8000006e9`, `1e300`, `99999999999999`,
		`"alice "`, `"Alice"`, `"alice\u0000"`, `"orders-api"`, `["orders-api"]`, `["orders-api",1]`, `"read admin"`, `["admin"]`, `"admin\n"`, `1799999999`, `1800000001`, `"` + testIssuer + `"`,
	}
	names := []string{"iss", "aud", "sub", "exp", "nbf", "iat", "scope", "scp", "Sub", "EXP", "jti", "admin"}
	rnd := rand.New(rand.NewPCG(1, 2))
	accepted := 0
	for range 4000 {
		name, value := names[rnd.IntN(len(names))], values[rnd.IntN(len(values))]
		changed := make(map[string]string)
		for n, v := range base {
			changed[n] = v
		}
		if changed[name] = value; rnd.IntN(5) == 0 {
			delete(changed, name)
		}
		var members []string
		for n, v := range changed {
			members = append(members, `"`+n+`":`+v)
		}
		payload := "{" + strings.Join(members, ",") + "}"
		// As the issuer signed it: what is accepted must be what it says.
		if p, err := a.Authenticate(t.Context(), bearerOf(forge(testSecret, `{"alg":"HS256"}`, payload))); err == nil {
			accepted++
			var plain struct {
				Iss, Sub string
				Exp      float64
				Nbf, Iat float64
				Scope    json.RawMessage
				Scp      json.RawMessage
			}
			if err := json.Unmarshal([]byte(payload), &plain); err != nil {
				t.Fatalf("%s: accepted, and encoding/json says %v", payload, err)
			}
			unix := float64(now.Unix())
			if plain.Iss != testIssuer || plain.Sub == "" || plain.Sub != p.Subject || plain.Exp <= unix || plain.Nbf > unix || plain.Iat > unix ||
				!strings.Contains(changed["aud"], `"`+testAudience+`"`) || changed["Sub"] != "" || changed["EXP"] != "" {
				t.Errorf("accepted %s", payload)
			}
			for _, scope := range p.Scopes {
				if !strings.Contains(string(plain.Scope)+string(plain.Scp), scope) {
					t.Errorf("%s gave scope %q", payload, scope)
				}
			}
		}
		// Not as the issuer signed it: never.
		original := forge(testSecret, `{"alg":"HS256"}`, goodPayload(base))
		forged := forge("attacker's secret, as long as it may", `{"alg":"HS256"}`, payload)
		mixed := forged[:strings.LastIndexByte(forged, '.')] + original[strings.LastIndexByte(original, '.'):]
		for _, raw := range []string{forged, mixed} {
			if raw == original {
				continue
			}
			if p, err := a.Authenticate(t.Context(), bearerOf(raw)); err == nil {
				t.Errorf("accepted without a signature: %s as %v", payload, p)
			}
		}
	}
	if accepted < 100 {
		t.Errorf("only %d were accepted: the test says little", accepted)
	}
}

func goodPayload(base map[string]string) string {
	return fmt.Sprintf(`{"iss":%s,"aud":%s,"sub":%s,"exp":%s}`, base["iss"], base["aud"], base["sub"], base["exp"])
}
