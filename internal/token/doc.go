// Package token answers who signed this: it reads compact JSON Web Signatures
// strictly (RFC 7515, RFC 7519), verifies them with keys read from PEM, JWK and
// JWKS texts (RFC 7517), and signs new ones.
//
// [Parse] gives a [Parsed] token of which nothing is verified yet;
// [Parsed.Verify] checks its signature with one [Key]. Choosing the key and
// judging the claims is left to the caller.
//
// # Security
//
// The key chooses the algorithm: a [Key] lists those it may be used with, from
// its type, its curve and what its owner said, and a token that names another
// one is refused before any arithmetic. "none" is on no list.
//
// There is one reading of a token. A text that two parsers could read in two
// ways is refused: names that occur twice or differ from a known one in case
// only, invalid UTF-8, data after the end, loose base64, a claim of the wrong
// type. Keys that a token carries or points at (jwk, jku, x5c, x5u) are never
// looked at, and no critical extension is understood.
//
// No error, and no formatting verb applied to a [Key] or a [Signer], shows key
// material.
package token

import "errors"

// The kinds of error. Every error of this package wraps one of them, but for
// key material that cannot be read at all, which is told in words only.
var (
	ErrMalformed = errors.New("malformed token")
	ErrCritical  = errors.New("critical header parameter not understood")
	ErrAlgorithm = errors.New("algorithm not allowed")
	ErrSignature = errors.New("signature does not verify")
	ErrWeakKey   = errors.New("weak key")
)
