package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/token"
)

func TestThePrincipalIsWhatTheTokenSays(t *testing.T) {
	t.Parallel()
	a := accepting(newIssuer(t, IssuerOptions{Keys: []KeySource{static(t, fixed("2026-01", "HS256", []byte(testSecret)))}}))
	exp := time.Now().Add(time.Minute).Unix()
	raw := sign(t, signer(t, []byte(testSecret), "HS256", "2026-01"),
		claims(map[string]any{"exp": exp, "scope": "b a b", "scp": []string{"c"}, "tenant": "acme", "n": 12345678901234567}))
	p, err := a.Authenticate(t.Context(), bearerOf(raw))
	if err != nil {
		t.Fatal(err)
	}
	if p.Subject != "alice" || p.Issuer != "corp" || p.IssuerURL != testIssuer || p.KeyID != "2026-01" || p.Expires.Unix() != exp ||
		fmt.Sprint(p.Scopes) != "[a b c]" || p.Claims["tenant"] != "acme" || p.Claims["n"] != json.Number("12345678901234567") {
		t.Errorf("%+v", p)
	}
}

// The kinds, and that one who sends nothing learns nothing else.
func TestKindsOfRefusal(t *testing.T) {
	t.Parallel()
	a := accepting(newIssuer(t, IssuerOptions{}))
	good := forgeClaims(t, claims(nil))
	for name, c := range map[string]struct {
		h      fields
		kind   error
		reason string
	}{
		"nothing":       {fields{}, ErrNoCredential, "no_token"},
		"two":           {fields{"Authorization": {"Bearer " + good, "Bearer " + good}}, ErrMultiple, "multiple_credentials"},
		"Basic":         {fields{"Authorization": {"Basic YTpi"}}, ErrMalformed, "malformed"},
		"not a JWT":     {bearerOf("opaque"), ErrInvalidToken, "malformed"},
		"another iss":   {bearerOf(forgeClaims(t, claims(map[string]any{"iss": "https://evil.example/"}))), ErrInvalidToken, "issuer"},
		"no iss":        {bearerOf(forgeClaims(t, claims(map[string]any{"iss": nil}))), ErrInvalidToken, "issuer"},
		"another key":   {bearerOf(forge("another secret of thirty-two bytes", `{"alg":"HS256"}`, string(toJSON(t, claims(nil))))), ErrInvalidToken, "signature"},
		"the right one": {bearerOf(good), nil, ""},
	} {
		_, err := a.Authenticate(t.Context(), c.h)
		if !errors.Is(err, c.kind) || (c.kind == nil) != (err == nil) {
			t.Errorf("%s: %v, want %v", name, err, c.kind)
		}
		wantReason(t, err, c.reason)
	}
	if _, err := accepting().Authenticate(t.Context(), bearerOf(good)); !errors.Is(err, ErrNoCredential) { // no place of a route counts
		t.Errorf("without issuers: %v", err)
	}
	if Reason(errors.New("x")) != "error" {
		t.Errorf("an error of others: %q", Reason(errors.New("x")))
	}
}

