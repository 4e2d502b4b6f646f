package auth

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"
)

func clientCertificate(t testing.TB, template x509.Certificate) *x509.Certificate {
	t.Helper()
	key := newECKey(t)
	template.SerialNumber, template.NotBefore = big.NewInt(0xC0FFEE), time.Now().Add(-time.Hour)
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	issuer := &x509.Certificate{Subject: pkix.Name{CommonName: "the CA"}}
	der, err := x509.CreateCertificate(rand.Reader, &template, issuer, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestClientCertificateTellsWhoCalls(t *testing.T) {
	t.Parallel()
	spiffe := &url.URL{Scheme: "spiffe", Host: "example.org", Path: "/orders"}
	a := NewAuthenticator(ClientCertificates(nil))
	for name, c := range map[string]struct {
		template       x509.Certificate
		subject, claim string
		want           string
	}{
		"a URI first": {x509.Certificate{URIs: []*url.URL{spiffe}, DNSNames: []string{"orders.example.com"}, Subject: pkix.Name{CommonName: "admin"}}, "spiffe://example.org/orders", "sub_type", "uri"},
		"a DNS name":  {x509.Certificate{DNSNames: []string{"orders.example.com", "b.example.com"}, EmailAddresses: []string{"a@example.com"}, Subject: pkix.Name{CommonName: "admin"}}, "orders.example.com", "dns", "[orders.example.com b.example.com]"},
		"an e-mail":   {x509.Certificate{EmailAddresses: []string{"a@example.com"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, Subject: pkix.Name{CommonName: "admin"}}, "a@example.com", "email", "[a@example.com]"},
		"a name only": {x509.Certificate{Subject: pkix.Name{CommonName: "orders", Organization: []string{"Acme"}, OrganizationalUnit: []string{"a", "b"}}}, "orders", "ou", "[a b]"},
		"its issuer":  {x509.Certificate{Subject: pkix.Name{CommonName: "orders"}}, "orders", "issuer", "CN=the CA"},
		"its serial":  {x509.Certificate{Subject: pkix.Name{CommonName: "orders"}}, "orders", "serial", "c0ffee"},
	} {
		own := clientCertificate(t, c.template)
		p, err := a.Authenticate(t.Context(), certified{nil, []*x509.Certificate{own}})
		if err != nil || p.Subject != c.subject || p.Issuer != "client_certificates" || len(p.KeyID) != 64 || !p.Expires.Equal(own.NotAfter) || len(p.Scopes) != 0 {
			t.Errorf("%s: %+v, %v", name, p, err)
			continue
		}
		if got := fmt.Sprint(p.Claims[c.claim]); got != c.want || p.Claims["sub"] != c.subject {
			t.Errorf("%s: claim %s is %s, want %s", name, c.claim, got, c.want)
		}
	}
	if a.Scheme() != "Bearer" {
		t.Errorf("scheme %s", a.Scheme())
	}
}

func TestClientCertificatesThatAreRefused(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a := NewAuthenticator(ClientCertificates(func() time.Time { return now }))
	good := clientCertificate(t, x509.Certificate{Subject: pkix.Name{CommonName: "orders"}})
	for name, c := range map[string]struct {
		sent certified
		want string
	}{
		"none":                   {certified{}, "no_token"},
		"nobody's":               {certified{nil, []*x509.Certificate{clientCertificate(t, x509.Certificate{})}}, "claims"},
		"control characters":     {certified{nil, []*x509.Certificate{clientCertificate(t, x509.Certificate{Subject: pkix.Name{CommonName: "a\r\nb"}})}}, "claims"},
		"a very long name":       {certified{nil, []*x509.Certificate{clientCertificate(t, x509.Certificate{DNSNames: []string{strings.Repeat("a.", 150) + "com"}})}}, "claims"},
		"it has ended meanwhile": {certified{nil, []*x509.Certificate{clientCertificate(t, x509.Certificate{NotAfter: now.Add(-time.Second), Subject: pkix.Name{CommonName: "orders"}})}}, "expired"},
		"another site's doing":   {certified{fields{"Sec-Fetch-Site": {"cross-site"}, "Upgrade": {"websocket"}}, []*x509.Certificate{good}}, "cross_origin"},
	} {
		if _, err := a.Authenticate(t.Context(), c.sent); Reason(err) != c.want {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if p, _ := a.Remembered(c.sent); p != nil {
			t.Errorf("%s: remembered", name)
		}
	}
	if p, err := a.Remembered(certified{nil, []*x509.Certificate{good}}); err != nil || p == nil {
		t.Errorf("a good one is not remembered: %v", err)
	}
}

// A certificate belongs to the connection: beside a token or a key, it is they
// that count, and they alone.
func TestCertificateBesideAnotherCredentialDoesNotCount(t *testing.T) {
	t.Parallel()
	good := []*x509.Certificate{clientCertificate(t, x509.Certificate{Subject: pkix.Name{CommonName: "orders"}})}
	a := NewAuthenticator(ClientCertificates(nil), newAPIKeys(t, listOf(t, APIKeyRecord{ID: "a", Hash: sha256Hash(goodKey)})))
	if p, err := a.Authenticate(t.Context(), certified{keyOf(goodKey), good}); err != nil || p.Subject != "a" {
		t.Errorf("beside a good key: %+v, %v", p, err)
	}
	if p, err := a.Authenticate(t.Context(), certified{keyOf("wrong"), good}); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("beside a wrong key: %+v, %v", p, err)
	}
	if p, err := a.Authenticate(t.Context(), certified{nil, good}); err != nil || p.Subject != "orders" {
		t.Errorf("alone: %+v, %v", p, err)
	}
	if a.Scheme() != "ApiKey" {
		t.Errorf("scheme %s", a.Scheme())
	}
}
