package crypto

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"
)

// macKey authenticates with HMAC-SHA-256 (RFC 2104, FIPS 198-1).
type macKey struct{ key []byte }

func newMAC(key []byte) (macKey, error) { return macKey{slices.Clone(key)}, nil }

var errSealsNothing = errors.New("an hmac key seals nothing")

func (macKey) seal(_, _ []byte, _ time.Time) ([]byte, error) { return nil, errSealsNothing }
func (macKey) open(_, _ []byte) ([]byte, error)              { return nil, errSealsNothing }

func (m macKey) sum(data []byte) []byte {
	h := hmac.New(sha256.New, m.key)
	h.Write(data)
	return h.Sum(nil)
}

// MAC returns the HMAC-SHA-256 of data under the primary key, in hex. The error
// wraps [ErrOperation].
func (k *Keyring) MAC(data []byte) (mac string, version int, err error) {
	if k.kind != HMAC {
		return "", 0, fmt.Errorf("%w: only an hmac keyring authenticates", ErrOperation)
	}
	k.primary.counters.sealed.Add(1)
	k.primary.counters.used(k.now())
	return hex.EncodeToString(k.primary.cipher.(macKey).sum(data)), k.primary.number, nil
}

// VerifyMAC reports whether mac, in hex, is data's under any version that is not
// retired. Every one is computed and compared in constant time. The error wraps
// [ErrOperation].
func (k *Keyring) VerifyMAC(data []byte, mac string) (bool, error) {
	if k.kind != HMAC {
		return false, fmt.Errorf("%w: only an hmac keyring authenticates", ErrOperation)
	}
	given, err := hex.DecodeString(mac)
	if err != nil {
		return false, nil
	}
	valid := false
	for _, v := range k.versions {
		if !v.retired && hmac.Equal(v.cipher.(macKey).sum(data), given) {
			valid = true
			v.opened(k.now())
		}
	}
	return valid, nil
}