// signRaw signs any header text with the RSA key.
func signRaw(t testing.TB, header string, payload []byte, alg string) string {
	t.Helper()
	signed := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString(payload)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, rsaKey(), crypto.SHA256, digest[:])
	if alg == "PS256" {
		signature, err = rsa.SignPSS(rand.Reader, rsaKey(), crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	}
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// The cases jwtkeys-01 to 15, each through the Authenticator of a route.
func TestJWTKeys(t *testing.T) {
	t.Parallel()
	payload := toJSON(t, claims(nil))
	public := publicPEM(t, &rsaKey().PublicKey)
	rs256 := accepting(newIssuer(t, IssuerOptions{Keys: []KeySource{static(t, fixed("k", "", public))}, Algorithms: []string{"RS256"}}))
	hs256 := accepting(newIssuer(t, IssuerOptions{}))
	refused := func(a *Authenticator, raw, why string) func(*testing.T) {
		return func(t *testing.T) {
			_, err := a.Authenticate(t.Context(), bearerOf(raw))
			wantReason(t, err, why)
		}
	}
	if _, err := rs256.Authenticate(t.Context(), bearerOf(signRaw(t, `{"alg":"RS256","kid":"k"}`, payload, "RS256"))); err != nil {
		t.Fatalf("control: %v", err)
	}
	b64 := base64.RawURLEncoding.EncodeToString

	t.Run("jwtkeys-01 none", refused(rs256, b64([]byte(`{"alg":"none"}`))+"."+b64(payload)+".", "algorithm"))
	t.Run("jwtkeys-02 the PEM text as HMAC secret", refused(rs256, forge(string(public), `{"alg":"HS256","kid":"k"}`, string(payload)), "algorithm"))
	t.Run("jwtkeys-03 PS256 where RS256 is listed", refused(rs256, signRaw(t, `{"alg":"PS256","kid":"k"}`, payload, "PS256"), "algorithm"))
	t.Run("jwtkeys-04 HS256 secret as HS512", refused(hs256, forge(testSecret, `{"alg":"HS512"}`, string(payload)), "unknown_key"))
	t.Run("jwtkeys-05 r and s zero", refused(
		accepting(newIssuer(t, IssuerOptions{Keys: []KeySource{static(t, fixed("", "", publicPEM(t, &newECKey(t).PublicKey)))}})),
		b64([]byte(`{"alg":"ES256"}`))+"."+b64(payload)+"."+b64(make([]byte, 64)), "signature"))
	t.Run("jwtkeys-04 P-256 key with ES384, ES512, ES256K", func(t *testing.T) {
		a := accepting(newIssuer(t, IssuerOptions{Keys: []KeySource{static(t, fixed("k", "", publicPEM(t, &newECKey(t).PublicKey)))}}))
		for _, alg := range []string{"ES384", "ES512", "ES256K"} {
			_, err := a.Authenticate(t.Context(), bearerOf(b64([]byte(`{"alg":"`+alg+`","kid":"k"}`))+"."+b64(payload)+"."+b64(make([]byte, 64))))
			wantReason(t, err, "algorithm")
		}
	})
	t.Run("jwtkeys-06 the key in the header", func(t *testing.T) {
		own := newECKey(t)
		point, err := own.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		header := fmt.Sprintf(`{"alg":"ES256","kid":"k","jwk":{"kty":"EC","crv":"P-256","x":"%s","y":"%s"}}`, b64(point[1:33]), b64(point[33:]))
		signed := b64([]byte(header)) + "." + b64(payload)
		digest := sha256.Sum256([]byte(signed))
		r, s, err := ecdsa.Sign(rand.Reader, own, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		raw := signed + "." + b64(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
		a := accepting(newIssuer(t, IssuerOptions{Keys: []KeySource{static(t, fixed("k", "", publicPEM(t, &newECKey(t).PublicKey)))}}))
		_, err = a.Authenticate(t.Context(), bearerOf(raw))
		wantReason(t, err, "signature")
	})
	t.Run("jwtkeys-07 jku and x5u", func(t *testing.T) {
		var asked atomic.Int32
		evil := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
		defer evil.Close()
		for _, name := range []string{"jku", "x5u"} {
			_, err := rs256.Authenticate(t.Context(), bearerOf(signRaw(t, `{"alg":"RS256","kid":"evil","`+name+`":"`+evil.URL+`"}`, payload, "RS256")))
			wantReason(t, err, "unknown_key")
		}
		if asked.Load() != 0 {
			t.Error("the token's URL was fetched")
		}
	})
	t.Run("jwtkeys-08 kid as SQL", refused(
		accepting(newIssuer(t, IssuerOptions{Keys: []KeySource{static(t, fixed("k", "HS256", []byte(testSecret)))}})),
		forge("1", `{"alg":"HS256","kid":"x' UNION SELECT '1';--"}`, string(payload)), "unknown_key"))
	t.Run("jwtkeys-09 weak HMAC secrets", func(t *testing.T) {
		for _, secret := range []string{"", "canary-secret", strings.Repeat("x", 31)} {
			source, err := StaticKeys([]StaticKey{fixed("", "HS256", []byte(secret))})
			if err != nil {
				t.Fatal(err)
			}
			_, err = NewIssuer(IssuerOptions{Name: "corp", Issuer: testIssuer, Audiences: []string{"a"}, Keys: []KeySource{source}})
			if secret == "" { // an empty secret is none: not had, and so 503
				if err != nil {
					t.Error(err)
				}
				i := newIssuer(t, IssuerOptions{Keys: []KeySource{source}})
				_, err = accepting(i).Authenticate(t.Context(), bearerOf(forge("", `{"alg":"HS256"}`, string(payload))))
				wantReason(t, err, "keys_unavailable")
			} else if !errors.Is(err, token.ErrWeakKey) || strings.Contains(err.Error(), secret) {
				t.Errorf("%q: %v, want ErrWeakKey", secret, err)
			}
		}
	})
	t.Run("jwtkeys-10 signed by another issuer's key", func(t *testing.T) {
		other := "another secret of thirty-two bytes"
		a := newIssuer(t, IssuerOptions{Name: "a", Issuer: "https://a.example/", Keys: []KeySource{static(t, fixed("1", "HS256", []byte(testSecret)))}})
		b := newIssuer(t, IssuerOptions{Name: "b", Issuer: "https://b.example/", Keys: []KeySource{static(t, fixed("1", "HS256", []byte(other)))}})
		both := accepting(a, b)
		for iss, secret := range map[string]string{"https://a.example/": other, "https://b.example/": testSecret} {
			_, err := both.Authenticate(t.Context(), bearerOf(forge(secret, `{"alg":"HS256","kid":"1"}`, string(toJSON(t, claims(map[string]any{"iss": iss}))))))
			wantReason(t, err, "signature")
		}
		raw := bearerOf(forge(other, `{"alg":"HS256","kid":"1"}`, string(toJSON(t, claims(map[string]any{"iss": "https://b.example/"})))))
		if p, err := both.Authenticate(t.Context(), raw); err != nil || p.Issuer != "b" {
			t.Errorf("control: %v, %v", p, err)
		}
		_, err := accepting(a).Authenticate(t.Context(), raw) // trusted, but not on this route
		wantReason(t, err, "issuer")
	})
	t.Run("jwtkeys-11 weak RSA key in a JWKS", func(t *testing.T) {
		var log logs
		strong := signer(t, privatePEM(t, rsaKey()), "RS256", "strong")
		weak := map[string]any{"kid": "weak", "n": b64(append([]byte{0x80}, make([]byte, 127)...))}
		k := servedKeySet(t, KeySetOptions{Log: log.logger()}, setOf(t, jwk(t, strong, weak), jwk(t, strong, nil)))
		a := accepting(newIssuer(t, IssuerOptions{Keys: []KeySource{k}}))
		_, err := a.Authenticate(t.Context(), bearerOf(signRaw(t, `{"alg":"RS256","kid":"weak"}`, payload, "RS256")))
		wantReason(t, err, "unknown_key")
		if log.count(`"kid":"weak"`) != 1 || log.count("weak key") != 1 {
			t.Errorf("no warning: %s", log.String())
		}
	})
	t.Run("jwtkeys-12 signature empty, absent, cut", func(t *testing.T) {
		raw := forge(testSecret, `{"alg":"HS256"}`, string(payload))
		dot := strings.LastIndexByte(raw, '.')
		signature, err := base64.RawURLEncoding.DecodeString(raw[dot+1:])
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{0, 1, 16, 31} {
			_, err := hs256.Authenticate(t.Context(), bearerOf(raw[:dot+1]+b64(signature[:n])))
			wantReason(t, err, "signature")
		}
		_, err = hs256.Authenticate(t.Context(), bearerOf(raw[:dot]))
		wantReason(t, err, "malformed")
	})
	t.Run("jwtkeys-13 keys for something else", func(t *testing.T) {
		published := signer(t, privatePEM(t, rsaKey()), "RS256", "k")
		spare := jwk(t, signer(t, privatePEM(t, newECKey(t)), "ES256", "spare"), nil)
		for _, c := range []struct {
			change map[string]any
			want   string
		}{
			{map[string]any{"use": "enc"}, "unknown_key"},
			{map[string]any{"use": nil, "key_ops": []string{"sign"}}, "unknown_key"},
			{map[string]any{"alg": "RS512"}, "algorithm"},
			{nil, ""},
		} {
			k := servedKeySet(t, KeySetOptions{}, setOf(t, jwk(t, published, c.change), spare))
			_, err := accepting(newIssuer(t, IssuerOptions{Keys: []KeySource{k}})).
				Authenticate(t.Context(), bearerOf(signRaw(t, `{"alg":"RS256","kid":"k"}`, payload, "RS256")))
			wantReason(t, err, c.want)
		}
	})
	t.Run("jwtkeys-14 crit", refused(hs256, forge(testSecret, `{"alg":"HS256","crit":["x-unknown"],"x-unknown":1}`, string(payload)), "critical"))
	t.Run("jwtkeys-15 one bit, one byte", func(t *testing.T) {
		raw := []byte(forge(testSecret, `{"alg":"HS256"}`, string(payload)))
		raw[len(raw)-10] ^= 1
		_, err := hs256.Authenticate(t.Context(), bearerOf(string(raw)))
		if why := Reason(err); why != "signature" && why != "malformed" {
			t.Error(err)
		}
	})
}

func TestConstructorRefusesWhatCouldNeverBeSafeOrNeverWork(t *testing.T) {
	t.Parallel()
	secret := func() []KeySource { return []KeySource{static(t, fixed("", "HS256", []byte(testSecret)))} }
	remote, err := NewKeySet(KeySetOptions{URL: "https://idp.example.com/jwks"})
	if err != nil {
		t.Fatal(err)
	}
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := func() IssuerOptions {
		return IssuerOptions{Name: "corp", Issuer: testIssuer, Audiences: []string{"a"}, Keys: secret()}
	}
	if _, err := NewIssuer(good()); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*IssuerOptions){
		"no issuer":                func(o *IssuerOptions) { o.Issuer = "" },
		"no audience":              func(o *IssuerOptions) { o.Audiences = nil },
		"empty audience":           func(o *IssuerOptions) { o.Audiences = []string{"a", ""} },
		"no keys":                  func(o *IssuerOptions) { o.Keys = nil },
		"algorithm none":           func(o *IssuerOptions) { o.Algorithms = []string{"none"} },
		"algorithm unknown":        func(o *IssuerOptions) { o.Algorithms = []string{"HS256", "hs256"} },
		"HMAC with published keys": func(o *IssuerOptions) { o.Keys, o.Algorithms = []KeySource{remote}, []string{"RS256", "HS256"} },
		"no key for the algorithm": func(o *IssuerOptions) { o.Algorithms = []string{"RS256"} },
		"a key of another type": func(o *IssuerOptions) {
			o.Keys, o.Algorithms = []KeySource{static(t, fixed("", "", publicPEM(t, &p521.PublicKey)))}, []string{"ES256"}
		},
		"a key that cannot be read": func(o *IssuerOptions) { o.Keys = []KeySource{static(t, fixed("", "", []byte("{}")))} },
		"a weak key beside a good":  func(o *IssuerOptions) { o.Keys = append(secret(), static(t, fixed("w", "", []byte("short")))) },
		"an empty required claim":   func(o *IssuerOptions) { o.RequiredClaims = []string{""} },
		"an empty scope claim":      func(o *IssuerOptions) { o.ScopeClaims = []string{""} },
		"an empty token type":       func(o *IssuerOptions) { o.TokenTypes = []string{""} },
		"leeway negative":           func(o *IssuerOptions) { o.Leeway = -1 },
		"lifetime negative":         func(o *IssuerOptions) { o.MaxLifetime = -1 },
	} {
		o := good()
		change(&o)
		if _, err := NewIssuer(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestTokenTypes(t *testing.T) {
	t.Parallel()
	token := func(header string) fields { return bearerOf(forge(testSecret, header, string(toJSON(t, claims(nil))))) }
	picky := accepting(newIssuer(t, IssuerOptions{TokenTypes: []string{"at+jwt", "application/Custom"}}))
	for header, want := range map[string]string{
		`{"alg":"HS256","typ":"at+jwt"}`:               "",
		`{"alg":"HS256","typ":"AT+JWT"}`:               "",
		`{"alg":"HS256","typ":"application/at+jwt"}`:   "",
		`{"alg":"HS256","typ":"Application/AT+jwt"}`:   "",
		`{"alg":"HS256","typ":"custom"}`:               "",
		`{"alg":"HS256","typ":"JWT"}`:                  "type",
		`{"alg":"HS256","typ":""}`:                     "type",
		`{"alg":"HS256"}`:                              "type",
		`{"alg":"HS256","typ":"x/at+jwt"}`:             "type",
		`{"alg":"HS256","typ":"application/x/at+jwt"}`: "type",
		`{"alg":"HS256","typ":"at+jwt "}`:              "type",
		`{"alg":"HS256","typ":"logout+jwt"}`:           "type",
	} {
		_, err := picky.Authenticate(t.Context(), token(header))
		wantReason(t, err, want)
	}
	if _, err := accepting(newIssuer(t, IssuerOptions{})).Authenticate(t.Context(), token(`{"alg":"HS256","typ":"anything"}`)); err != nil {
		t.Errorf("without token_types: %v", err)
	}
}

// jwks-07: a token without kid is tried with keys that fit its alg, five at most.
func TestWithoutKidAtMostFiveKeysAreTried(t *testing.T) {
	t.Parallel()
	var entries []StaticKey
	for n := range 7 {
		entries = append(entries, fixed(fmt.Sprint("k", n), "HS256", fmt.Appendf(nil, "secret number %d of thirty-two bytes.", n)))
		entries = append(entries, fixed(fmt.Sprint("e", n), "", publicPEM(t, &newECKey(t).PublicKey))) // these do not fit, and do not count
	}
	a := accepting(newIssuer(t, IssuerOptions{Keys: []KeySource{static(t, entries...)}}))
	for n := range 7 {
		secret := fmt.Sprintf("secret number %d of thirty-two bytes.", n)
		p, err := a.Authenticate(t.Context(), bearerOf(forge(secret, `{"alg":"HS256"}`, string(toJSON(t, claims(nil))))))
		switch {
		case n < 5 && (err != nil || p.KeyID != fmt.Sprint("k", n)):
			t.Errorf("key %d: %v, %v", n, p, err)
		case n >= 5 && Reason(err) != "signature":
			t.Errorf("key %d: %v, %v", n, p, err)
		}
		if _, err := a.Authenticate(t.Context(), bearerOf(forge(secret, fmt.Sprintf(`{"alg":"HS256","kid":"k%d"}`, n), string(toJSON(t, claims(nil)))))); err != nil {
			t.Errorf("key %d by its kid: %v", n, err)
		}
	}
}

func TestAKeyWithoutKidFitsAnyToken(t *testing.T) {
	t.Parallel()
	a := accepting(newIssuer(t, IssuerOptions{}))
	for _, header := range []string{`{"alg":"HS256"}`, `{"alg":"HS256","kid":""}`, `{"alg":"HS256","kid":"anything"}`} {
		if p, err := a.Authenticate(t.Context(), bearerOf(forge(testSecret, header, string(toJSON(t, claims(nil)))))); err != nil || p.KeyID != "" {
			t.Errorf("%s: %v, %v", header, p, err)
		}
	}
}

// Where the operator names algorithms but not on the key, the key takes those
// that fit it.
func TestTheIssuersAlgorithmsNarrowItsKeys(t *testing.T) {
	t.Parallel()
	public := publicPEM(t, &rsaKey().PublicKey)
	payload := toJSON(t, claims(nil))
	for _, c := range []struct {
		listed []string
		alg    string
		want   string
	}{
		{nil, "RS256", ""}, {nil, "PS256", "unknown_key"},
		{[]string{"PS256"}, "PS256", ""}, {[]string{"PS256"}, "RS256", "algorithm"},
		{[]string{"RS256", "PS256"}, "PS256", ""}, {[]string{"ES256", "RS256"}, "RS256", ""},
	} {
		a := accepting(newIssuer(t, IssuerOptions{Algorithms: c.listed, Keys: []KeySource{static(t, fixed("", "", public))}}))
		_, err := a.Authenticate(t.Context(), bearerOf(signRaw(t, `{"alg":"`+c.alg+`"}`, payload, c.alg)))
		wantReason(t, err, c.want)
	}
}

func TestTwoIssuersOfOneISS(t *testing.T) {
	t.Parallel()
	mine := newIssuer(t, IssuerOptions{Name: "mine"})
	theirs := newIssuer(t, IssuerOptions{Name: "theirs", Audiences: []string{"billing"}})
	down := newIssuer(t, IssuerOptions{Name: "down", Keys: []KeySource{static(t, fixed("", "", nil))}})
	raw := bearerOf(forgeClaims(t, claims(map[string]any{"aud": "billing"})))
	if p, err := accepting(mine, theirs).Authenticate(t.Context(), raw); err != nil || p.Issuer != "theirs" {
		t.Errorf("%v, %v", p, err)
	}
	_, err := accepting(mine).Authenticate(t.Context(), raw)
	wantReason(t, err, "audience")
	_, err = accepting(mine, down).Authenticate(t.Context(), raw)
	wantReason(t, err, "keys_unavailable")
}

// THREATS, issuer separation: iss look-alikes.
func TestISSIsExact(t *testing.T) {
	t.Parallel()
	a := accepting(newIssuer(t, IssuerOptions{}))
	for _, iss := range []string{
		"https://idp.example.com", "https://idp.example.com//", "HTTPS://idp.example.com/", "https://IDP.example.com/", "https://idp.example.com/ ",
		"https://idp.example.com/\u0000", "https://idp.example.com.evil.example/", "https://idp.example.com:443/", "https://idp.example.com/?", "http://idp.example.com/", "corp",
	} {
		_, err := a.Authenticate(t.Context(), bearerOf(forgeClaims(t, claims(map[string]any{"iss": iss}))))
		wantReason(t, err, "issuer")
	}
}
