package token

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
)

// mustGenerate returns a fresh private key as PEM.
func mustGenerate(t testing.TB, alg string) []byte {
	t.Helper()
	var key any
	var err error
	if alg == "EdDSA" {
		_, key, err = ed25519.GenerateKey(rand.Reader)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return privatePEM(t, key)
}

func TestTheHeaderHoldsOnlyWhatIsKnown(t *testing.T) {
	t.Parallel()
	raw, err := newSigner(t, "ES256", "").Sign(map[string]any{}, "")
	if err != nil {
		t.Fatal(err)
	}
	if header, _, _ := strings.Cut(raw, "."); header != b64(`{"alg":"ES256"}`) {
		t.Errorf("header %s", header)
	}
}

func TestAJWKBringsItsAlgAndKid(t *testing.T) {
	t.Parallel()
	doc := toJSON(t, jwkOf(t, keysOnce().rsa, map[string]any{"alg": "PS256", "kid": "from the JWK"}))
	for kid, want := range map[string]string{"": "from the JWK", "mine": "mine"} {
		s, err := NewSigner(doc, "", kid)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := s.Sign(map[string]any{"sub": "a"}, "JWT")
		if err != nil {
			t.Fatal(err)
		}
		if p, err := Parse(raw); err != nil || p.Header != (Header{"PS256", want, "JWT"}) {
			t.Errorf("%+v, %v", p, err)
		}
	}
	if _, err := NewSigner(doc, "RS256", ""); !errors.Is(err, ErrAlgorithm) {
		t.Errorf("another alg than the JWK's: %v", err)
	}
}

func TestPublishedSetVerifiesAndHoldsNoPrivatePart(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"RS256", "PS384", "ES256", "ES384", "ES512", "EdDSA"} {
		s := newSigner(t, alg, "k1")
		doc, err := s.PublicJWKS()
		if err != nil {
			t.Fatal(err)
		}
		var set struct{ Keys []map[string]any }
		if err := json.Unmarshal(doc, &set); err != nil || len(set.Keys) != 1 {
			t.Fatalf("%s: %v", doc, err)
		}
		for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "k"} {
			if set.Keys[0][private] != nil {
				t.Errorf("%s: publishes %q", alg, private)
			}
		}
		keys, skipped, err := ParseJWKS(doc)
		if err != nil || len(keys) != 1 || len(skipped) != 0 || keys[0].ID != "k1" || fmt.Sprint(keys[0].Algorithms) != "["+alg+"]" {
			t.Fatalf("%s: %v %v %v", alg, keys, skipped, err)
		}
		raw, err := s.Sign(map[string]any{"sub": "a"}, "")
		if err != nil {
			t.Fatal(err)
		}
		if p, err := Parse(raw); err != nil || p.Verify(keys[0]) != nil {
			t.Errorf("%s: %v, %v", alg, err, p.Verify(keys[0]))
		}
	}
	if doc, err := newSigner(t, "HS256", "k1").PublicJWKS(); err != nil || string(doc) != `{"keys":[]}` {
		t.Errorf("HMAC: %s, %v", doc, err)
	}
}

func TestSignerRefusesWhatItCannotSignWith(t *testing.T) {
	t.Parallel()
	keys := keysOnce()
	mismatched := jwkOf(t, keys.p256, map[string]any{"x": jwkOf(t, keys.p256, nil)["y"]})
	foreign := jwkOf(t, keys.ed, map[string]any{"x": b64(string(make([]byte, 32)))})
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		material []byte
		alg      string
		want     error // nil: any
	}{
		"public PEM":            {publicPEM(t, keys.rsa), "RS256", nil},
		"public JWK":            {toJSON(t, jwkOf(t, &keys.rsa.PublicKey, nil)), "", nil},
		"public key set":        {setOf(t, jwkOf(t, keys.ed.Public(), nil)), "", nil},
		"empty key set":         {setOf(t), "", nil},
		"halves differ, EC":     {toJSON(t, mismatched), "", nil},
		"halves differ, Ed":     {toJSON(t, foreign), "", nil},
		"short HMAC":            {[]byte("short"), "HS256", ErrWeakKey},
		"empty":                 {nil, "", ErrWeakKey},
		"RSA-1024":              {pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(small)}), "", ErrWeakKey},
		"P-256 with ES384":      {privatePEM(t, keys.p256), "ES384", ErrAlgorithm},
		"RSA with HS256":        {privatePEM(t, keys.rsa), "HS256", ErrAlgorithm},
		"HMAC with RS256":       {keys.hmac, "RS256", ErrAlgorithm},
		"none":                  {keys.hmac, "none", ErrAlgorithm},
		"broken PEM":            {[]byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), "", nil},
		"JSON that is no key":   {[]byte(`{"a":1}`), "", nil},
		"JWK for encryption":    {toJSON(t, jwkOf(t, keys.ed, map[string]any{"use": "enc"})), "", nil},
		"base64 that is broken": {[]byte("base64:!!!!"), "", nil},
	} {
		_, err := NewSigner(c.material, c.alg, "")
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := NewSigner(keys.hmac, "", "a\nb"); err == nil {
		t.Error("a kid with a newline")
	}
}

func TestWhatParseRefusesIsNotSigned(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "HS256", "")
	for name, claims := range map[string]map[string]any{
		"exp a string":      {"exp": "2000000000"},
		"exp out of range":  {"exp": 1e20},
		"sub a number":      {"sub": 1},
		"another case":      {"Sub": "a"},
		"too long":          {"a": strings.Repeat("x", MaxSize)},
		"no JSON can say":   {"a": math.Inf(1)},
		"a value of no use": {"a": func() {}},
	} {
		if raw, err := s.Sign(claims, ""); err == nil {
			t.Errorf("%s: signed %s", name, raw)
		}
	}
}
