package token

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// NewSigners reads the keys of an issuer: a JWKS with private halves, in its
// order, or one key as [NewSigner] reads it. Each must be of use, for a set of
// which a part is left out silently would sign with another key than was meant.
// A key without kid gets its thumbprint (RFC 7638) for one.
func NewSigners(material []byte) ([]*Signer, error) {
	object, err := readObject(material, maxSetValues)
	if formOf(material) != formJSON || err != nil || object["keys"] == nil {
		s, err := NewSigner(material, "", "")
		if err != nil {
			return nil, err
		}
		return []*Signer{s.named()}, nil
	}
	entries, err := setEntries(object)
	switch {
	case err != nil:
		return nil, fmt.Errorf("signing keys: %w", err)
	case len(entries) == 0:
		return nil, errors.New("signing keys: key set is empty")
	}
	signers, seen := make([]*Signer, 0, len(entries)), make(map[string]bool)
	for i, entry := range entries {
		s, err := entrySigner(entry)
		if err != nil {
			return nil, fmt.Errorf("signing key %d of the set %w", i+1, err)
		}
		if seen[s.public.ID] {
			return nil, fmt.Errorf("signing key %d of the set has the kid of one before it", i+1)
		}
		seen[s.public.ID] = true
		signers = append(signers, s)
	}
	return signers, nil
}

func entrySigner(entry any) (*Signer, error) {
	object, ok := entry.(map[string]any)
	if !ok {
		return nil, errors.New("is not a JSON object")
	}
	var o KeyOptions
	private, err := privateEntry(object, &o)
	if err != nil {
		return nil, err
	}
	s, err := signerOf(private, o)
	if err != nil {
		return nil, err
	}
	return s.named(), nil
}

// named gives a key that has no kid its thumbprint; an HMAC key has none to show.
func (s *Signer) named() *Signer {
	if s.public.ID != "" || s.Symmetric() {
		return s
	}
	k := jose.JSONWebKey{Key: s.public.held()}
	if sum, err := k.Thumbprint(crypto.SHA256); err == nil {
		s.public.ID = base64.RawURLEncoding.EncodeToString(sum)
	}
	return s
}

// pickEntry returns the entry of a key set that signs: the one of that kid, or
// the first.
func pickEntry(object map[string]any, kid string) (map[string]any, error) {
	entries, err := setEntries(object)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		key, ok := entry.(map[string]any)
		if ok && (kid == "" || key["kid"] == kid) {
			return key, nil
		}
	}
	return nil, errors.New("key set has no such key")
}

// Public returns the key that verifies what s signs.
func (s *Signer) Public() Key { return s.public }

// Symmetric reports whether the key that verifies can sign too.
func (s *Signer) Symmetric() bool {
	_, symmetric := s.private().([]byte)
	return symmetric
}

// PublicJWKS returns the key set to publish: the public halves, none for HMAC
// keys.
func PublicJWKS(signers ...*Signer) ([]byte, error) {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, s := range signers {
		if !s.Symmetric() {
			set.Keys = append(set.Keys, jose.JSONWebKey{
				Key: s.public.held(), KeyID: s.public.ID, Algorithm: s.method.Alg(), Use: "sig",
			})
		}
	}
	return json.Marshal(set)
}
