package token

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// FuzzParse: what is accepted is one spelling of one reading: its segments
// encode back to themselves, and the standard library reads the same claims.
func FuzzParse(f *testing.F) {
	for _, payload := range []string{goodPayload, `{}`, `{"exp":1,"exp":2}`, `{"aud":["a","b"],"nbf":1.5e3}`, `{"a":` + nest(33) + `}`, "{\"a\":\"\xff\"}"} {
		f.Add(forge(f, "HS256", goodHeader, payload))
	}
	f.Add("..")
	f.Add(b64(`{"alg":"none"}`) + "." + b64(`{}`) + ".")
	f.Fuzz(func(t *testing.T, raw string) {
		p, err := Parse(raw)
		if err != nil {
			return
		}
		segments := strings.Split(raw, ".")
		for _, segment := range segments {
			decoded, err := base64.RawURLEncoding.DecodeString(segment)
			if err != nil || base64.RawURLEncoding.EncodeToString(decoded) != segment {
				t.Errorf("segment %q does not encode back to itself", segment)
			}
		}
		if p.signed+"."+base64.RawURLEncoding.EncodeToString(p.signature) != raw {
			t.Errorf("the parts of %q do not make it up", raw)
		}
		payload, _ := base64.RawURLEncoding.DecodeString(segments[1])
		if theirs := decodeStd(t, payload); !reflect.DeepEqual(theirs, p.Claims.All) {
			t.Errorf("claims %v, encoding/json reads %v", p.Claims.All, theirs)
		}
		for _, date := range []string{"exp", "nbf", "iat"} {
			if _, present := p.Claims.All[date]; present {
				if at, err := numericDate(p.Claims.All, date); err != nil || at.Unix() < 0 || at.Unix() > maxDate {
					t.Errorf("%s: %v, %v", date, at, err)
				}
			}
		}
	})
}

func FuzzHeader(f *testing.F) {
	for _, header := range []string{
		goodHeader, `{"alg":"none"}`, `{"alg":"ES256","kid":"a","typ":"at+jwt","jwk":{"kty":"oct","k":"AA"}}`, `{"alg":"HS256","crit":["x"],"x":1}`,
		`{"ALG":"HS256"}`, `{"alg":"HS256","\u0061lg":"none"}`, `["HS256"]`, `{"alg":"HS256"}{}`,
	} {
		f.Add([]byte(header))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		h, err := parseHeader(base64.RawURLEncoding.EncodeToString(doc))
		if err != nil {
			return
		}
		theirs := decodeStd(t, doc)
		if theirs["alg"] != h.Algorithm || h.Algorithm == "" || theirs["crit"] != nil || len(h.KeyID) > maxKeyID {
			t.Errorf("%q: %+v", doc, h)
		}
		for name := range theirs {
			if strings.EqualFold(name, "alg") && name != "alg" {
				t.Errorf("%q was accepted beside alg", name)
			}
		}
	})
}

func FuzzParseJWKS(f *testing.F) {
	keys := keysOnce()
	f.Add(setOf(f, jwkOf(f, &keys.rsa.PublicKey, map[string]any{"kid": "r"}), jwkOf(f, &keys.p256.PublicKey, nil), jwkOf(f, keys.ed.Public(), nil)))
	f.Add(setOf(f, jwkOf(f, keys.hmac, nil), jwkOf(f, keys.rsa, nil), "x"))
	f.Add([]byte(`{"keys":[]}`))
	f.Add([]byte(`<html>`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		parsed, skipped, err := ParseJWKS(doc)
		if err != nil {
			return
		}
		if len(parsed)+len(skipped) > MaxKeys {
			t.Errorf("%d keys, %d skipped", len(parsed), len(skipped))
		}
		seen := make(map[string]bool)
		for _, k := range parsed {
			if checkStrength(k.held()) != nil || len(k.Algorithms) == 0 || k.ID != "" && seen[k.ID] {
				t.Errorf("%v must not be used", k)
			}
			seen[k.ID] = true
			for _, alg := range k.Algorithms {
				if SymmetricAlgorithm(alg) || !KnownAlgorithm(alg) {
					t.Errorf("%v may be used with %s", k, alg)
				}
			}
		}
		// Where the operator stores the same text, nothing panics either.
		_, _, _ = ParseKeys(doc, KeyOptions{})
	})
}

// decodeStd reads an object as encoding/json does.
func decodeStd(t *testing.T, doc []byte) map[string]any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	var object map[string]any
	if err := d.Decode(&object); err != nil {
		t.Fatalf("encoding/json refuses %q: %v", doc, err)
	}
	return object
}
