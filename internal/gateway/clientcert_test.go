package gateway_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// clientOfCA returns a certificate that the pair in dir signed.
func clientOfCA(t testing.TB, dir string, template x509.Certificate) tls.Certificate {
	t.Helper()
	ca, err := tls.LoadX509KeyPair(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(2), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	der, err := x509.CreateCertificate(rand.Reader, &template, ca.Leaf, &key.PublicKey, ca.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// The TLS client's certificate is a principal where a route takes it, and no
// more than the connection's where it does not.
func TestClientCertificateIsAPrincipal(t *testing.T) {
	t.Parallel()
	up, dir := startEcho(t), keyStore(t, partners(t))
	pool := certificate(t, dir)
	g := start(t, fmt.Sprintf(keyHead, dir)+fmt.Sprintf("tls: {cert_file: %[1]s/tls.crt, key_file: %[1]s/tls.key, client_ca_file: %[1]s/tls.crt}\n", dir)+fmt.Sprintf(`
routes:
  - {name: mtls, path: "/mtls/*", auth: {client_certificates: true, claims: {o: [Acme]}}, forward: {X-User: sub, X-Kind: sub_type}, upstream: "%[1]s"}
  - {name: any, path: "/any/*", auth: {client_certificates: true, issuers: [test], api_keys: [partners]}, forward: {X-User: sub}, upstream: "%[1]s"}
  - {name: keys, path: "/keys/*", auth: {api_keys: [partners]}, upstream: "%[1]s"}
`, up.URL), nil)
	acme := clientOfCA(t, dir, x509.Certificate{Subject: pkix.Name{CommonName: "admin", Organization: []string{"Acme"}}, URIs: []*url.URL{{Scheme: "spiffe", Host: "acme", Path: "/orders"}}})
	elsewhere := clientOfCA(t, dir, x509.Certificate{Subject: pkix.Name{CommonName: "orders", Organization: []string{"Else"}}})
	nobody := clientOfCA(t, dir, x509.Certificate{})
	base := strings.Replace(g.URL, "http:", "https:", 1)
	for name, c := range map[string]struct {
		own     tls.Certificate
		path    string
		headers []string
		status  int
		user    string
	}{
		"by its URI":                   {acme, "/mtls/1", nil, 200, "spiffe://acme/orders"},
		"by its common name":           {elsewhere, "/any/1", nil, 200, "orders"},
		"another claim":                {elsewhere, "/mtls/1", nil, 403, ""},
		"of nobody":                    {nobody, "/any/1", nil, 401, ""},
		"where it does not count":      {acme, "/keys/1", nil, 401, ""},
		"beside a key":                 {acme, "/any/1", []string{keyed(partnerKey)}, 200, "acme-1"},
		"beside a token":               {acme, "/any/1", []string{bearer(mint(t, nil))}, 200, "alice"},
		"beside a wrong key":           {acme, "/any/1", []string{keyed("wrong")}, 401, ""},
		"beside a key and a token":     {acme, "/any/1", []string{keyed(partnerKey), bearer(mint(t, nil))}, 400, ""},
		"beside another's user header": {acme, "/mtls/1", []string{"X-User: admin"}, 200, "spiffe://acme/orders"},
		"from another site":            {acme, "/mtls/1", []string{"Sec-Fetch-Site: cross-site"}, 403, ""},
		"from another site, read only": {acme, "/mtls/get", []string{"Sec-Fetch-Site: cross-site"}, 200, "spiffe://acme/orders"},
	} {
		method := http.MethodPost
		if strings.HasSuffix(c.path, "get") {
			method = http.MethodGet
		}
		r, err := http.NewRequestWithContext(t.Context(), method, base+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range c.headers {
			key, value, _ := strings.Cut(h, ": ")
			r.Header[key] = append(r.Header[key], value)
		}
		res, err := clientOf(&tls.Config{RootCAs: pool, Certificates: []tls.Certificate{c.own}}, func(p *http.Protocols) { p.SetHTTP2(true) }).Do(r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		text, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		got := answer{res.StatusCode, res.Header, string(text)}
		if got.Status != c.status {
			t.Errorf("%s: %d, want %d: %s", name, got.Status, c.status, text)
		} else if c.status == 200 && got.seen(t).Header.Get("X-User") != c.user {
			t.Errorf("%s: user is %q, want %q", name, got.seen(t).Header.Get("X-User"), c.user)
		}
	}
	await(t, "the access line", func() bool {
		return strings.Contains(g.Access.String(), `"subject":"spiffe://acme/orders","issuer":"client_certificates"`)
	})
}
