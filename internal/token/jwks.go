package token

import (
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// MaxKeys bounds the keys of one JWKS.
const MaxKeys = 100

// ParseJWKS reads the key set that an issuer publishes (RFC 7517, section 5).
// It is an error when doc is no such set at all. A key in it that must not or
// cannot verify tokens is skipped, and so is every key of a kid that stands for
// different keys. RSA keys without alg may be used with all of RS* and PS*.
func ParseJWKS(doc []byte) (keys []Key, skipped []Skipped, err error) {
	object, err := readObject(doc, maxSetValues)
	if err != nil {
		return nil, nil, fmt.Errorf("key set: %w", err)
	}
	entries, err := setEntries(object)
	if err != nil {
		return nil, nil, err
	}
	keys, skipped = parseEntries(entries, publishedKey)
	return keys, skipped, nil
}

// publishedKey takes a key that anyone may read.
func publishedKey(w webKey) (Key, error) {
	switch {
	case w.kind == "oct":
		return Key{}, errors.New("is a symmetric key, and published")
	case w.private:
		return Key{}, errors.New("has private parts, and is published")
	}
	public, err := w.public()
	if err != nil {
		return Key{}, err
	}
	return newKey(public, KeyOptions{ID: w.id, Algorithm: w.algorithm, Accept: fitting(public)})
}

// parseStoredJSON reads a JWK or JWKS from the secret store, where a symmetric
// or a private key is at home.
func parseStoredJSON(doc []byte, o KeyOptions) ([]Key, []Skipped, error) {
	object, err := readObject(doc, maxSetValues)
	if err != nil {
		return nil, nil, fmt.Errorf("key: %w", err)
	}
	if _, set := object["keys"]; !set {
		w, err := readWebKey(object)
		if err != nil {
			return nil, nil, fmt.Errorf("key: %w", err)
		}
		k, err := storedKey(w, o)
		if err != nil {
			return nil, nil, fmt.Errorf("key: %w", err)
		}
		return []Key{k}, nil, nil
	}
	entries, err := setEntries(object)
	if err != nil {
		return nil, nil, err
	}
	keys, skipped := parseEntries(entries, func(w webKey) (Key, error) {
		if o.ID != "" && w.id != "" && w.id != o.ID {
			return Key{}, errors.New("is not of the kid that was asked for")
		}
		return storedKey(w, o)
	})
	if len(keys) == 0 {
		return nil, skipped, fmt.Errorf("key set has no key that serves%s", firstReason(skipped))
	}
	return keys, skipped, nil
}

func storedKey(w webKey, o KeyOptions) (Key, error) {
	public, err := w.public()
	if err != nil {
		return Key{}, err
	}
	if w.algorithm != "" && o.Algorithm != "" && w.algorithm != o.Algorithm {
		return Key{}, fmt.Errorf("%w: the JWK says %.16q, and the entry %.16q", ErrAlgorithm, w.algorithm, o.Algorithm)
	}
	if w.algorithm != "" {
		o.Algorithm = w.algorithm
	}
	if o.ID == "" {
		o.ID = w.id
	}
	return newKey(public, o)
}

func firstReason(skipped []Skipped) string {
	if len(skipped) == 0 {
		return ""
	}
	return fmt.Sprintf("; the first, %q, %s", skipped[0].ID, skipped[0].Reason)
}

func setEntries(object map[string]any) ([]any, error) {
	entries, ok := object["keys"].([]any)
	if !ok {
		return nil, errors.New(`key set has no array "keys"`)
	}
	if len(entries) > MaxKeys {
		return nil, fmt.Errorf("key set has over %d keys", MaxKeys)
	}
	return entries, nil
}

func parseEntries(entries []any, take func(webKey) (Key, error)) (keys []Key, skipped []Skipped) {
	for _, entry := range entries {
		object, ok := entry.(map[string]any)
		if !ok {
			skipped = append(skipped, Skipped{Reason: "is not a JSON object"})
			continue
		}
		w, err := readWebKey(object)
		if err != nil {
			skipped = append(skipped, Skipped{w.id, err.Error()})
			continue
		}
		k, err := take(w)
		if err != nil {
			skipped = append(skipped, Skipped{w.id, err.Error()})
			continue
		}
		keys = append(keys, k)
	}
	return refuseAmbiguous(keys, skipped)
}

// refuseAmbiguous skips the keys of each kid that stands for different keys:
// taking the first or the last would let the order decide. The same key twice is
// one key, for the algorithms of both.
func refuseAmbiguous(keys []Key, skipped []Skipped) ([]Key, []Skipped) {
	var kept []Key
	bad := make(map[string]bool)
	for _, k := range keys {
		i := slices.IndexFunc(kept, func(other Key) bool { return k.ID != "" && other.ID == k.ID })
		switch {
		case i < 0:
			kept = append(kept, k)
		case kept[i].Same(k):
			both := slices.Concat(kept[i].Algorithms, k.Algorithms)
			slices.Sort(both)
			kept[i].Algorithms = slices.Compact(both)
		default:
			bad[k.ID] = true
		}
	}
	kept = slices.DeleteFunc(kept, func(k Key) bool { return bad[k.ID] })
	for _, k := range keys {
		if bad[k.ID] {
			skipped = append(skipped, Skipped{k.ID, "has a kid that stands for different keys"})
		}
	}
	return kept, skipped
}

// webKey is one JWK, its members checked but for the key itself.
type webKey struct {
	id, algorithm string
	kind          string // kty
	private       bool   // has the private half too
	members       map[string]string
}

// keyMembers are the members that hold the key, by kty (RFC 7518, section 6; RFC
// 8037, section 2): the public ones, then the private ones. All else that a JWK
// may have, certificates too, is left alone.
var keyMembers = map[string]struct{ public, private []string }{
	"RSA": {[]string{"n", "e"}, []string{"d", "p", "q", "dp", "dq", "qi"}},
	"EC":  {[]string{"crv", "x", "y"}, []string{"d"}},
	"OKP": {[]string{"crv", "x"}, []string{"d"}},
	"oct": {[]string{"k"}, nil},
}

// readWebKey returns the id beside an error too, where there is one to tell.
func readWebKey(object map[string]any) (w webKey, err error) {
	if w.id, err = keyID(object); err != nil {
		w.id = ""
		return w, err
	}
	if w.kind, err = optionalString(object, "kty"); err != nil {
		return w, err
	}
	names, known := keyMembers[w.kind]
	if !known {
		return w, fmt.Errorf("has a kty that is not read: %.16q", w.kind)
	}
	if w.algorithm, err = optionalString(object, "alg"); err != nil {
		return w, err
	}
	if w.algorithm != "" && !KnownAlgorithm(w.algorithm) {
		return w, fmt.Errorf("has an alg that is not for signing, or not known: %.16q", w.algorithm)
	}
	w.members = map[string]string{"kty": w.kind}
	for _, name := range slices.Concat(names.public, names.private) {
		value, err := optionalString(object, name)
		if err != nil {
			return w, err
		}
		if _, present := object[name]; !present {
			continue
		}
		if name != "crv" {
			if decoded, err := decodeSegment(value); err != nil || len(decoded) == 0 {
				return w, fmt.Errorf("has a %q that is not strict base64url", name)
			}
		}
		w.members[name] = value
		w.private = w.private || slices.Contains(names.private, name)
	}
	return w, w.checkUse(object)
}

// checkUse refuses a key that says it is for something else (RFC 7517, sections
// 4.2 and 4.3).
func (w webKey) checkUse(object map[string]any) error {
	use, err := optionalString(object, "use")
	if err != nil {
		return err
	}
	if use != "" && use != "sig" {
		return fmt.Errorf("is for %.16q, not for signatures", use)
	}
	value, present := object["key_ops"]
	if !present {
		return nil
	}
	operations, _ := value.([]any)
	if slices.Contains(operations, any("verify")) || w.private && slices.Contains(operations, any("sign")) {
		return nil
	}
	return errors.New("has key_ops without verify")
}

// public returns the half that verifies: an *rsa.PublicKey, *ecdsa.PublicKey,
// ed25519.PublicKey or []byte.
func (w webKey) public() (any, error) {
	public := map[string]string{"kty": w.kind}
	for _, name := range keyMembers[w.kind].public {
		if w.members[name] == "" {
			return nil, fmt.Errorf("has no %q", name)
		}
		public[name] = w.members[name]
	}
	if w.kind == "RSA" {
		return w.rsaPublic()
	}
	return parseMembers(public)
}

// rsaPublic does without go-jose, which reads no modulus of over 4096 bits.
func (w webKey) rsaPublic() (any, error) {
	n, _ := decodeSegment(w.members["n"])
	e, _ := decodeSegment(w.members["e"])
	exponent := new(big.Int).SetBytes(e)
	if exponent.BitLen() > 31 {
		return nil, fmt.Errorf("%w: RSA with an exponent of over 31 bits", ErrWeakKey)
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent.Int64())}, nil
}

// parseMembers hands a JWK of checked members to go-jose, which checks lengths,
// that a point is on its curve, and that both halves of a pair belong together.
func parseMembers(members map[string]string) (any, error) {
	doc, err := json.Marshal(members)
	if err != nil {
		return nil, err
	}
	var k jose.JSONWebKey
	if err := k.UnmarshalJSON(doc); err != nil {
		return nil, fmt.Errorf("is not a %s key that can be used", members["kty"]) // err could quote it
	}
	return k.Key, nil
}
