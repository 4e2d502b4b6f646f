package crypto

import (
	"crypto/aes"
	"crypto/cipher"
	"time"
)

// aesGCM seals with AES-256-GCM (NIST SP 800-38D). The standard library draws
// the 12 random bytes of the nonce itself and puts them first.
type aesGCM struct{ aead cipher.AEAD }

func newAESGCM(key []byte) (aesGCM, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return aesGCM{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return aesGCM{aead}, err
}

func (g aesGCM) seal(plaintext, context []byte, _ time.Time) ([]byte, error) {
	sealed := make([]byte, 0, len(plaintext)+g.aead.Overhead())
	return g.aead.Seal(sealed, nil, plaintext, context), nil
}

func (g aesGCM) open(sealed, context []byte) ([]byte, error) {
	return g.aead.Open([]byte{}, nil, sealed, context)
}
