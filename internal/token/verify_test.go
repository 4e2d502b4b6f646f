package token

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func TestEveryAlgorithmSignsAndVerifies(t *testing.T) {
	t.Parallel()
	for _, alg := range allAlgorithms {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			raw, err := newSigner(t, alg, "k1").Sign(map[string]any{"sub": "alice", "exp": 2000000000}, "at+jwt")
			if err != nil {
				t.Fatal(err)
			}
			p, err := Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			if p.Header != (Header{alg, "k1", "at+jwt"}) || p.Claims.Subject != "alice" {
				t.Errorf("%+v", p)
			}
			private := keysOnce().private(alg)
			forms := map[string][]byte{"JWK": toJSON(t, jwkOf(t, private, nil)), "as stored": stored(t, private)}
			if _, symmetric := private.([]byte); !symmetric {
				forms["public PEM"] = publicPEM(t, private)
				forms["public JWK"] = toJSON(t, jwkOf(t, publicHalf(private), nil))
			}
			for form, doc := range forms {
				if err := p.Verify(oneKey(t, doc, KeyOptions{Algorithm: alg})); err != nil {
					t.Errorf("%s: %v", form, err)
				}
			}
		})
	}
}

// jwtkeys-03, jwtkeys-04, jwtkeys-13: the token names one algorithm, the key
// another. Each token's signature is a right one.
func TestAKeyVerifiesItsOwnAlgorithmOnly(t *testing.T) {
	t.Parallel()
	for _, keyAlg := range allAlgorithms {
		key := oneKey(t, stored(t, keysOnce().private(keyAlg)), KeyOptions{Algorithm: keyAlg})
		for _, tokenAlg := range append([]string{"none", "ES256K", "hs256", ""}, allAlgorithms...) {
			signAs := tokenAlg
			if !KnownAlgorithm(tokenAlg) {
				signAs = keyAlg
			}
			p := &Parsed{Header: Header{Algorithm: tokenAlg}, signed: "a.b"}
			p.signature, _ = methods[signAs].Sign(p.signed, keysOnce().private(signAs))
			err := p.Verify(key)
			if tokenAlg == keyAlg && err != nil || tokenAlg != keyAlg && !errors.Is(err, ErrAlgorithm) {
				t.Errorf("%s token, %s key: %v", tokenAlg, keyAlg, err)
			}
		}
	}
}

func TestAnotherKeyDoesNotVerify(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"HS256", "ES256", "EdDSA"} {
		var other any = []byte("another secret of thirty-two bytes")
		switch alg {
		case "ES256":
			other = []byte(mustGenerate(t, alg))
		case "EdDSA":
			other = []byte(mustGenerate(t, alg))
		}
		p, err := Parse(forge(t, alg, `{"alg":"`+alg+`"}`, goodPayload))
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Verify(oneKey(t, other.([]byte), KeyOptions{})); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v, want ErrSignature", alg, err)
		}
	}
}

// jwtkeys-01: an unsecured token, with the keys of every type.
func TestNoneIsNeverAccepted(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"none", "None", "NONE", "nOnE"} {
		p, err := Parse(b64(`{"alg":"`+alg+`"}`) + "." + b64(goodPayload) + ".")
		if err != nil {
			t.Fatal(err)
		}
		for _, keyAlg := range allAlgorithms {
			if err := p.Verify(oneKey(t, stored(t, keysOnce().private(keyAlg)), KeyOptions{})); !errors.Is(err, ErrAlgorithm) {
				t.Errorf("%s with %s: %v", alg, keyAlg, err)
			}
		}
		if err := p.Verify(Key{Algorithms: []string{alg}}); !errors.Is(err, ErrAlgorithm) {
			t.Errorf("%s with a key that lists it: %v", alg, err)
		}
	}
	if _, _, err := ParseKeys(keysOnce().hmac, KeyOptions{Algorithm: "none"}); !errors.Is(err, ErrAlgorithm) {
		t.Errorf("none on a key: %v", err)
	}
}

