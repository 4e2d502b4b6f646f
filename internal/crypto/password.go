package crypto

import (
	"cmp"
	"errors"
	"fmt"

	"golang.org/x/crypto/bcrypt"
)

// What is wrong with a password, a hash, or the cost asked for.
var (
	ErrPassword = errors.New("the password cannot be used")
	ErrHash     = errors.New("not a password hash that can be checked")
	ErrCost     = errors.New("no such way to hash a password")
)

// The algorithms of [HashPassword].
const (
	PBKDF2   = "pbkdf2-sha256"
	Argon2id = "argon2id"
	Bcrypt   = "bcrypt"
	Scrypt   = "scrypt"
)

// What a password may be, in bytes, and what PBKDF2 may cost.
const (
	MaxPassword       = 1024
	MaxBcryptPassword = 72 // bcrypt reads no further
	MinIterations     = 100_000
	DefaultIterations = 600_000
	MaxIterations     = 10_000_000
)

const saltSize, sumSize = 16, 32 // bytes of new hashes

// The costs of new hashes, as OWASP's password storage cheat sheet has them:
// about a tenth of a second each.
var (
	newArgon2 = argon2Cost{memory: 19456, passes: 2, lanes: 1}
	newScrypt = scryptCost{logN: 15, r: 8, p: 3}
	newBcrypt = bcryptCost{minor: 'a', cost: 12}
)

// PasswordOptions say how a password is hashed. The zero value is PBKDF2 with
// [DefaultIterations].
type PasswordOptions struct {
	Algorithm  string // empty: PBKDF2
	Iterations int    // of PBKDF2, MinIterations to MaxIterations; zero: DefaultIterations
}

// HashPassword returns a hash of password to store, which [ParsePasswordHash]
// reads. The error is an ErrPassword for one that is empty or too long, else an
// ErrCost. It takes long on purpose: see [Workers].
func HashPassword(password string, o PasswordOptions) (string, error) {
	var s scheme
	switch algorithm := cmp.Or(o.Algorithm, PBKDF2); {
	case algorithm != PBKDF2 && o.Iterations != 0:
		return "", fmt.Errorf("%w: iterations are of pbkdf2-sha256 only", ErrCost)
	case algorithm == PBKDF2:
		iterations := cmp.Or(o.Iterations, DefaultIterations)
		if iterations < MinIterations || iterations > MaxIterations {
			return "", fmt.Errorf("%w: iterations must be %d to %d", ErrCost, MinIterations, MaxIterations)
		}
		s = pbkdf2Cost{form: formPHC, iterations: iterations}
	case algorithm == Argon2id:
		s = newArgon2
	case algorithm == Scrypt:
		s = newScrypt
	case algorithm == Bcrypt:
		if err := checkPassword(password, newBcrypt); err != nil {
			return "", err
		}
		text, err := bcrypt.GenerateFromPassword([]byte(password), newBcrypt.cost)
		return string(text), err
	default:
		return "", fmt.Errorf("%w: the algorithms are pbkdf2-sha256, argon2id, bcrypt and scrypt", ErrCost)
	}
	if err := checkPassword(password, s); err != nil {
		return "", err
	}
	salt := random(saltSize)
	sum, err := s.(deriver).derive(password, salt, sumSize)
	if err != nil {
		return "", fmt.Errorf("hash a password: %w", err)
	}
	return s.encode(salt, sum), nil
}

// checkPassword refuses what no hash can be of. To cut a long one would let
// others in that begin alike.
func checkPassword(password string, s scheme) error {
	switch {
	case password == "":
		return fmt.Errorf("%w: it is empty", ErrPassword)
	case len(password) > s.longest():
		return fmt.Errorf("%w: it is longer than %d bytes", ErrPassword, s.longest())
	}
	return nil
}

// PasswordHash is a hash to check passwords against. It does not print itself.
type PasswordHash struct {
	scheme    scheme
	salt, sum []byte
}

// Verify reports whether password is the one hashed. An ErrPassword says that it
// could not be. It takes as long as hashing: see [Workers].
func (h *PasswordHash) Verify(password string) (bool, error) {
	if err := checkPassword(password, h.scheme); err != nil {
		return false, err
	}
	return h.scheme.matches(password, h.salt, h.sum)
}

// NeedsRehash reports whether [HashPassword] would make a stronger hash of the
// same algorithm, or write it in another form: then hash the password anew when
// it is next there.
func (h *PasswordHash) NeedsRehash() bool {
	return len(h.salt) < saltSize || len(h.sum) < min(sumSize, h.scheme.size()) || h.scheme.outdated()
}

// Text returns the text that the hash was read from.
func (h *PasswordHash) Text() string { return h.scheme.encode(h.salt, h.sum) }

// String shows the algorithm and its cost.
func (h PasswordHash) String() string { return fmt.Sprintf("password hash %v", h.scheme) }

// Format writes String, whatever the verb.
func (h PasswordHash) Format(f fmt.State, _ rune) { fmt.Fprint(f, h.String()) }
