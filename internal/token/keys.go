package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/subtle"
	"fmt"
	"math/big"
	"slices"
)

const (
	minHMAC = 32   // bytes (RFC 7518, section 3.2, for HS256)
	minRSA  = 2048 // bits (RFC 7518, section 3.3)
	maxRSA  = 8192 // bits; verifying with a longer modulus is a way to burn CPU
)

// Key verifies signatures. Its zero value verifies none.
type Key struct {
	ID         string   // kid; empty: the key fits any token
	Algorithms []string // those it may be used with; not to be changed

	held holder
}

// holder gives key material: []byte, *rsa.PublicKey, *ecdsa.PublicKey or
// ed25519.PublicKey; for a Signer the private one. It is a function, of which
// every formatting verb shows an address: behind a pointer, %s in a struct that
// holds a Key would show the bytes.
type holder func() any

func hold(key any) holder { return func() any { return key } }

// String shows the type and the id.
func (k Key) String() string {
	name := "no key"
	if k.held != nil {
		name = typeName(k.held()) + " key"
	}
	if k.ID == "" {
		return name
	}
	return fmt.Sprintf("%s %q", name, k.ID)
}

// Format writes String whatever the verb, since %d or %x would go around it.
func (k Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, k.String()) }

// Same reports whether both are the same key, whatever their ids.
func (k Key) Same(other Key) bool {
	if k.held == nil || other.held == nil {
		return false
	}
	switch mine := k.held().(type) {
	case []byte:
		theirs, ok := other.held().([]byte)
		return ok && subtle.ConstantTimeCompare(mine, theirs) == 1
	case interface{ Equal(crypto.PublicKey) bool }:
		return mine.Equal(other.held())
	}
	return false
}

// KeyOptions say what the operator wrote beside a key.
type KeyOptions struct {
	ID        string   // kid; empty: the one in the JWK, or none
	Algorithm string   // the one algorithm of the key; empty: see Accept
	Accept    []string // without Algorithm: those of these that fit; without both the JWK's alg, or the usual one for the type
}

// Skipped is a key that is not used, and why.
type Skipped struct{ ID, Reason string }

// ParseKeys reads what an operator stores to verify tokens with: HMAC bytes as
// they stand or as base64:…, PEM (a public key, a certificate, or a private key,
// of which the public half is taken), a JWK or a JWKS.
//
// The algorithm is the one named; else those of Accept that fit; else the JWK's;
// else HS256, RS256, ES256/384/512 by curve, EdDSA. Of a JWKS the keys that do
// not serve are skipped, and an ID picks the key of that kid; a single key that
// does not serve is an error, of kind ErrWeakKey or ErrAlgorithm where it is
// one. No error quotes the material.
func ParseKeys(material []byte, o KeyOptions) (keys []Key, skipped []Skipped, err error) {
	if err := checkKeyID(o.ID); err != nil {
		return nil, nil, fmt.Errorf("key: %w", err)
	}
	switch formOf(material) {
	case formJSON:
		return parseStoredJSON(material, o)
	case formPEM:
		found, err := decodePEM(material)
		if err != nil {
			return nil, nil, fmt.Errorf("key: %w", err)
		}
		return single(publicHalf(found), o)
	}
	secret, err := decodeHMAC(material)
	if err != nil {
		return nil, nil, fmt.Errorf("key: %w", err)
	}
	return single(secret, o)
}

func single(public any, o KeyOptions) ([]Key, []Skipped, error) {
	k, err := newKey(public, o)
	if err != nil {
		return nil, nil, fmt.Errorf("key: %w", err)
	}
	return []Key{k}, nil, nil
}

// newKey is the one way a Key comes to be.
func newKey(public any, o KeyOptions) (Key, error) {
	if err := checkStrength(public); err != nil {
		return Key{}, err
	}
	algorithms, err := choose(public, o)
	if err != nil {
		return Key{}, err
	}
	return Key{ID: o.ID, Algorithms: algorithms, held: hold(public)}, nil
}

// choose decides which algorithms a key may be used with.
func choose(public any, o KeyOptions) ([]string, error) {
	fit := fitting(public)
	switch {
	case len(fit) == 0:
		return nil, fmt.Errorf("%w: none for a key of type %s", ErrAlgorithm, typeName(public))
	case o.Algorithm != "" && !slices.Contains(fit, o.Algorithm):
		return nil, fmt.Errorf("%w: %.16q with a key of type %s", ErrAlgorithm, o.Algorithm, typeName(public))
	case o.Algorithm != "":
		return []string{o.Algorithm}, nil
	case len(o.Accept) == 0:
		return fit[:1:1], nil
	}
	accepted := slices.DeleteFunc(fit, func(alg string) bool { return !slices.Contains(o.Accept, alg) })
	if len(accepted) == 0 {
		return nil, fmt.Errorf("%w: none of those accepted fits a key of type %s", ErrAlgorithm, typeName(public))
	}
	return accepted, nil
}

// fitting returns the algorithms that a key's type and curve allow, the usual
// one first (RFC 7518, section 3.1; RFC 8037, section 3.1).
func fitting(public any) []string {
	switch k := public.(type) {
	case []byte:
		return []string{"HS256", "HS384", "HS512"}
	case *rsa.PublicKey:
		return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return []string{"ES256"}
		case elliptic.P384():
			return []string{"ES384"}
		case elliptic.P521():
			return []string{"ES512"}
		}
	case ed25519.PublicKey:
		return []string{"EdDSA"}
	}
	return nil
}

func typeName(public any) string {
	switch k := public.(type) {
	case []byte:
		return "HMAC"
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA-%d", k.N.BitLen())
	case *ecdsa.PublicKey:
		return k.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return "unknown"
}

func checkStrength(public any) error {
	switch k := public.(type) {
	case []byte:
		if len(k) < minHMAC {
			return fmt.Errorf("%w: an HMAC key needs at least %d bytes", ErrWeakKey, minHMAC)
		}
	case *rsa.PublicKey:
		bits := k.N.BitLen()
		switch {
		case bits < minRSA || bits > maxRSA:
			return fmt.Errorf("%w: RSA of %d bits, not %d to %d", ErrWeakKey, bits, minRSA, maxRSA)
		case k.E < 3 || k.E&1 == 0 || k.E > 1<<31-1:
			return fmt.Errorf("%w: RSA with an exponent that is even, below 3 or over 31 bits", ErrWeakKey)
		case k.N.Bit(0) == 0:
			return fmt.Errorf("%w: RSA with an even modulus", ErrWeakKey)
		case roca(k.N):
			return fmt.Errorf("%w: RSA with the mark of CVE-2017-15361 (ROCA)", ErrWeakKey)
		}
	}
	return nil
}

// roca reports whether the modulus bears the mark of the Infineon library of
// CVE-2017-15361: its primes are powers of 65537 modulo each small prime, and so
// is their product. For moduli of 2048 bits and more the small primes go up to
// 701 at least. A healthy modulus fails this within a few of them.
func roca(n *big.Int) bool {
	for p := uint64(3); p <= 701; p += 2 {
		if !big.NewInt(int64(p)).ProbablyPrime(0) {
			continue
		}
		rest := new(big.Int).Mod(n, new(big.Int).SetUint64(p)).Uint64()
		power := uint64(1)
		for power != rest {
			if power = power * 65537 % p; power == 1 {
				return false // came around without meeting it
			}
		}
	}
	return true
}

// publicHalf returns the part that verifies.
func publicHalf(key any) any {
	if private, ok := key.(crypto.Signer); ok {
		return private.Public()
	}
	return key
}
