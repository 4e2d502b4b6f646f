package crypto

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/scrypt"
)

// scheme is an algorithm with its cost, and the form its hashes are written in.
type scheme interface {
	matches(password string, salt, sum []byte) (bool, error)
	encode(salt, sum []byte) string
	outdated() bool // weaker than a new hash, or in another form
	longest() int   // bytes of a password
	size() int      // bytes of a new hash's sum
}

// deriver is a scheme that hashes with a salt it is given.
type deriver interface {
	derive(password string, salt []byte, size int) ([]byte, error)
}

// derived compares in constant time.
func derived(d deriver, password string, salt, sum []byte) (bool, error) {
	got, err := d.derive(password, salt, len(sum))
	if err != nil {
		return false, fmt.Errorf("check a password: %w", err)
	}
	return subtle.ConstantTimeCompare(got, sum) == 1, nil
}

// The base64 of the forms, none of which takes stray bits.
var (
	phcBase64     = base64.RawStdEncoding.Strict()
	djangoBase64  = base64.StdEncoding.Strict()
	passlibBase64 = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789./").WithPadding(base64.NoPadding).Strict()
	bcryptBase64  = base64.NewEncoding("./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789").WithPadding(base64.NoPadding).Strict()
)

// The forms of a PBKDF2 hash.
const (
	formPHC        = iota // $pbkdf2-sha256$i=600000$salt$hash
	formPasslib           // $pbkdf2-sha256$29000$salt$hash, with . for + in its base64
	formDjango            // pbkdf2_sha256$870000$salt$hash, the salt as it stands
	formPasslib512        // $pbkdf2-sha512$25000$salt$hash
)

// pbkdf2Cost is PBKDF2 (RFC 8018, section 5.2) over HMAC-SHA-256, or SHA-512.
type pbkdf2Cost struct{ form, iterations int }

func (c pbkdf2Cost) derive(password string, salt []byte, size int) ([]byte, error) {
	var digest func() hash.Hash = sha256.New
	if c.form == formPasslib512 {
		digest = sha512.New
	}
	return pbkdf2.Key(digest, password, salt, c.iterations, size)
}

func (c pbkdf2Cost) matches(password string, salt, sum []byte) (bool, error) {
	return derived(c, password, salt, sum)
}

func (c pbkdf2Cost) encode(salt, sum []byte) string {
	switch c.form {
	case formPasslib:
		return fmt.Sprintf("$pbkdf2-sha256$%d$%s$%s", c.iterations, passlibBase64.EncodeToString(salt), passlibBase64.EncodeToString(sum))
	case formPasslib512:
		return fmt.Sprintf("$pbkdf2-sha512$%d$%s$%s", c.iterations, passlibBase64.EncodeToString(salt), passlibBase64.EncodeToString(sum))
	case formDjango:
		return fmt.Sprintf("pbkdf2_sha256$%d$%s$%s", c.iterations, salt, djangoBase64.EncodeToString(sum))
	}
	return fmt.Sprintf("$pbkdf2-sha256$i=%d$%s$%s", c.iterations, phcBase64.EncodeToString(salt), phcBase64.EncodeToString(sum))
}

func (c pbkdf2Cost) outdated() bool { return c.form != formPHC || c.iterations < DefaultIterations }
func (c pbkdf2Cost) longest() int   { return MaxPassword }

func (c pbkdf2Cost) size() int {
	if c.form == formPasslib512 {
		return sha512.Size
	}
	return sha256.Size
}

// argon2Cost is Argon2id, version 19 (RFC 9106).
type argon2Cost struct{ memory, passes, lanes int } // memory in KiB

func (c argon2Cost) derive(password string, salt []byte, size int) ([]byte, error) {
	return argon2.IDKey([]byte(password), salt, uint32(c.passes), uint32(c.memory), uint8(c.lanes), uint32(size)), nil
}

func (c argon2Cost) matches(password string, salt, sum []byte) (bool, error) {
	return derived(c, password, salt, sum)
}

func (c argon2Cost) encode(salt, sum []byte) string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, c.memory, c.passes, c.lanes, phcBase64.EncodeToString(salt), phcBase64.EncodeToString(sum))
}

func (c argon2Cost) outdated() bool {
	return c.memory < newArgon2.memory || c.memory*c.passes < newArgon2.memory*newArgon2.passes
}

func (c argon2Cost) longest() int { return MaxPassword }
func (c argon2Cost) size() int    { return sumSize }

// scryptCost is scrypt (RFC 7914): N is 2 to the power of logN.
type scryptCost struct{ logN, r, p int }

func (c scryptCost) memory() int { return 128 * c.r << c.logN } // bytes

func (c scryptCost) derive(password string, salt []byte, size int) ([]byte, error) {
	return scrypt.Key([]byte(password), salt, 1<<c.logN, c.r, c.p, size)
}

func (c scryptCost) matches(password string, salt, sum []byte) (bool, error) {
	return derived(c, password, salt, sum)
}

func (c scryptCost) encode(salt, sum []byte) string {
	return fmt.Sprintf("$scrypt$ln=%d,r=%d,p=%d$%s$%s", c.logN, c.r, c.p, phcBase64.EncodeToString(salt), phcBase64.EncodeToString(sum))
}

func (c scryptCost) outdated() bool {
	return c.memory() < newScrypt.memory() || c.memory()*c.p < newScrypt.memory()*newScrypt.p
}

func (c scryptCost) longest() int { return MaxPassword }
func (c scryptCost) size() int    { return sumSize }

// bcryptCost is bcrypt: $2a$, $2b$ and $2y$ are the same up to 72 bytes.
type bcryptCost struct {
	minor byte
	cost  int
}

func (c bcryptCost) matches(password string, salt, sum []byte) (bool, error) {
	err := bcrypt.CompareHashAndPassword([]byte(c.encode(salt, sum)), []byte(password))
	if errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
		return false, nil
	}
	return err == nil, err
}

func (c bcryptCost) encode(salt, sum []byte) string {
	return fmt.Sprintf("$2%c$%02d$%s%s", c.minor, c.cost, bcryptBase64.EncodeToString(salt), bcryptBase64.EncodeToString(sum))
}

func (c bcryptCost) outdated() bool { return c.cost < newBcrypt.cost }
func (c bcryptCost) longest() int   { return MaxBcryptPassword }
func (c bcryptCost) size() int      { return bcryptSum }
