package token

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"testing"
)

func TestStoredKeysAndTheirAlgorithms(t *testing.T) {
	t.Parallel()
	keys := keysOnce()
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(keys.rsa)})
	ecDER, err := x509.MarshalECPrivateKey(keys.p384)
	if err != nil {
		t.Fatal(err)
	}
	sec1 := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: ecDER})
	parameters := pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 5, 43, 129, 4, 0, 34}})
	encoded := base64.StdEncoding.EncodeToString(keys.hmac)
	for name, c := range map[string]struct {
		material []byte
		o        KeyOptions
		want     string
	}{
		"HMAC bytes":                {keys.hmac, KeyOptions{}, "HMAC key [HS256]"},
		"HMAC bytes, named":         {keys.hmac, KeyOptions{ID: "a", Algorithm: "HS512"}, `HMAC key "a" [HS512]`},
		"HMAC bytes, accepted":      {keys.hmac, KeyOptions{Accept: []string{"RS256", "HS384"}}, "HMAC key [HS384]"},
		"HMAC base64":               {[]byte("base64:" + encoded), KeyOptions{}, "HMAC key [HS256]"},
		"HMAC base64, newline":      {[]byte("base64:" + encoded + "\n"), KeyOptions{}, "HMAC key [HS256]"},
		"HMAC base64url, unpadded":  {[]byte("base64:" + base64.RawURLEncoding.EncodeToString(keys.hmac)), KeyOptions{}, "HMAC key [HS256]"},
		"HMAC JWK":                  {toJSON(t, jwkOf(t, keys.hmac, map[string]any{"alg": "HS384", "kid": "j"})), KeyOptions{}, `HMAC key "j" [HS384]`},
		"RSA public PEM":            {publicPEM(t, keys.rsa), KeyOptions{}, "RSA-2048 key [RS256]"},
		"RSA public PEM, named":     {publicPEM(t, keys.rsa), KeyOptions{Algorithm: "PS512"}, "RSA-2048 key [PS512]"},
		"RSA public PEM, accepted":  {publicPEM(t, keys.rsa), KeyOptions{Accept: []string{"PS256", "ES256", "RS512"}}, "RSA-2048 key [RS512 PS256]"},
		"RSA private PEM":           {privatePEM(t, keys.rsa), KeyOptions{}, "RSA-2048 key [RS256]"},
		"RSA private PKCS 1":        {pkcs1, KeyOptions{}, "RSA-2048 key [RS256]"},
		"EC private SEC 1":          {append(parameters, sec1...), KeyOptions{}, "P-384 key [ES384]"},
		"EC public PEM with text":   {append([]byte("the key of the issuer\n"), publicPEM(t, keys.p256)...), KeyOptions{}, "P-256 key [ES256]"},
		"P-521":                     {publicPEM(t, keys.p521), KeyOptions{}, "P-521 key [ES512]"},
		"Ed25519 public PEM":        {publicPEM(t, keys.ed), KeyOptions{}, "Ed25519 key [EdDSA]"},
		"Ed25519 private JWK":       {toJSON(t, jwkOf(t, keys.ed, nil)), KeyOptions{}, "Ed25519 key [EdDSA]"},
		"certificate":               {publicEncodings(t, keys.p256)["certificate PEM"], KeyOptions{}, "P-256 key [ES256]"},
		"RSA JWK without alg":       {toJSON(t, jwkOf(t, &keys.rsa.PublicKey, nil)), KeyOptions{}, "RSA-2048 key [RS256]"},
		"RSA JWK with alg":          {toJSON(t, jwkOf(t, &keys.rsa.PublicKey, map[string]any{"alg": "PS256"})), KeyOptions{Accept: []string{"RS256"}}, "RSA-2048 key [PS256]"},
		"JWK, own kid overridden":   {toJSON(t, jwkOf(t, keys.ed, map[string]any{"kid": "j"})), KeyOptions{ID: "mine"}, `Ed25519 key "mine" [EdDSA]`},
		"private JWK for sign only": {toJSON(t, jwkOf(t, keys.ed, map[string]any{"key_ops": []string{"sign"}})), KeyOptions{}, "Ed25519 key [EdDSA]"},
		"JWKS of one":               {setOf(t, jwkOf(t, keys.hmac, map[string]any{"kid": "j"})), KeyOptions{}, `HMAC key "j" [HS256]`},
		"JWKS, a kid picked": {setOf(t, jwkOf(t, keys.p256, map[string]any{"kid": "a"}), jwkOf(t, keys.p384, map[string]any{"kid": "b"})),
			KeyOptions{ID: "b"}, `P-384 key "b" [ES384]`},
		"JWKS, what fits": {setOf(t, jwkOf(t, keys.p256, nil), jwkOf(t, keys.rsa, nil)), KeyOptions{Algorithm: "PS256"}, "RSA-2048 key [PS256]"},
	} {
		k := oneKey(t, c.material, c.o)
		if got := fmt.Sprint(k, k.Algorithms); got != strings.Replace(c.want, " [", "[", 1) && got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestAStoredSetGivesAllItsKeys(t *testing.T) {
	t.Parallel()
	keys := keysOnce()
	doc := setOf(t, jwkOf(t, keys.hmac, map[string]any{"kid": "h"}), jwkOf(t, keys.rsa, map[string]any{"kid": "r"}),
		jwkOf(t, []byte("short"), map[string]any{"kid": "s"}))
	got, skipped, err := ParseKeys(doc, KeyOptions{})
	if err != nil || fmt.Sprint(got) != `[HMAC key "h" RSA-2048 key "r"]` || len(skipped) != 1 || skipped[0].ID != "s" {
		t.Errorf("%v, %v, %v", got, skipped, err)
	}
}

// jwtkeys-09, and what else is no key.
func TestStoredKeysThatAreRefused(t *testing.T) {
	t.Parallel()
	keys := keysOnce()
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	const canary = "canary-5512"
	broken := bytes.Replace(publicPEM(t, keys.rsa), []byte("MII"), []byte("NII"), 1)
	for name, c := range map[string]struct {
		material []byte
		o        KeyOptions
		want     error // nil: any
	}{
		"empty":                          {nil, KeyOptions{}, ErrWeakKey},
		"31 bytes":                       {[]byte(canary + strings.Repeat("x", 31-len(canary))), KeyOptions{Algorithm: "HS256"}, ErrWeakKey},
		"31 bytes in base64":             {[]byte("base64:" + base64.StdEncoding.EncodeToString(make([]byte, 31))), KeyOptions{}, ErrWeakKey},
		"base64: and nothing":            {[]byte("base64:"), KeyOptions{}, ErrWeakKey},
		"base64: broken":                 {[]byte("base64:" + canary + strings.Repeat("!", 40)), KeyOptions{}, nil},
		"weak HMAC JWK":                  {toJSON(t, jwkOf(t, []byte(canary), nil)), KeyOptions{}, ErrWeakKey},
		"HMAC bytes for RS256":           {keys.hmac, KeyOptions{Algorithm: "RS256"}, ErrAlgorithm},
		"PEM for HS256":                  {publicPEM(t, keys.rsa), KeyOptions{Algorithm: "HS256"}, ErrAlgorithm},
		"P-256 for ES512":                {publicPEM(t, keys.p256), KeyOptions{Algorithm: "ES512"}, ErrAlgorithm},
		"P-256, only RS256 accepted":     {publicPEM(t, keys.p256), KeyOptions{Accept: []string{"RS256"}}, ErrAlgorithm},
		"P-224":                          {publicPEM(t, p224), KeyOptions{}, ErrAlgorithm},
		"an algorithm nobody knows":      {keys.hmac, KeyOptions{Algorithm: "HS1"}, ErrAlgorithm},
		"PEM with a typing error":        {broken, KeyOptions{}, nil},
		"PEM cut short":                  {publicPEM(t, keys.rsa)[:200], KeyOptions{}, nil},
		"two PEM blocks":                 {append(publicPEM(t, keys.p256), publicPEM(t, keys.p384)...), KeyOptions{}, nil},
		"a broken block, then a good":    {append([]byte("-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----\n"), publicPEM(t, keys.p384)...), KeyOptions{}, nil},
		"PEM of another kind":            {pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte(canary)}), KeyOptions{}, nil},
		"JSON with a typing error":       {[]byte(`{"kty":"oct","k":"` + canary + `"`), KeyOptions{}, nil},
		"JSON that is no key":            {[]byte(`{"secret":"` + canary + strings.Repeat("x", 40) + `"}`), KeyOptions{}, nil},
		"JWKS without keys":              {[]byte(`{"keys":[]}`), KeyOptions{}, nil},
		"JWKS, keys no array":            {[]byte(`{"keys":{}}`), KeyOptions{}, nil},
		"JWKS, kid not there":            {setOf(t, jwkOf(t, keys.p256, map[string]any{"kid": "a"})), KeyOptions{ID: "b"}, nil},
		"JWK, another alg than said":     {toJSON(t, jwkOf(t, keys.rsa, map[string]any{"alg": "RS256"})), KeyOptions{Algorithm: "PS256"}, ErrAlgorithm},
		"JWK for encryption":             {toJSON(t, jwkOf(t, keys.ed, map[string]any{"use": "enc"})), KeyOptions{}, nil},
		"JWK with a point off the curve": {toJSON(t, jwkOf(t, &keys.p256.PublicKey, map[string]any{"x": b64(strings.Repeat("A", 32))})), KeyOptions{}, nil},
		"SSH key":                        {[]byte("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKbgkOrAaTpZyhcFvDrJqOJGXUBZBNPpWzIUmBsyHM"), KeyOptions{}, nil},
		"kid too long":                   {keys.hmac, KeyOptions{ID: strings.Repeat("x", 129)}, nil},
	} {
		_, _, err := ParseKeys(c.material, c.o)
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		} else if strings.Contains(err.Error(), canary) {
			t.Errorf("%s: the error holds key material: %v", name, err)
		}
	}
}

