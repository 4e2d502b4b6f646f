package token

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func readVectors(t *testing.T, path string, into any) {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join("testdata", path))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(doc, into); err != nil {
		t.Fatal(err)
	}
}

func TestRFCExamplesVerifyOrAreRefused(t *testing.T) {
	t.Parallel()
	var file struct {
		Vectors []struct {
			Alg, JWS, Source, Token string
			JWK                     json.RawMessage
		}
	}
	readVectors(t, "rfc/jws_examples.json", &file)
	if len(file.Vectors) != 8 {
		t.Fatalf("%d vectors, want 8", len(file.Vectors))
	}
	for _, v := range file.Vectors {
		t.Run(v.Source, func(t *testing.T) {
			t.Parallel()
			parsed, err := Parse(v.Token)
			if v.JWS != "valid" {
				if err == nil { // alg none parses, and no key verifies it
					err = parsed.Verify(oneKey(t, keysOnce().hmac, KeyOptions{}))
				}
				if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrCritical) && !errors.Is(err, ErrAlgorithm) {
					t.Fatalf("got %v, want a refusal", err)
				}
				return
			}
			key := oneKey(t, v.JWK, KeyOptions{})
			if err := splitJWS(t, v.Token).Verify(key); err != nil {
				t.Fatalf("signature: %v", err)
			}
			if strings.HasPrefix(v.Source, "RFC 7515 A.4") || strings.HasPrefix(v.Source, "RFC 8037") {
				if !errors.Is(err, ErrMalformed) { // the payload is no claims set
					t.Errorf("Parse: %v, want ErrMalformed", err)
				}
			} else if err != nil || parsed.Claims.Issuer != "joe" || parsed.Claims.Expiry.Unix() != 1300819380 {
				t.Errorf("Parse: %v, %+v", err, parsed)
			}
		})
	}
}

func TestCookbookExamplesVerify(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"jws_4_1.rsa_v15_signature", "jws_4_2.rsa-pss_signature", "jws_4_3.ecdsa_signature",
		"jws_4_4.hmac-sha2_integrity_protection", "curve25519_jws",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var v struct {
				Input struct {
					Key json.RawMessage
					Alg string
				}
				Output struct{ Compact string }
			}
			readVectors(t, "jose-cookbook/"+name+".json", &v)
			key := oneKey(t, v.Input.Key, KeyOptions{Accept: []string{v.Input.Alg}})
			if err := splitJWS(t, v.Output.Compact).Verify(key); err != nil {
				t.Error(err)
			}
			if _, err := Parse(v.Output.Compact); !errors.Is(err, ErrMalformed) { // its payload is prose
				t.Errorf("Parse: %v, want ErrMalformed", err)
			}
		})
	}
}

// RFC 7797 is a valid signature over a payload that is not encoded; reading it
// otherwise than its signer did is what crit exists to prevent.
func TestUnencodedPayloadIsRefused(t *testing.T) {
	t.Parallel()
	var v struct {
		Signing struct {
			Input     string `json:"sig-input"`
			Sig       string
			Protected string `json:"protected_b64u"`
		}
	}
	readVectors(t, "jose-cookbook/rfc7797_4.2.hmac-sha2_b64_false.json", &v)
	header := b64(`{"alg":"HS256","b64":false,"crit":["b64"]}`)
	for name, raw := range map[string]string{
		"as published (no crit in the encoded header)": v.Signing.Input + "." + v.Signing.Sig,
		"with crit": header + ".JC4wMg." + v.Signing.Sig,
		"encoded":   v.Signing.Protected + ".JC4wMg." + v.Signing.Sig,
	} {
		if _, err := Parse(raw); !errors.Is(err, ErrCritical) && !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Parse(header + ".e30." + v.Signing.Sig); !errors.Is(err, ErrCritical) {
		t.Errorf("got %v, want ErrCritical", err)
	}
}

func TestCookbookPublicKeysAreRead(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"jwk_3_1.ec_public_key":  `P-521 key "bilbo.baggins@hobbiton.example"`,
		"jwk_3_3.rsa_public_key": `RSA-2048 key "bilbo.baggins@hobbiton.example"`,
	} {
		var doc json.RawMessage
		readVectors(t, "jose-cookbook/"+name+".json", &doc)
		if got := oneKey(t, doc, KeyOptions{}).String(); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
