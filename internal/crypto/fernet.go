package crypto

import (
	"crypto/aes"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/fernet/fernet-go"
)

// The layout of a Fernet token (github.com/fernet/spec): version, time, IV,
// ciphertext in whole blocks, HMAC-SHA-256.
const (
	fernetTime     = 1 // offset
	fernetOverhead = 1 + 8 + aes.BlockSize + sha256.Size
	fernetSkew     = 60 * time.Second // how far ahead another machine's clock may be
	fernetLatest   = 253402300799     // the last second of the year 9999
)

// fernetKey seals and opens Fernet tokens. They carry no version: every key is
// tried.
type fernetKey struct{ key *fernet.Key }

func newFernet(key []byte) (fernetKey, error) {
	f := fernetKey{new(fernet.Key)}
	copy(f.key[:], key)
	return f, nil
}

func (f fernetKey) seal(plaintext, _ []byte, now time.Time) ([]byte, error) {
	return fernet.EncryptAndSignAtTime(plaintext, f.key, now)
}

// open verifies token and then decrypts it; its age is not judged here.
func (f fernetKey) open(token, _ []byte) ([]byte, error) {
	plaintext := fernet.VerifyAndDecrypt(token, 0, []*fernet.Key{f.key})
	if plaintext == nil {
		return nil, ErrDecrypt
	}
	return plaintext, nil
}

// openFernet opens a token by whichever key verifies it, newest first. With
// maxAge its time counts, as the spec says: not older than that, and not more
// than a minute ahead.
func (k *Keyring) openFernet(token string, maxAge time.Duration) ([]byte, int, error) {
	raw, ok := decode(urlBase64, token)
	if !ok || len(raw) <= fernetOverhead || (len(raw)-fernetOverhead)%aes.BlockSize != 0 {
		return nil, 0, ErrDecrypt // of another shape, which the library may not expect
	}
	for _, v := range k.versions {
		if v.retired {
			continue
		}
		plaintext, err := v.cipher.open([]byte(token), nil)
		if err != nil {
			continue
		}
		if maxAge > 0 && !young(raw, maxAge, k.now()) {
			return nil, 0, ErrDecrypt
		}
		v.opened(k.now())
		return plaintext, v.number, nil
	}
	return nil, 0, ErrNewer // as far as a token without a version tells
}

func young(raw []byte, maxAge time.Duration, now time.Time) bool {
	seconds := binary.BigEndian.Uint64(raw[fernetTime:])
	if seconds > fernetLatest {
		return false
	}
	sealed := time.Unix(int64(seconds), 0)
	return !now.After(sealed.Add(maxAge)) && !sealed.After(now.Add(fernetSkew))
}
