package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// rsaBits is the size of a fresh RSA key.
const rsaBits = 2048

// GenerateJWK returns a fresh private key for RS256, ES256 or EdDSA as a JWK
// that [NewSigner] reads. Its kid is its thumbprint (RFC 7638).
func GenerateJWK(alg string) ([]byte, error) {
	var private any
	var err error
	switch alg {
	case "RS256":
		private, err = rsa.GenerateKey(rand.Reader, rsaBits)
	case "ES256":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA":
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		return nil, fmt.Errorf("generate a JWK: %w: keys are made for RS256, ES256 and EdDSA", ErrAlgorithm)
	}
	if err != nil {
		return nil, fmt.Errorf("generate a JWK: %w", err)
	}
	jwk := jose.JSONWebKey{Key: private, Algorithm: alg, Use: "sig"}
	thumbprint, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("generate a JWK: %w", err)
	}
	jwk.KeyID = base64.RawURLEncoding.EncodeToString(thumbprint)
	return json.Marshal(jwk)
}
