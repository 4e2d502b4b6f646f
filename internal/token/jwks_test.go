package token

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestPublishedSet(t *testing.T) {
	t.Parallel()
	keys := keysOnce()
	doc := setOf(t,
		jwkOf(t, &keys.rsa.PublicKey, map[string]any{"kid": "r", "use": "sig", "x5c": []string{"ignored"}, "x5t": "ignored", "unknown": 1}),
		jwkOf(t, &keys.p256.PublicKey, map[string]any{"kid": "e", "key_ops": []string{"verify"}}),
		jwkOf(t, keys.ed.Public(), map[string]any{"alg": "EdDSA"}),
	)
	got, skipped, err := ParseJWKS(doc)
	if err != nil || len(skipped) != 0 || fmt.Sprint(got) != `[RSA-2048 key "r" P-256 key "e" Ed25519 key]` {
		t.Fatalf("%v, %v, %v", got, skipped, err)
	}
	if fmt.Sprint(got[0].Algorithms, got[1].Algorithms, got[2].Algorithms) != "[RS256 RS384 RS512 PS256 PS384 PS512] [ES256] [EdDSA]" {
		t.Error(got[0].Algorithms, got[1].Algorithms, got[2].Algorithms)
	}
}

func TestWhatIsNoKeySet(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{
		``, `null`, `[]`, `"x"`, `{}`, `{"keys":null}`, `{"keys":{}}`, `{"keys":[]}x`, `{"keys":[],"keys":[]}`, `{"keys":[{"kty":"RSA","kty":"EC"}]}`,
		`<html>`, "{\"keys\":[\"\xff\"]}", `{"keys":[` + strings.Repeat(`0,`, 100) + `0]}`, `{"a":` + nest(40) + `,"keys":[]}`,
		`{"a":[` + strings.Repeat(`0,`, maxSetValues) + `0],"keys":[]}`,
	} {
		if keys, _, err := ParseJWKS([]byte(doc)); err == nil {
			t.Errorf("%.40q: %v", doc, keys)
		}
	}
	if keys, skipped, err := ParseJWKS([]byte(`{"keys":[]}`)); err != nil || len(keys)+len(skipped) != 0 {
		t.Errorf("empty set: %v, %v, %v", keys, skipped, err)
	}
}

// jwtkeys-13 and the other keys that must not verify a token: each is skipped,
// with a reason, and the good one beside it stays.
func TestKeysThatAreSkipped(t *testing.T) {
	t.Parallel()
	keys := keysOnce()
	public := &keys.rsa.PublicKey
	for name, c := range map[string]struct {
		key    any
		reason string
	}{
		"for encryption":            {jwkOf(t, public, map[string]any{"use": "enc"}), "not for signatures"},
		"use is no string":          {jwkOf(t, public, map[string]any{"use": 1}), `"use"`},
		"key_ops sign":              {jwkOf(t, public, map[string]any{"key_ops": []string{"sign"}}), "key_ops"},
		"key_ops empty":             {jwkOf(t, public, map[string]any{"key_ops": []string{}}), "key_ops"},
		"key_ops a string":          {jwkOf(t, public, map[string]any{"key_ops": "verify"}), "key_ops"},
		"alg for encryption":        {jwkOf(t, public, map[string]any{"alg": "RSA-OAEP"}), "alg"},
		"alg none":                  {jwkOf(t, public, map[string]any{"alg": "none"}), "alg"},
		"alg HS256 on an RSA key":   {jwkOf(t, public, map[string]any{"alg": "HS256"}), "algorithm not allowed"},
		"alg of another curve":      {jwkOf(t, &keys.p256.PublicKey, map[string]any{"alg": "ES384"}), "algorithm not allowed"},
		"alg is no string":          {jwkOf(t, public, map[string]any{"alg": []string{"RS256"}}), `"alg"`},
		"symmetric":                 {jwkOf(t, keys.hmac, nil), "symmetric"},
		"private RSA":               {jwkOf(t, keys.rsa, nil), "private"},
		"private EC":                {jwkOf(t, keys.p256, nil), "private"},
		"private OKP":               {jwkOf(t, keys.ed, nil), "private"},
		"d alone":                   {jwkOf(t, public, map[string]any{"d": "AQAB"}), "private"},
		"kty unknown":               {map[string]any{"kty": "AKP", "pub": "AAAA"}, "kty"},
		"kty absent":                {jwkOf(t, public, map[string]any{"kty": nil}), "kty"},
		"kty in another case":       {jwkOf(t, public, map[string]any{"kty": "rsa"}), "kty"},
		"crv unknown":               {jwkOf(t, &keys.p256.PublicKey, map[string]any{"crv": "secp256k1"}), "EC"},
		"crv of another length":     {jwkOf(t, &keys.p256.PublicKey, map[string]any{"crv": "P-384"}), "EC"},
		"X25519":                    {jwkOf(t, keys.ed.Public(), map[string]any{"crv": "X25519"}), "OKP"},
		"off the curve":             {jwkOf(t, &keys.p256.PublicKey, map[string]any{"y": b64(strings.Repeat("A", 32))}), "EC"},
		"short coordinate":          {jwkOf(t, &keys.p256.PublicKey, map[string]any{"y": b64("A")}), "EC"},
		"no modulus":                {jwkOf(t, public, map[string]any{"n": nil}), `"n"`},
		"modulus padded":            {jwkOf(t, public, map[string]any{"n": "AAAA=="}), `"n"`},
		"modulus with a line break": {jwkOf(t, public, map[string]any{"n": "AAAA\nAAAA"}), `"n"`},
		"modulus standard alphabet": {jwkOf(t, public, map[string]any{"n": "+/+/"}), `"n"`},
		"exponent a number":         {jwkOf(t, public, map[string]any{"e": 65537}), `"e"`},
		"exponent empty":            {jwkOf(t, public, map[string]any{"e": ""}), `"e"`},
		"exponent of 300 bytes":     {jwkOf(t, public, map[string]any{"e": b64(long(300))}), "exponent"},
		"kid is no string":          {jwkOf(t, public, map[string]any{"kid": 7}), `"kid"`},
		"kid too long":              {jwkOf(t, public, map[string]any{"kid": long(129)}), "kid"},
		"kid with a control letter": {jwkOf(t, public, map[string]any{"kid": "a\r\nb"}), "kid"},
		"not an object":             {"x", "object"},
	} {
		doc := setOf(t, c.key, jwkOf(t, &keys.p384.PublicKey, map[string]any{"kid": "good"}))
		got, skipped, err := ParseJWKS(doc)
		if err != nil || len(got) != 1 || got[0].ID != "good" || len(skipped) != 1 || !strings.Contains(skipped[0].Reason, c.reason) {
			t.Errorf("%s: %v, %v, %v", name, got, skipped, err)
		}
	}
}

