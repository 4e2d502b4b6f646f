package token

import (
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/golang-jwt/jwt/v5"
)

// Signer signs tokens with one key.
type Signer struct {
	method  jwt.SigningMethod
	private holder // []byte or a crypto.Signer
	public  Key    // verifies what this one signs
}

// NewSigner reads a private key as PEM, JWK or JWKS (of which the key of that kid
// signs, or without one the first), or HMAC bytes as they stand or as base64:….
// Without alg it is the JWK's, or the usual one for the type; without
// kid the JWK's, or none. What [ParseKeys] refuses for being weak is refused.
func NewSigner(material []byte, alg, kid string) (*Signer, error) {
	o := KeyOptions{ID: kid, Algorithm: alg}
	if err := checkKeyID(kid); err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	private, err := privateKey(material, &o)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	s, err := signerOf(private, o)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	return s, nil
}

func signerOf(private any, o KeyOptions) (*Signer, error) {
	if _, symmetric := private.([]byte); !symmetric {
		if _, ok := private.(crypto.Signer); !ok {
			return nil, errors.New("is a public key: the private one is needed")
		}
	}
	public, err := newKey(publicHalf(private), o)
	if err != nil {
		return nil, err
	}
	s := &Signer{method: methods[public.Algorithms[0]], private: hold(private), public: public}
	return s, s.try()
}

// privateKey completes o from a JWK.
func privateKey(material []byte, o *KeyOptions) (any, error) {
	switch formOf(material) {
	case formPEM:
		return decodePEM(material)
	case formBytes:
		return decodeHMAC(material)
	}
	object, err := readObject(material, maxSetValues)
	if err != nil {
		return nil, err
	}
	if object["keys"] != nil {
		if object, err = pickEntry(object, o.ID); err != nil {
			return nil, err
		}
	}
	return privateEntry(object, o)
}

// privateEntry reads a JWK and completes o from it.
func privateEntry(object map[string]any, o *KeyOptions) (any, error) {
	w, err := readWebKey(object)
	if err != nil {
		return nil, err
	}
	if w.algorithm != "" && o.Algorithm != "" && w.algorithm != o.Algorithm {
		return nil, fmt.Errorf("%w: the JWK says %.16q, and the entry %.16q", ErrAlgorithm, w.algorithm, o.Algorithm)
	}
	if o.Algorithm == "" {
		o.Algorithm = w.algorithm
	}
	if o.ID == "" {
		o.ID = w.id
	}
	key, err := parseMembers(w.members)
	if err != nil {
		return nil, err
	}
	return key, nil
}

// try signs once and verifies it, so that a pair whose halves do not belong
// together shows when it is loaded, not at each receiver.
func (s *Signer) try() error {
	probe := rand.Text()
	signature, err := s.method.Sign(probe, s.private())
	if err == nil {
		err = s.method.Verify(probe, signature, s.public.held())
	}
	if err != nil {
		return fmt.Errorf("%w: it and its public half do not belong together", ErrSignature)
	}
	return nil
}

// Sign returns a token with the claims, and with typ in its header unless that
// is empty. What [Parse] would refuse is not signed.
func (s *Signer) Sign(claims map[string]any, typ string) (string, error) {
	t := jwt.NewWithClaims(s.method, jwt.MapClaims(claims))
	t.Header = map[string]any{"alg": s.method.Alg()}
	if s.public.ID != "" {
		t.Header["kid"] = s.public.ID
	}
	if typ != "" {
		t.Header["typ"] = typ
	}
	raw, err := t.SignedString(s.private())
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	if _, err := Parse(raw); err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	return raw, nil
}

// PublicJWKS returns the key set to publish: the public half, and for an HMAC
// key none.
func (s *Signer) PublicJWKS() ([]byte, error) { return PublicJWKS(s) }

// String shows the public half's type and id.
func (s Signer) String() string { return "signer with " + s.public.String() }

// Format writes String whatever the verb, as [Key.Format] does.
func (s Signer) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }
