package gateway_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/gateway"
	"github.com/sallyport/sallyport/internal/peertest"
)

// newJWK returns a fresh key as it is stored, and as a set to publish.
func newJWK(t testing.TB, kid string) (stored, published string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := jose.JSONWebKey{Key: private, KeyID: kid, Algorithm: "ES256", Use: "sig"}
	doc, err := key.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.Public()}})
	if err != nil {
		t.Fatal(err)
	}
	return string(doc), string(set)
}

// Two gateways one behind the other: the second checks what the first signs, by
// its published keys.
func TestSignedTokenIsAcceptedByAnUpstreamThatChecksIt(t *testing.T) {
	t.Parallel()
	stored, published := newJWK(t, "svc-1")
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, published)
	}))
	t.Cleanup(keys.Close)
	up := startEcho(t)
	second := start(t, fmt.Sprintf(`
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
secrets: {backend: env}
issuers: {svc: {issuer: my-service, jwks_url: "%s", audiences: [billing], algorithms: [ES256], max_lifetime: 15m, required_claims: [sub, jti, nbf]}}
routes: [{name: all, path: /*, auth: {issuers: [svc], scopes: ["api:read"], claims: {user_id: 123}}, forward: {X-Sub: sub}, upstream: "%s"}]
`, keys.URL, up.URL), nil)
	first := start(t, head+fmt.Sprintf(`
credentials:
  svc: {type: jwt, signing_key: "${secret:signing}", algorithm: ES256, issuer: my-service, audience: [billing], subject: gateway, scopes: [api:read, api:write], claims: {user_id: 123}}
routes: [{name: all, path: /*, auth: {issuers: [test]}, inject: svc, upstream: "%s"}]
`, second.URL), environment{"SIGNING": stored})
	await(t, "the second gateway's keys", func() bool { status, _ := ready(t, second, "?strict"); return status == 200 })
	if got := get(t, first.URL+"/a").seen(t); got.Header.Get("X-Sub") != "gateway" {
		t.Errorf("the last upstream saw %v", got.Header)
	}
}

// A signing key that can never sign ends the start, as an issuer's does.
func TestSigningKeyOfNoUseEndsTheStart(t *testing.T) {
	t.Parallel()
	env := environment{"JWT_KEY": hmacKey, "SIGNING": "short"}
	c := parse(t, head+`
credentials: {svc: {type: jwt, signing_key: "${secret:signing}"}}
routes: [{name: all, path: /*, auth: {issuers: [test]}, inject: svc, upstream: "http://127.0.0.1:1"}]
`, env)
	g, err := gateway.Build(c, gateway.Options{LookupEnv: env.lookup})
	if err != nil {
		t.Fatal(err)
	}
	err = g.Fetch(t.Context())
	if _, ok := err.(config.Errors); !ok || !strings.Contains(err.Error(), "test.yaml:11:") || !strings.Contains(err.Error(), "at least 32 bytes") {
		t.Errorf("Fetch = %v", err)
	}
}

// The real peer knows the gateway by its key.
func TestFositeByPrivateKey(t *testing.T) {
	t.Parallel()
	stored, published := newJWK(t, "gateway-1")
	peer := peertest.Fosite(t, "-audience", "orders-api", "-client-jwks", published, "-client-alg", "ES256")
	up := startEcho(t)
	g := start(t, head+fmt.Sprintf(`
credentials:
  key: {type: oauth2, token_url: "%s", client_id: %q, client_auth: private_key_jwt, signing_key: "${secret:signing}", audience: orders-api}
routes: [{name: key, path: /*, auth: {issuers: [test]}, inject: key, upstream: "%s"}]
`, peer.TokenURL, peer.Clients["private_key_jwt"].ID, up.URL), environment{"SIGNING": stored})
	got := get(t, g.URL+"/a").seen(t).Header.Get("Authorization")
	if sent := strings.TrimPrefix(got, "Bearer "); strings.Count(sent, ".") != 2 {
		t.Errorf("upstream saw %q", got)
	}
}

// RFC 8705: the client is known by its certificate, and sends its id beside it.
func TestTokenEndpointThatKnowsClientsByCertificate(t *testing.T) {
	t.Parallel()
	pki := newPKI(t)
	endpoint := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		w.Header().Set("Content-Type", "application/json")
		if name := r.TLS.PeerCertificates[0].Subject.CommonName; name != "gateway" || r.PostForm.Encode() != "client_id=gateway&grant_type=client_credentials&resource=https%3A%2F%2Fcrm.example.com%2F&scope=read" || r.Header.Get("Authorization") != "" {
			t.Errorf("%s asked with %s", name, r.PostForm.Encode())
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":"invalid_client"}`)
			return
		}
		fmt.Fprint(w, `{"access_token":"bound-to-the-certificate","token_type":"Bearer","expires_in":300}`)
	}))
	endpoint.TLS = &tls.Config{Certificates: []tls.Certificate{pki.server}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pki.pool, MinVersion: tls.VersionTLS13}
	endpoint.StartTLS()
	t.Cleanup(endpoint.Close)
	up := startEcho(t)
	g := start(t, head+fmt.Sprintf(`
credentials:
  crm:
    type: oauth2
    token_url: https://%s/token
    client_id: gateway
    client_auth: tls
    scopes: read
    resource: https://crm.example.com/
    tls: {ca_file: %q, cert_file: %q, key_file: %q}
    query: access_token
routes: [{name: all, path: /*, auth: {issuers: [test]}, inject: crm, upstream: "%s"}]
`, endpoint.Listener.Addr(), pki.ca, pki.cert, pki.key, up.URL), nil)
	if got := get(t, g.URL+"/a?access_token=mine&b=1").seen(t); got.Query != "b=1&access_token=bound-to-the-certificate" {
		t.Errorf("upstream saw ?%s", got.Query)
	}
}

// pki is an authority of a test's own, with a server for 127.0.0.1 and a client
// called gateway.
type pki struct {
	ca, cert, key string // files
	server        tls.Certificate
	pool          *x509.CertPool
}

func newPKI(t testing.TB) pki {
	t.Helper()
	dir := t.TempDir()
	p := pki{ca: filepath.Join(dir, "ca.pem"), cert: filepath.Join(dir, "client.pem"), key: filepath.Join(dir, "client-key.pem"), pool: x509.NewCertPool()}
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	issue := func(template *x509.Certificate) (cert, key []byte) {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if template.IsCA {
			private = signer
		}
		template.NotAfter = authority.NotAfter
		der, err := x509.CreateCertificate(rand.Reader, template, authority, &private.PublicKey, signer)
		if err != nil {
			t.Fatal(err)
		}
		keyDER, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	}
	write := func(file string, text []byte) {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ca, _ := issue(authority)
	p.pool.AppendCertsFromPEM(ca)
	write(p.ca, ca)
	cert, key := issue(&x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "gateway"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	write(p.cert, cert)
	write(p.key, key)
	cert, key = issue(&x509.Certificate{SerialNumber: big.NewInt(3), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	if p.server, err = tls.X509KeyPair(cert, key); err != nil {
		t.Fatal(err)
	}
	return p
}
