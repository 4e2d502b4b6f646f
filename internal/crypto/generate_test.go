package crypto

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"testing"
)

func TestGeneratedKeysAreOfTheirKeyringsForm(t *testing.T) {
	t.Parallel()
	for _, keyType := range KeyTypes() {
		encoding := base64.StdEncoding
		if keyType == "fernet" {
			encoding = base64.URLEncoding
		}
		seen := make(map[string]bool)
		for range 20 {
			key, err := GenerateKey(keyType)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := encoding.Strict().DecodeString(key); err != nil || len(b) != 32 || seen[key] {
				t.Errorf("%s: %d bytes, %v", keyType, len(b), err)
			}
			seen[key] = true
		}
	}
	if _, err := GenerateKey("des"); !errors.Is(err, ErrGenerate) {
		t.Errorf("des: %v", err)
	}
}

func TestGeneratedTokensHaveTheLengthAskedFor(t *testing.T) {
	t.Parallel()
	for encoding, decode := range map[string]func(string) ([]byte, error){"hex": hex.DecodeString, "base64url": base64.RawURLEncoding.DecodeString} {
		for _, n := range []int{16, 32, 1024} {
			token, err := GenerateToken(n, encoding)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := decode(token); err != nil || len(b) != n {
				t.Errorf("%s: %d bytes, %v", encoding, len(b), err)
			}
		}
	}
	for _, n := range []int{-1, 0, 15, 1025} {
		if _, err := GenerateToken(n, "hex"); !errors.Is(err, ErrGenerate) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if _, err := GenerateToken(32, "base32"); !errors.Is(err, ErrGenerate) {
		t.Errorf("base32: %v", err)
	}
}
