package token

import (
	"encoding/json"
	"errors"
	"testing"
	"time"
)

func TestGeneratedKeySignsAndItsPublicHalfVerifies(t *testing.T) {
	t.Parallel()
	for alg, want := range map[string]string{"RS256": "RSA", "ES256": "EC", "EdDSA": "OKP"} {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			jwk, err := GenerateJWK(alg)
			if err != nil {
				t.Fatal(err)
			}
			var members map[string]string
			if err := json.Unmarshal(jwk, &members); err != nil || members["kty"] != want || members["alg"] != alg || len(members["kid"]) != 43 || members["d"] == "" {
				t.Fatalf("kty %q, alg %q, kid %q, %v", members["kty"], members["alg"], members["kid"], err)
			}
			signer, err := NewSigner(jwk, "", "")
			if err != nil {
				t.Fatal(err)
			}
			raw, err := signer.Sign(map[string]any{"iss": "i", "exp": time.Now().Add(time.Hour).Unix()}, "")
			if err != nil {
				t.Fatal(err)
			}
			public, err := signer.PublicJWKS()
			if err != nil {
				t.Fatal(err)
			}
			keys, skipped, err := ParseJWKS(public)
			if err != nil || len(keys) != 1 || keys[0].ID != members["kid"] {
				t.Fatalf("%v, %v, %v", keys, skipped, err)
			}
			parsed, err := Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			if err := parsed.Verify(keys[0]); err != nil {
				t.Error(err)
			}
		})
	}
	for _, alg := range []string{"", "none", "HS256", "RS512"} {
		if _, err := GenerateJWK(alg); !errors.Is(err, ErrAlgorithm) {
			t.Errorf("%q: %v", alg, err)
		}
	}
}
