package crypto

import (
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/xaesgcm"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/secretdata"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// xaesSalt is the part of the 24-byte nonce that derives the message's key; with
// 12 bytes Tink's X-AES-GCM is C2SP's XAES-256-GCM.
const xaesSalt = 12

// xaes seals with XAES-256-GCM (c2sp.org/XAES-256-GCM): nonce, ciphertext, tag.
// Its nonces are so long that random ones may be drawn without counting.
type xaes struct{ aead tink.AEAD }

func newXAES(key []byte) (xaes, error) {
	parameters, err := xaesgcm.NewParameters(xaesgcm.VariantNoPrefix, xaesSalt)
	if err != nil {
		return xaes{}, err
	}
	made, err := xaesgcm.NewKey(secretdata.NewBytesFromData(key, insecuresecretdataaccess.Token{}), 0, parameters)
	if err != nil {
		return xaes{}, err
	}
	manager := keyset.NewManager()
	id, err := manager.AddKey(made)
	if err != nil {
		return xaes{}, err
	}
	if err := manager.SetPrimary(id); err != nil {
		return xaes{}, err
	}
	handle, err := manager.Handle()
	if err != nil {
		return xaes{}, err
	}
	primitive, err := aead.New(handle)
	return xaes{primitive}, err
}

func (x xaes) seal(plaintext, context []byte, _ time.Time) ([]byte, error) {
	return x.aead.Encrypt(plaintext, context)
}

func (x xaes) open(sealed, context []byte) ([]byte, error) { return x.aead.Decrypt(sealed, context) }
