package crypto

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// Bounds on what a hash may ask for: what it says would otherwise decide how
// long the gateway computes, and with how much memory.
const (
	maxHashText = 512 // bytes

	minSalt, maxSalt = 8, 64
	minSum, maxSum   = 16, 64

	maxMemory = 256 << 10     // KiB at once, of Argon2id and scrypt
	maxWork   = 4 * maxMemory // KiB passed over in all
	maxLanes  = 16

	minBcryptCost, maxBcryptCost = 4, 15
	bcryptSalt, bcryptSum        = 16, 23 // bytes
)

// ParsePasswordHash reads a hash in one of the forms
//
//	$pbkdf2-sha256$i=600000$salt$hash                (PHC, ours)
//	$argon2id$v=19$m=19456,t=2,p=1$salt$hash         (PHC)
//	$scrypt$ln=15,r=8,p=3$salt$hash                  (PHC)
//	$2b$12$salthash                                  (bcrypt; 2a and 2y too)
//	$pbkdf2-sha256$29000$salt$hash                   (passlib; sha512 too)
//	pbkdf2_sha256$870000$salt$hash                   (Django)
//
// and with parameters that can be paid: PBKDF2 at most [MaxIterations], Argon2id
// and scrypt at most 256 MiB and 1 GiB of work, bcrypt at most 2^15 rounds. All
// else is an ErrHash.
func ParsePasswordHash(text string) (*PasswordHash, error) {
	if len(text) > maxHashText {
		return nil, fmt.Errorf("%w: it is longer than %d bytes", ErrHash, maxHashText)
	}
	h, problem := parseHash(text)
	if problem != "" {
		return nil, fmt.Errorf("%w: %s", ErrHash, problem)
	}
	if h.Text() != text { // a leading zero, a line break in base64
		return nil, fmt.Errorf("%w: it is not in its one form", ErrHash)
	}
	return h, nil
}

func parseHash(text string) (h *PasswordHash, problem string) {
	parts := strings.Split(text, "$")
	name := parts[0]
	if name == "" && len(parts) > 1 {
		name = parts[1]
	}
	switch {
	case name == "pbkdf2_sha256" && len(parts) == 4:
		return parsePBKDF2(formDjango, parts[1], parts[2], parts[3])
	case parts[0] != "":
	case name == "pbkdf2-sha512" && len(parts) == 5:
		return parsePBKDF2(formPasslib512, parts[2], parts[3], parts[4])
	case name == "pbkdf2-sha256" && len(parts) == 5:
		if number, ok := strings.CutPrefix(parts[2], "i="); ok {
			return parsePBKDF2(formPHC, number, parts[3], parts[4])
		}
		return parsePBKDF2(formPasslib, parts[2], parts[3], parts[4])
	case name == "argon2id" && len(parts) == 6 && parts[2] == "v=19":
		return parseArgon2(parts[3], parts[4], parts[5])
	case name == "scrypt" && len(parts) == 5:
		return parseScrypt(parts[2], parts[3], parts[4])
	case len(name) == 2 && name[0] == '2' && strings.IndexByte("aby", name[1]) >= 0 && len(parts) == 4:
		return parseBcrypt(name[1], parts[2], parts[3])
	}
	return nil, "it is in none of the known forms"
}

func parsePBKDF2(form int, number, salt, sum string) (*PasswordHash, string) {
	c := pbkdf2Cost{form: form}
	var ok bool
	if c.iterations, ok = parameter(number, "", MaxIterations); !ok {
		return nil, fmt.Sprintf("its iterations are not 1 to %d", MaxIterations)
	}
	encoding := phcBase64
	switch form {
	case formPasslib, formPasslib512:
		encoding = passlibBase64
	case formDjango:
		if len(salt) < minSalt || len(salt) > maxSalt || strings.ContainsFunc(salt, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return nil, saltProblem
		}
		return parsed(c, []byte(salt), djangoBase64, sum)
	}
	return decoded(c, encoding, salt, sum)
}

func parseArgon2(parameters, salt, sum string) (*PasswordHash, string) {
	m, t, p, ok := three(parameters, [3]string{"m=", "t=", "p="}, [3]int{maxMemory, maxWork, maxLanes})
	if !ok || m < 8*p || m*t > maxWork { // RFC 9106, section 3.1
		return nil, "its parameters are out of bounds"
	}
	return decoded(argon2Cost{memory: m, passes: t, lanes: p}, phcBase64, salt, sum)
}

func parseScrypt(parameters, salt, sum string) (*PasswordHash, string) {
	ln, r, p, ok := three(parameters, [3]string{"ln=", "r=", "p="}, [3]int{24, 64, maxWork})
	c := scryptCost{logN: ln, r: r, p: p}
	if !ok || c.memory() > maxMemory<<10 || c.memory()*p > maxWork<<10 {
		return nil, "its parameters are out of bounds"
	}
	return decoded(c, phcBase64, salt, sum)
}

func parseBcrypt(minor byte, cost, rest string) (*PasswordHash, string) {
	n, err := strconv.Atoi(cost)
	if err != nil || n < minBcryptCost || n > maxBcryptCost {
		return nil, fmt.Sprintf("its cost is not %d to %d", minBcryptCost, maxBcryptCost)
	}
	split := bcryptBase64.EncodedLen(bcryptSalt)
	if len(rest) != split+bcryptBase64.EncodedLen(bcryptSum) {
		return nil, "its length is not bcrypt's"
	}
	return decoded(bcryptCost{minor: minor, cost: n}, bcryptBase64, rest[:split], rest[split:])
}

const saltProblem = "its salt is not good"

func decoded(s scheme, encoding *base64.Encoding, salt, sum string) (*PasswordHash, string) {
	b, err := encoding.DecodeString(salt)
	if err != nil || len(b) < minSalt || len(b) > maxSalt {
		return nil, saltProblem
	}
	return parsed(s, b, encoding, sum)
}

func parsed(s scheme, salt []byte, encoding *base64.Encoding, sum string) (*PasswordHash, string) {
	b, err := encoding.DecodeString(sum)
	fixed := false // PBKDF2 and bcrypt have one length
	switch s.(type) {
	case pbkdf2Cost, bcryptCost:
		fixed = true
	}
	if err != nil || len(b) < minSum || len(b) > maxSum || fixed && len(b) != s.size() {
		return nil, "its hash is not good"
	}
	return &PasswordHash{scheme: s, salt: salt, sum: b}, ""
}

// parameter reads a number from 1 to highest after its name.
func parameter(text, name string, highest int) (int, bool) {
	digits, ok := strings.CutPrefix(text, name)
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil && n >= 1 && n <= highest
}

// three reads three named parameters with commas between them.
func three(text string, names [3]string, highest [3]int) (a, b, c int, ok bool) {
	parts := strings.Split(text, ",")
	if len(parts) != len(names) {
		return 0, 0, 0, false
	}
	var numbers [3]int
	for i, name := range names {
		if numbers[i], ok = parameter(parts[i], name, highest[i]); !ok {
			return 0, 0, 0, false
		}
	}
	return numbers[0], numbers[1], numbers[2], true
}
