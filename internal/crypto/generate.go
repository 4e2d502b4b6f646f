package crypto

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrGenerate is for what cannot be generated.
var ErrGenerate = errors.New("cannot be generated")

// KeyTypes are the types of keys that [GenerateKey] makes.
func KeyTypes() []string { return []string{"fernet", "aes256-gcm", "xaes256-gcm", "hmac"} }

// GenerateKey returns a fresh key of 32 bytes for a keyring of that type, as the
// keyring takes it: in base64, of the URL-safe alphabet for fernet.
func GenerateKey(keyType string) (string, error) {
	if !slices.Contains(KeyTypes(), keyType) {
		return "", fmt.Errorf("%w: the types of keys are %s", ErrGenerate, strings.Join(KeyTypes(), ", "))
	}
	if keyType == "fernet" {
		return base64.URLEncoding.EncodeToString(random(32)), nil
	}
	return base64.StdEncoding.EncodeToString(random(32)), nil
}

// The bounds of a token, in bytes: with fewer it could be guessed.
const minToken, maxToken = 16, 1024

// GenerateToken returns n random bytes, 16 to 1024, in hex or base64url (without
// padding).
func GenerateToken(n int, encoding string) (string, error) {
	switch {
	case n < minToken || n > maxToken:
		return "", fmt.Errorf("%w: a token has %d to %d bytes", ErrGenerate, minToken, maxToken)
	case encoding == "hex":
		return hex.EncodeToString(random(n)), nil
	case encoding == "base64url":
		return base64.RawURLEncoding.EncodeToString(random(n)), nil
	}
	return "", fmt.Errorf("%w: the encodings are hex and base64url", ErrGenerate)
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}