// publicEncodings are texts of a public key that an attacker has.
func publicEncodings(t *testing.T, private crypto.Signer) map[string][]byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}, NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	members := jwkOf(t, private.Public(), map[string]any{"kid": "a", "use": "sig"})
	all := map[string][]byte{
		"PKIX PEM":                 text,
		"PKIX PEM without newline": bytes.TrimSpace(text),
		"PKIX PEM with CRLF":       bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")),
		"PKIX DER":                 der,
		"PKIX DER in base64":       []byte(base64.StdEncoding.EncodeToString(der)),
		"PKIX DER in base64url":    []byte(base64.RawURLEncoding.EncodeToString(der)),
		"PKIX PEM in base64":       []byte(base64.StdEncoding.EncodeToString(text)),
		"certificate PEM":          pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		"certificate DER":          cert,
		"JWK":                      toJSON(t, members),
		"JWKS":                     setOf(t, members),
		"JWK in base64url":         []byte(b64(string(toJSON(t, members)))),
	}
	if public, ok := private.Public().(*rsa.PublicKey); ok {
		pkcs1 := x509.MarshalPKCS1PublicKey(public)
		all["PKCS 1 PEM"] = pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: pkcs1})
		all["PKCS 1 DER"] = pkcs1
	}
	return all
}

// jwtkeys-02, CVE-2026-39999: the public key as the secret of an HMAC. The
// token's HMAC is right for that secret, and no key of the issuer's may be used
// so; nor does the operator's key text become a secret by mistake.
func TestKeyConfusionWithEveryEncodingOfThePublicKey(t *testing.T) {
	t.Parallel()
	keys := keysOnce()
	for name, private := range map[string]crypto.Signer{"RSA": keys.rsa, "P-256": keys.p256, "P-521": keys.p521, "Ed25519": keys.ed} {
		encodings := publicEncodings(t, private)
		published, _, err := ParseJWKS(encodings["JWKS"])
		if err != nil || len(published) != 1 {
			t.Fatal(published, err)
		}
		verifiers := append(published, oneKey(t, encodings["PKIX PEM"], KeyOptions{}))
		guesses := map[string][]byte{"the key type's name": []byte(name), "empty": {}, "hex": []byte(hex.EncodeToString(encodings["PKIX DER"]))}
		if public, ok := private.Public().(*rsa.PublicKey); ok {
			guesses["modulus"] = public.N.Bytes()
			guesses["modulus in base64url"] = []byte(b64(string(public.N.Bytes())))
		}
		for encoding, secret := range encodings {
			guesses[encoding] = secret
			parsed, _, err := ParseKeys(secret, KeyOptions{})
			for _, k := range parsed {
				if k.Fits("HS256") {
					t.Errorf("%s as %s became an HMAC key", name, encoding)
				}
			}
			if _, _, err2 := ParseKeys(secret, KeyOptions{Algorithm: "HS256"}); err2 == nil {
				t.Errorf("%s as %s with algorithm HS256 became a key (without: %v)", name, encoding, err)
			}
			if _, _, err := ParseKeys([]byte("base64:"+base64.StdEncoding.EncodeToString(secret)), KeyOptions{}); err == nil {
				t.Errorf("%s as base64: of %s became a key", name, encoding)
			}
		}
		for encoding, secret := range guesses {
			for _, alg := range []string{"HS256", "HS384", "HS512"} {
				signed := b64(`{"alg":"`+alg+`","kid":"a"}`) + "." + b64(goodPayload)
				mac, err := methods[alg].Sign(signed, secret)
				if err != nil {
					t.Fatal(err)
				}
				p, err := Parse(signed + "." + b64(string(mac)))
				if err != nil {
					t.Fatal(err)
				}
				for _, k := range verifiers {
					if err := p.Verify(k); !errors.Is(err, ErrAlgorithm) {
						t.Errorf("%s, secret: %s, %s: %v", alg, encoding, k, err)
					}
				}
			}
		}
	}
}

// jwtkeys-05, CVE-2022-21449: an ECDSA signature of zeros, and others outside
// the group.
func TestDegenerateECDSASignatures(t *testing.T) {
	t.Parallel()
	key := oneKey(t, publicPEM(t, keysOnce().p256), KeyOptions{})
	order := keysOnce().p256.Params().N.FillBytes(make([]byte, 32))
	zero, one := make([]byte, 32), append(make([]byte, 31), 1)
	for _, signature := range [][]byte{
		make([]byte, 64), make([]byte, 63), make([]byte, 65), nil, {0},
		append(bytes.Clone(zero), one...), append(bytes.Clone(one), zero...), append(bytes.Clone(order), order...),
		append(bytes.Clone(order), one...), append(bytes.Clone(one), order...), bytes.Repeat([]byte{255}, 64),
	} {
		p, err := Parse(b64(`{"alg":"ES256"}`) + "." + b64(goodPayload) + "." + b64(string(signature)))
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Verify(key); !errors.Is(err, ErrSignature) {
			t.Errorf("%x: %v", signature, err)
		}
	}
}

