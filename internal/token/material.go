package token

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// form is how stored key material is written.
type form int

const (
	formBytes form = iota
	formPEM
	formJSON
)

// formOf looks at the marks only. What has the mark of a form and cannot be read
// as one is an error, never HMAC bytes: a public key with a typing error in it
// would become a secret that everybody knows.
func formOf(material []byte) form {
	switch {
	case bytes.Contains(material, []byte("-----BEGIN ")):
		return formPEM
	case bytes.HasPrefix(bytes.TrimSpace(material), []byte("{")):
		return formJSON
	}
	return formBytes
}

// decodeHMAC returns the bytes as they stand, or what base64:… encodes, in the
// standard or the URL alphabet, padded or not.
//
// A public key is refused in every encoding that is recognised. Some consoles
// show one as bare base64 without its PEM lines; taken for a secret, it would
// let whoever can read it sign.
func decodeHMAC(material []byte) ([]byte, error) {
	secret := material
	if text, ok := bytes.CutPrefix(material, []byte("base64:")); ok {
		if secret = decodeBase64(text); secret == nil {
			return nil, errors.New("has the mark base64: but no base64 after it")
		}
	}
	if asymmetric(secret) || asymmetric(decodeBase64(secret)) {
		return nil, errors.New("is an asymmetric key without its PEM lines: write it as PEM, JWK or JWKS")
	}
	return secret, nil
}

// decodeBase64 returns nil for what is not base64.
func decodeBase64(text []byte) []byte {
	compact := strings.Join(strings.Fields(string(text)), "")
	compact = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(compact, "="))
	decoded, err := base64.RawStdEncoding.Strict().DecodeString(compact)
	if err != nil {
		return nil
	}
	return decoded
}

// asymmetric reports whether the bytes are a public or private key: DER, PEM, a
// JWK or the line of an SSH key.
func asymmetric(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	if formOf(b) == formPEM || bytes.HasPrefix(b, []byte("ssh-")) || bytes.HasPrefix(b, []byte("ecdsa-sha2-")) {
		return true
	}
	if object, err := readObject(b, maxSetValues); err == nil && (object["kty"] != nil || object["keys"] != nil) {
		return true
	}
	for _, parse := range derParsers {
		if _, err := parse(b); err == nil {
			return true
		}
	}
	return false
}

// derParsers read the bodies of PEM blocks, by the blocks' types.
var derParsers = map[string]func([]byte) (any, error){
	"PUBLIC KEY":      x509.ParsePKIXPublicKey,
	"RSA PUBLIC KEY":  func(der []byte) (any, error) { return x509.ParsePKCS1PublicKey(der) },
	"PRIVATE KEY":     x509.ParsePKCS8PrivateKey,
	"RSA PRIVATE KEY": func(der []byte) (any, error) { return x509.ParsePKCS1PrivateKey(der) },
	"EC PRIVATE KEY":  func(der []byte) (any, error) { return x509.ParseECPrivateKey(der) },
	"CERTIFICATE": func(der []byte) (any, error) {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		return cert.PublicKey, nil
	},
}

// decodePEM returns the one key of a PEM text: *rsa, *ecdsa or ed25519, public or
// private. openssl writes EC PARAMETERS before an EC key, which tell nothing new.
// A certificate is a wrapping only: neither its dates nor its issuer are looked
// at, since the operator has put it there.
func decodePEM(text []byte) (any, error) {
	var found any
	blocks := 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		blocks++
		if block.Type == "EC PARAMETERS" {
			continue
		}
		parse, known := derParsers[block.Type]
		if !known {
			return nil, fmt.Errorf("is a PEM block of type %.40q, which is not read", block.Type)
		}
		if found != nil {
			return nil, errors.New("has more than one PEM block: write several keys as a JWKS")
		}
		var err error
		if found, err = parse(block.Bytes); err != nil {
			return nil, fmt.Errorf("is a PEM block of type %q that cannot be parsed", block.Type)
		}
	}
	if found == nil || blocks != bytes.Count(text, []byte("-----BEGIN ")) { // pem.Decode passes over broken ones
		return nil, errors.New("is PEM that cannot be decoded")
	}
	switch found.(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey, *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey:
		return found, nil
	}
	return nil, fmt.Errorf("is of a type that signs no token: %T", found)
}
