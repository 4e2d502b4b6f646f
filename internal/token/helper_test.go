package token

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// testKeys holds one private key a type, made once: RSA keys take their time.
type testKeys struct {
	hmac             []byte
	rsa              *rsa.PrivateKey
	p256, p384, p521 *ecdsa.PrivateKey
	ed               ed25519.PrivateKey
}

var keysOnce = sync.OnceValue(func() testKeys {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	var k testKeys
	var err error
	k.hmac = []byte("0123456789abcdef0123456789ABCDEF")
	k.rsa, err = rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	k.p256, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	k.p384, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(err)
	k.p521, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	must(err)
	_, k.ed, err = ed25519.GenerateKey(rand.Reader)
	must(err)
	return k
})

// private returns the private key an algorithm signs with.
func (k testKeys) private(alg string) any {
	switch {
	case strings.HasPrefix(alg, "HS"):
		return k.hmac
	case alg == "ES256":
		return k.p256
	case alg == "ES384":
		return k.p384
	case alg == "ES512":
		return k.p521
	case alg == "EdDSA":
		return k.ed
	}
	return k.rsa
}

var allAlgorithms = []string{
	"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
}

func privatePEM(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func publicPEM(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(publicHalf(key))
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// stored writes a private key as NewSigner reads it.
func stored(t testing.TB, key any) []byte {
	t.Helper()
	if secret, ok := key.([]byte); ok {
		return secret
	}
	return privatePEM(t, key)
}

// jwkOf writes a key as a JWK, with members added or, where nil, taken out.
func jwkOf(t testing.TB, key any, more map[string]any) map[string]any {
	t.Helper()
	doc, err := jose.JSONWebKey{Key: key}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(doc, &members); err != nil {
		t.Fatal(err)
	}
	for name, value := range more {
		if members[name] = value; value == nil {
			delete(members, name)
		}
	}
	return members
}

func setOf(t testing.TB, keys ...any) []byte {
	t.Helper()
	return toJSON(t, map[string]any{"keys": keys})
}

func toJSON(t testing.TB, v any) []byte {
	t.Helper()
	doc, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func newSigner(t testing.TB, alg, kid string) *Signer {
	t.Helper()
	s, err := NewSigner(stored(t, keysOnce().private(alg)), alg, kid)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// oneKey parses material that must hold one key.
func oneKey(t testing.TB, material []byte, o KeyOptions) Key {
	t.Helper()
	keys, _, err := ParseKeys(material, o)
	if err != nil || len(keys) != 1 {
		t.Fatalf("ParseKeys: %d keys, %v", len(keys), err)
	}
	return keys[0]
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// forge signs any header and payload texts, as no honest signer would.
func forge(t testing.TB, alg, header, payload string) string {
	t.Helper()
	signed := b64(header) + "." + b64(payload)
	signature, err := methods[alg].Sign(signed, keysOnce().private(alg))
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + b64(string(signature))
}

// splitJWS reads a compact JWS whose payload need not be claims.
func splitJWS(t testing.TB, compact string) *Parsed {
	t.Helper()
	segments := strings.Split(compact, ".")
	if len(segments) != 3 {
		t.Fatalf("%d segments", len(segments))
	}
	header, err := parseHeader(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	signature, err := decodeSegment(segments[2])
	if err != nil {
		t.Fatal(err)
	}
	return &Parsed{Header: header, signed: segments[0] + "." + segments[1], signature: signature}
}
