package crypto

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Why a keyring did not do what it was asked. ErrDecrypt is one and the same
// whatever was wrong with the ciphertext, so that its answers are no oracle.
var (
	ErrDecrypt   = errors.New("decryption failed")
	ErrNewer     = fmt.Errorf("%w: no key that is known is its own", ErrDecrypt) // worth reading the keyring anew
	ErrExhausted = errors.New("the key has sealed as often as it may: rotate the keyring")
	ErrOperation = errors.New("the keyring's type cannot do this")
)

// Keyring seals with its primary key and opens with every key that is not
// retired. It never changes: a new document makes a new one. It is safe for use
// by many goroutines at once.
type Keyring struct {
	kind     Type
	primary  *version
	versions []*version // newest first
	now      func() time.Time
	near     func(version int)
}

// version is one key, made ready.
type version struct {
	number   int
	created  time.Time
	retired  bool
	cipher   sealer
	counters *counters
}

// sealer is what a key does. context is the additional data.
type sealer interface {
	seal(plaintext, context []byte, now time.Time) ([]byte, error)
	open(sealed, context []byte) ([]byte, error)
}

// KeyringOptions tune a Keyring. The zero value is ready for use.
type KeyringOptions struct {
	Usage *Usage            // where its keys are counted; nil: nowhere that lasts
	Near  func(version int) // told once when a key has sealed NonceWarning times; nil: nobody is
	Now   func() time.Time  // nil means time.Now
}

// NewKeyring returns the keyring that d describes.
func NewKeyring(t Type, d Document, o KeyringOptions) (*Keyring, error) {
	k := &Keyring{kind: t, now: o.Now, near: o.Near}
	if k.now == nil {
		k.now = time.Now
	}
	if k.near == nil {
		k.near = func(int) {}
	}
	for number, v := range d.Versions {
		made, err := newSealer(t, v.key)
		if err != nil {
			return nil, fmt.Errorf("keyring version %d: %w", number, err)
		}
		k.versions = append(k.versions, &version{number, v.Created, v.Retired, made, o.Usage.of(t, v.key)})
	}
	slices.SortFunc(k.versions, func(a, b *version) int { return cmp.Compare(b.number, a.number) })
	if k.primary = k.version(d.Primary); k.primary == nil {
		return nil, fmt.Errorf("%w: primary is none of its versions", ErrDocument)
	}
	return k, nil
}

func newSealer(t Type, key []byte) (sealer, error) {
	switch t {
	case Fernet:
		return newFernet(key)
	case AES256GCM:
		return newAESGCM(key)
	case XAES256:
		return newXAES(key)
	case HMAC:
		return newMAC(key)
	}
	return nil, fmt.Errorf("keyring type %.20q is unknown", t)
}

func (k *Keyring) version(number int) *version {
	for _, v := range k.versions {
		if v.number == number {
			return v
		}
	}
	return nil
}

// Type is the keyring's type.
func (k *Keyring) Type() Type { return k.kind }

// Encrypt seals plaintext, of any bytes and none too, with the primary key.
// context is authenticated with it and must be given again to open it; Fernet
// has no place for one. Its errors wrap ErrOperation and ErrExhausted.
func (k *Keyring) Encrypt(plaintext, context []byte) (ciphertext string, version int, err error) {
	switch {
	case k.kind == HMAC:
		return "", 0, fmt.Errorf("%w: an hmac keyring encrypts nothing", ErrOperation)
	case k.kind == Fernet && len(context) > 0:
		return "", 0, fmt.Errorf("%w: a Fernet token has no context", ErrOperation)
	}
	p := k.primary
	switch count := p.counters.sealed.Add(1); {
	case k.kind != AES256GCM: // which alone has a bound
	case count > NonceBound:
		p.counters.sealed.Add(^uint64(0))
		return "", 0, ErrExhausted
	case count == NonceWarning:
		k.near(p.number)
	}
	now := k.now()
	sealed, err := p.cipher.seal(plaintext, context, now)
	if err != nil {
		return "", 0, err
	}
	p.counters.used(now)
	if k.kind == Fernet {
		return string(sealed), p.number, nil
	}
	return writeSealed(p.number, sealed), p.number, nil
}

// DecryptOptions say what a ciphertext must be to be opened.
type DecryptOptions struct {
	Context []byte        // as it was given to Encrypt
	MaxAge  time.Duration // of a Fernet token; zero: any age
}

// Decrypt opens what Encrypt sealed under any version that is not retired, and
// returns that version. Whatever is wrong with the ciphertext the error is
// [ErrDecrypt]; one that wraps ErrOperation is about the question.
func (k *Keyring) Decrypt(ciphertext string, o DecryptOptions) (plaintext []byte, version int, err error) {
	switch {
	case k.kind == HMAC:
		return nil, 0, fmt.Errorf("%w: an hmac keyring decrypts nothing", ErrOperation)
	case k.kind == Fernet && len(o.Context) > 0:
		return nil, 0, fmt.Errorf("%w: a Fernet token has no context", ErrOperation)
	case k.kind != Fernet && o.MaxAge != 0:
		return nil, 0, fmt.Errorf("%w: only a Fernet token tells its age", ErrOperation)
	case o.MaxAge < 0:
		return nil, 0, fmt.Errorf("%w: an age cannot be negative", ErrOperation)
	case k.kind == Fernet:
		return k.openFernet(ciphertext, o.MaxAge)
	}
	number, sealed, ok := readSealed(ciphertext)
	if !ok {
		return nil, 0, ErrDecrypt
	}
	v := k.version(number)
	switch {
	case v == nil && number > k.versions[0].number:
		return nil, 0, ErrNewer
	case v == nil || v.retired:
		return nil, 0, ErrDecrypt
	}
	plaintext, err = v.cipher.open(sealed, o.Context)
	if err != nil {
		return nil, 0, ErrDecrypt
	}
	v.opened(k.now())
	return plaintext, number, nil
}

func (v *version) opened(now time.Time) {
	v.counters.opened.Add(1)
	v.counters.used(now)
}

// Rewrap seals anew with the primary key what ciphertext holds. The plaintext
// is not returned.
func (k *Keyring) Rewrap(ciphertext string, context []byte) (string, int, error) {
	plaintext, _, err := k.Decrypt(ciphertext, DecryptOptions{Context: context})
	if err != nil {
		return "", 0, err
	}
	defer clear(plaintext)
	return k.Encrypt(plaintext, context)
}

// Status tells of every version, newest first.
func (k *Keyring) Status() []VersionStatus {
	list := make([]VersionStatus, len(k.versions))
	for i, v := range k.versions {
		list[i] = VersionStatus{
			Version: v.number, Primary: v == k.primary, Retired: v.retired, Created: v.created,
			Sealed: v.counters.sealed.Load(), Opened: v.counters.opened.Load(),
		}
		if seen := v.counters.seen.Load(); seen != 0 {
			list[i].LastSeen = time.Unix(0, seen).UTC()
		}
	}
	return list
}