// jwtkeys-12: what is left of an HMAC is not the HMAC.
func TestTruncatedAndExtendedSignatures(t *testing.T) {
	t.Parallel()
	for _, alg := range allAlgorithms {
		good := splitJWS(t, forge(t, alg, `{"alg":"`+alg+`"}`, goodPayload))
		key := oneKey(t, stored(t, keysOnce().private(alg)), KeyOptions{Algorithm: alg})
		for _, n := range []int{0, 1, 16, len(good.signature) - 1, len(good.signature) + 1} {
			p := *good
			p.signature = append(bytes.Clone(good.signature), 0)[:n]
			if err := p.Verify(key); !errors.Is(err, ErrSignature) {
				t.Errorf("%s cut to %d bytes: %v", alg, n, err)
			}
		}
	}
}

// RFC 7518, section 3.5: the salt is as long as the digest. golang-jwt's own
// method verifies any length.
func TestPSSWithAnotherSaltLengthIsRefused(t *testing.T) {
	t.Parallel()
	private := keysOnce().rsa
	p := &Parsed{Header: Header{Algorithm: "PS256"}, signed: "a.b"}
	digest := sha256.Sum256([]byte(p.signed))
	var err error
	p.signature, err = rsa.SignPSS(rand.Reader, private, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: 8})
	if err != nil {
		t.Fatal(err)
	}
	if err := jwt.SigningMethodPS256.Verify(p.signed, p.signature, &private.PublicKey); err != nil {
		t.Fatalf("the signature itself: %v", err)
	}
	if err := p.Verify(oneKey(t, publicPEM(t, private), KeyOptions{Algorithm: "PS256"})); !errors.Is(err, ErrSignature) {
		t.Errorf("got %v, want ErrSignature", err)
	}
}

// jwtkeys-15: no bit of a token can be turned, and no byte replaced, added or
// taken, so that it is accepted still.
func TestNoBitOfATokenCanBeTurned(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"HS256", "ES256", "EdDSA", "RS256"} {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			raw := forge(t, alg, `{"alg":"`+alg+`"}`, goodPayload)
			key := oneKey(t, stored(t, keysOnce().private(alg)), KeyOptions{Algorithm: alg})
			accepted := func(raw string) bool {
				p, err := Parse(raw)
				return err == nil && p.Verify(key) == nil
			}
			if !accepted(raw) {
				t.Fatal("the token itself is refused")
			}
			for i := range raw {
				for bit := range 8 {
					if turned := raw[:i] + string([]byte{raw[i] ^ 1<<bit}) + raw[i+1:]; accepted(turned) {
						t.Errorf("byte %d, bit %d", i, bit)
					}
				}
				if accepted(raw[:i] + raw[i+1:]) {
					t.Errorf("byte %d taken", i)
				}
				for _, more := range []string{"A", "=", ".", "\n", " ", "\x00"} {
					if accepted(raw[:i] + more + raw[i:]) {
						t.Errorf("%q added before byte %d", more, i)
					}
				}
			}
			for _, more := range []string{"A", "AA", "AAAA", "=", ".", "\n", "\r\n", " "} {
				if accepted(raw + more) {
					t.Errorf("%q added at the end", more)
				}
			}
		})
	}
}

func TestSegmentsOfTwoTokensDoNotMix(t *testing.T) {
	t.Parallel()
	key := oneKey(t, keysOnce().hmac, KeyOptions{})
	a := strings.Split(forge(t, "HS256", goodHeader, `{"sub":"alice"}`), ".")
	b := strings.Split(forge(t, "HS256", `{"alg":"HS256","typ":"x"}`, `{"sub":"root"}`), ".")
	for _, mixed := range [][]string{{a[0], b[1], a[2]}, {b[0], a[1], a[2]}, {a[0], a[1], b[2]}, {a[0], b[1], b[2]}} {
		p, err := Parse(strings.Join(mixed, "."))
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Verify(key); !errors.Is(err, ErrSignature) {
			t.Errorf("%v: %v", mixed, err)
		}
	}
}