// jwtkeys-13: a key that says RS512 does not verify an RS256 token.
func TestAJWKsAlgBindsIt(t *testing.T) {
	t.Parallel()
	keys, _, err := ParseJWKS(setOf(t, jwkOf(t, &keysOnce().rsa.PublicKey, map[string]any{"alg": "RS512"})))
	if err != nil {
		t.Fatal(err)
	}
	p, err := Parse(forge(t, "RS256", `{"alg":"RS256"}`, goodPayload))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Verify(keys[0]); !errors.Is(err, ErrAlgorithm) {
		t.Errorf("got %v, want ErrAlgorithm", err)
	}
}

// jwks-06.
func TestAKidForTwoKeysIsRefused(t *testing.T) {
	t.Parallel()
	keys := keysOnce()
	a := jwkOf(t, &keys.rsa.PublicKey, map[string]any{"kid": "k", "alg": "RS256"})
	sameKey := jwkOf(t, &keys.rsa.PublicKey, map[string]any{"kid": "k", "alg": "PS256"})
	b := jwkOf(t, &keys.p256.PublicKey, map[string]any{"kid": "k"})
	other := jwkOf(t, &keys.p384.PublicKey, map[string]any{"kid": "K"}) // kids are exact: jwks-10
	for name, set := range map[string][]any{"two": {a, b, other}, "order": {b, a, other}, "three": {a, other, sameKey, b}} {
		got, skipped, err := ParseJWKS(setOf(t, set...))
		if err != nil || fmt.Sprint(got) != `[P-384 key "K"]` || len(skipped) != len(set)-1 {
			t.Errorf("%s: %v, %v, %v", name, got, skipped, err)
		}
	}
	got, skipped, err := ParseJWKS(setOf(t, a, sameKey, a))
	if err != nil || len(got) != 1 || len(skipped) != 0 || fmt.Sprint(got[0].Algorithms) != "[PS256 RS256]" {
		t.Errorf("the same key: %v, %v, %v", got, skipped, err)
	}
	noKid := func(key any) any { return jwkOf(t, key, nil) }
	if got, skipped, _ := ParseJWKS(setOf(t, noKid(&keys.rsa.PublicKey), noKid(&keys.p256.PublicKey))); len(got) != 2 || len(skipped) != 0 {
		t.Errorf("without kid: %v, %v", got, skipped)
	}
}

// go-jose reads no modulus of over 4096 bits; up to 8192 are allowed here.
func TestLongRSAKeysInASet(t *testing.T) {
	t.Parallel()
	n := make([]byte, 1024)
	n[0], n[1023] = 0x80, 1
	got, skipped, err := ParseJWKS(setOf(t, map[string]string{"kty": "RSA", "n": b64(string(n)), "e": "AQAB"}))
	if err != nil || fmt.Sprint(got) != "[RSA-8192 key]" {
		t.Errorf("%v, %v, %v", got, skipped, err)
	}
}
