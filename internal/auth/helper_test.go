package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/secrets"
	"github.com/sallyport/sallyport/internal/token"
)

const (
	testIssuer   = "https://idp.example.com/"
	testAudience = "orders-api"
	testSecret   = "0123456789abcdef0123456789ABCDEF"
)

// fields is a request that has a header only.
type fields http.Header

func (f fields) Values(name string) []string       { return f[name] }
func (f fields) Method() string                    { return "GET" }
func (f fields) Host() string                      { return "orders.example.com" }
func (f fields) Query() string                     { return "" }
func (f fields) Certificates() []*x509.Certificate { return nil }

func bearerOf(raw string) fields { return fields{"Authorization": {"Bearer " + raw}} }

// accepting is a route that takes the tokens of these issuers.
func accepting(issuers ...*Issuer) *Authenticator { return NewAuthenticator(Tokens(issuers...)) }

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

var ecKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
})

var edKey = sync.OnceValue(func() ed25519.PrivateKey {
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
})

func pemBytes(t testing.TB, text []byte) []byte {
	t.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatal("no PEM")
	}
	return block.Bytes
}

func newECKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
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
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func signer(t testing.TB, material []byte, alg, kid string) *token.Signer {
	t.Helper()
	s, err := token.NewSigner(material, alg, kid)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// jwk is the signer's public key, with members changed or, where nil, taken out.
func jwk(t testing.TB, s *token.Signer, changes map[string]any) map[string]any {
	t.Helper()
	doc, err := s.PublicJWKS()
	if err != nil {
		t.Fatal(err)
	}
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal(doc, &set); err != nil || len(set.Keys) != 1 {
		t.Fatalf("%s: %v", doc, err)
	}
	for name, value := range changes {
		if set.Keys[0][name] = value; value == nil {
			delete(set.Keys[0], name)
		}
	}
	return set.Keys[0]
}

func setOf(t testing.TB, keys ...map[string]any) []byte {
	t.Helper()
	if keys == nil {
		keys = []map[string]any{}
	}
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

// fixed is a key from the secret store that never changes.
func fixed(id, algorithm string, material []byte) StaticKey {
	return StaticKey{ID: id, Algorithm: algorithm, Value: secrets.Fixed(secrets.NewSecret(string(material)))}
}

func static(t testing.TB, entries ...StaticKey) KeySource {
	t.Helper()
	source, err := StaticKeys(entries)
	if err != nil {
		t.Fatal(err)
	}
	return source
}

// newIssuer fills in what a test does not care for.
func newIssuer(t testing.TB, o IssuerOptions) *Issuer {
	t.Helper()
	if o.Name == "" {
		o.Name = "corp"
	}
	if o.Issuer == "" {
		o.Issuer = testIssuer
	}
	if o.Audiences == nil {
		o.Audiences = []string{testAudience}
	}
	if o.Keys == nil {
		o.Keys = []KeySource{static(t, fixed("", "HS256", []byte(testSecret)))}
	}
	i, err := NewIssuer(o)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// claims are good ones, with some changed or, where nil, taken out.
func claims(changes map[string]any) map[string]any {
	c := map[string]any{"iss": testIssuer, "aud": testAudience, "sub": "alice", "exp": time.Now().Add(10 * time.Minute).Unix()}
	for name, value := range changes {
		if c[name] = value; value == nil {
			delete(c, name)
		}
	}
	return c
}

func sign(t testing.TB, s *token.Signer, c map[string]any) string {
	t.Helper()
	raw, err := s.Sign(c, "")
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// forge signs any texts with HMAC-SHA-256, as no honest signer would.
func forge(secret, header, payload string) string {
	signed := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// forgeClaims signs claims that token.Signer would refuse to sign.
func forgeClaims(t testing.TB, c map[string]any) string {
	t.Helper()
	doc, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return forge(testSecret, `{"alg":"HS256"}`, string(doc))
}

// wantReason fails unless err is an ErrInvalidToken for that reason, or is of
// the kind that has it; "" wants no error.
func wantReason(t testing.TB, err error, want string) {
	t.Helper()
	if got := Reason(err); got != want {
		t.Errorf("reason %q (%v), want %q", got, err, want)
	}
}

// logs collects log lines of any number of goroutines.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logs) count(message string) int { return strings.Count(l.String(), message) }

func (l *logs) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(l, nil)) }
