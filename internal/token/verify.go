package token

import (
	"fmt"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// methods are the algorithms the gateway knows, by their names in RFC 7518 and
// RFC 8037. For PS* the salt must be as long as the digest (RFC 7518, section
// 3.5); golang-jwt's own values verify any length.
var methods = map[string]jwt.SigningMethod{
	"HS256": jwt.SigningMethodHS256,
	"HS384": jwt.SigningMethodHS384,
	"HS512": jwt.SigningMethodHS512,
	"RS256": jwt.SigningMethodRS256,
	"RS384": jwt.SigningMethodRS384,
	"RS512": jwt.SigningMethodRS512,
	"PS256": saltAsDigest(jwt.SigningMethodPS256),
	"PS384": saltAsDigest(jwt.SigningMethodPS384),
	"PS512": saltAsDigest(jwt.SigningMethodPS512),
	"ES256": jwt.SigningMethodES256,
	"ES384": jwt.SigningMethodES384,
	"ES512": jwt.SigningMethodES512,
	"EdDSA": jwt.SigningMethodEdDSA,
}

func saltAsDigest(m *jwt.SigningMethodRSAPSS) *jwt.SigningMethodRSAPSS {
	return &jwt.SigningMethodRSAPSS{SigningMethodRSA: m.SigningMethodRSA, Options: m.Options}
}

// KnownAlgorithm reports whether tokens can be verified with alg at all: HS256,
// RS256, PS256, ES256, their 384 and 512 forms, EdDSA.
func KnownAlgorithm(alg string) bool {
	_, known := methods[alg]
	return known
}

// SymmetricAlgorithm reports whether who verifies with alg can also sign.
func SymmetricAlgorithm(alg string) bool { return strings.HasPrefix(alg, "HS") }

// Fits reports whether the key may be used with alg.
func (k Key) Fits(alg string) bool { return slices.Contains(k.Algorithms, alg) }

// Verify checks the signature. The error wraps ErrAlgorithm when the key may
// not be used with the token's alg, and ErrSignature when it did not sign it.
func (p *Parsed) Verify(k Key) error {
	alg := p.Header.Algorithm
	method, known := methods[alg]
	if !known || !k.Fits(alg) || k.held == nil {
		return fmt.Errorf("%w: %.16q with %v", ErrAlgorithm, alg, k)
	}
	if err := method.Verify(p.signed, p.signature, k.held()); err != nil {
		return fmt.Errorf("%w: %s with %v", ErrSignature, alg, k)
	}
	return nil
}
