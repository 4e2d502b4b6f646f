package crypto

import (
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"

	"golang.org/x/crypto/blake2b"
)

// ErrDigest is for an algorithm that is not known, or not safe.
var ErrDigest = errors.New("no such digest")

// Digests are the algorithms of [Digest].
func Digests() []string {
	return []string{"sha224", "sha256", "sha384", "sha512", "sha512-256", "sha3-224", "sha3-256", "sha3-384", "sha3-512", "blake2b-256", "blake2b-384", "blake2b-512"}
}

// Digest returns the digest of data in hex, by an algorithm of [Digests] (FIPS
// 180-4, FIPS 202, RFC 7693). MD5 and SHA-1 are refused by name.
func Digest(algorithm string, data []byte) (string, error) {
	switch algorithm {
	case "sha224":
		sum := sha256.Sum224(data)
		return hex.EncodeToString(sum[:]), nil
	case "sha256":
		sum := sha256.Sum256(data)
		return hex.EncodeToString(sum[:]), nil
	case "sha384":
		sum := sha512.Sum384(data)
		return hex.EncodeToString(sum[:]), nil
	case "sha512":
		sum := sha512.Sum512(data)
		return hex.EncodeToString(sum[:]), nil
	case "sha512-256":
		sum := sha512.Sum512_256(data)
		return hex.EncodeToString(sum[:]), nil
	case "sha3-224":
		sum := sha3.Sum224(data)
		return hex.EncodeToString(sum[:]), nil
	case "sha3-256":
		sum := sha3.Sum256(data)
		return hex.EncodeToString(sum[:]), nil
	case "sha3-384":
		sum := sha3.Sum384(data)
		return hex.EncodeToString(sum[:]), nil
	case "sha3-512":
		sum := sha3.Sum512(data)
		return hex.EncodeToString(sum[:]), nil
	case "blake2b-256":
		sum := blake2b.Sum256(data)
		return hex.EncodeToString(sum[:]), nil
	case "blake2b-384":
		sum := blake2b.Sum384(data)
		return hex.EncodeToString(sum[:]), nil
	case "blake2b-512":
		sum := blake2b.Sum512(data)
		return hex.EncodeToString(sum[:]), nil
	case "md5", "sha1", "sha-1":
		return "", fmt.Errorf("%w: %s is broken, two texts of one digest can be made at will; use sha256", ErrDigest, algorithm)
	}
	return "", fmt.Errorf("%w: the algorithms are sha224, sha256, sha384, sha512, sha512-256, sha3-224 to sha3-512, blake2b-256 to blake2b-512", ErrDigest)
}

// Equal compares two texts in time that depends on their lengths alone.
func Equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