// jwtkeys-11.
func TestWeakRSAKeysAreRefused(t *testing.T) {
	t.Parallel()
	good := keysOnce().rsa.PublicKey
	bits := func(n uint) *big.Int { // odd, of n bits
		return new(big.Int).SetBit(new(big.Int).Lsh(big.NewInt(1), n-1), 0, 1)
	}
	for name, k := range map[string]*rsa.PublicKey{
		"1024 bits":      {N: bits(1024), E: 65537},
		"2047 bits":      {N: bits(2047), E: 65537},
		"8193 bits":      {N: bits(8193), E: 65537},
		"16384 bits":     {N: bits(16384), E: 65537},
		"e = 1":          {N: good.N, E: 1},
		"e = 2":          {N: good.N, E: 2},
		"e = 65536":      {N: good.N, E: 65536},
		"e of 32 bits":   {N: good.N, E: 1<<32 - 1},
		"modulus even":   {N: new(big.Int).Lsh(big.NewInt(1), 2047), E: 65537},
		"modulus zero":   {N: new(big.Int), E: 65537},
		"CVE-2017-15361": {N: rocaModulus(t), E: 65537},
	} {
		if _, err := newKey(k, KeyOptions{}); !errors.Is(err, ErrWeakKey) {
			t.Errorf("%s, PEM: %v, want ErrWeakKey", name, err)
		}
		doc := setOf(t, map[string]string{"kty": "RSA", "kid": "w", "n": b64(string(append([]byte{0}, k.N.Bytes()...))), "e": b64(string(big.NewInt(int64(k.E)).Bytes()))})
		if keys, skipped, err := ParseJWKS(doc); err != nil || len(keys) != 0 || len(skipped) != 1 || skipped[0].ID != "w" || !strings.Contains(skipped[0].Reason, "weak key") {
			t.Errorf("%s, JWKS: %v, %v, %v", name, keys, skipped, err)
		}
	}
	for name, k := range map[string]*rsa.PublicKey{"e = 3": {N: good.N, E: 3}, "8192 bits": {N: bits(8192), E: 65537}} {
		if _, err := newKey(k, KeyOptions{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// rocaModulus makes a modulus as the library of CVE-2017-15361 did: each prime
// is k*M + 65537^a mod M, where M is the product of the small primes.
func rocaModulus(t *testing.T) *big.Int {
	t.Helper()
	m := big.NewInt(1)
	for p := int64(2); p <= 701; p++ {
		if big.NewInt(p).ProbablyPrime(0) {
			m.Mul(m, big.NewInt(p))
		}
	}
	prime := func() *big.Int {
		spread := new(big.Int).Lsh(big.NewInt(1), uint(1024-m.BitLen()))
		for {
			k, err := rand.Int(rand.Reader, spread)
			if err != nil {
				t.Fatal(err)
			}
			a, _ := rand.Int(rand.Reader, m)
			p := new(big.Int).Exp(big.NewInt(65537), a, m)
			if p.Add(p, k.Mul(k, m)); p.BitLen() == 1024 && p.ProbablyPrime(10) {
				return p
			}
		}
	}
	for {
		if n := new(big.Int).Mul(prime(), prime()); n.BitLen() == 2048 {
			return n
		}
	}
}

func TestSameKey(t *testing.T) {
	t.Parallel()
	keys := keysOnce()
	all := [][]byte{keys.hmac, []byte("another secret of thirty-two bytes"), publicPEM(t, keys.rsa), publicPEM(t, keys.p256), publicPEM(t, keys.p384), publicPEM(t, keys.ed)}
	for i, a := range all {
		for j, b := range all {
			if got := oneKey(t, a, KeyOptions{ID: "a"}).Same(oneKey(t, b, KeyOptions{ID: "b"})); got != (i == j) {
				t.Errorf("%d and %d: %v", i, j, got)
			}
		}
	}
	if (Key{}).Same(Key{}) {
		t.Error("no key is the same as no key")
	}
}

// THREATS, information disclosure: keys redact by type.
func TestNoFormattingShowsAKey(t *testing.T) {
	t.Parallel()
	secret := []byte("canary-secret-canary-secret-canary")
	type wrapped struct {
		Key    Key
		key    Key
		Signer *Signer
	}
	s, err := NewSigner(secret, "HS256", "id")
	if err != nil {
		t.Fatal(err)
	}
	k := oneKey(t, secret, KeyOptions{ID: "id"})
	var out bytes.Buffer
	for _, v := range []any{k, &k, []Key{k}, map[string]Key{"a": k}, wrapped{k, k, s}, &wrapped{k, k, s}, s, *s, s.public} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		doc, _ := json.Marshal(v)
		out.Write(doc)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
	}
	p := &Parsed{Header: Header{Algorithm: "HS256"}}
	fmt.Fprintln(&out, p.Verify(k))
	for _, form := range []string{
		string(secret), hex.EncodeToString(secret), strings.ToUpper(hex.EncodeToString(secret)), base64.StdEncoding.EncodeToString(secret),
		"99 97 110 97 114 121", "0x63, 0x61", "63616e617279", // the first bytes in other notations
	} {
		if strings.Contains(out.String(), form) {
			t.Errorf("shows %.30s…", form)
		}
	}
}
