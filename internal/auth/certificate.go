package auth

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"time"
)

// CertificateIssuer is the issuer of principals that are TLS clients.
const CertificateIssuer = "client_certificates"

// certificates is the Kind of TLS clients' certificates.
type certificates struct{ now func() time.Time }

// ClientCertificates returns the certificates that the listener verified as a
// Kind. The subject is the certificate's first URI, else its first DNS name, else
// its first e-mail address, and only without any of these its common name: what
// a CA lets clients choose freely must not pass for what it vouches for. A nil
// now means time.Now.
//
// A browser presents a certificate also where another site makes it send a
// request, so the rule for cookies holds.
func ClientCertificates(now func() time.Time) Kind {
	if now == nil {
		now = time.Now
	}
	return &certificates{now: now}
}

func (c *certificates) places() []Place { return []Place{Connection} }

func (c *certificates) scheme() string { return "" }

func (c *certificates) authenticate(_ context.Context, found credential) (*Principal, error) {
	if err := sameOrigin(found.request); err != nil {
		return nil, err
	}
	own := found.request.Certificates()[0]
	if c.now().After(own.NotAfter) { // verified when the connection began, which may be long ago
		return nil, refuse(reasonExpired, "the client's certificate has expired")
	}
	subject, kind := certificateSubject(own)
	if subject == "" || len(subject) > maxName || !isPrintable(subject) {
		return nil, refuse(reasonClaims, "the client's certificate names nobody: it needs a URI, DNS name, e-mail address or common name")
	}
	fingerprint := sha256.Sum256(own.Raw)
	id := hex.EncodeToString(fingerprint[:])
	return &Principal{
		Subject: subject, Issuer: CertificateIssuer, KeyID: id, Expires: own.NotAfter,
		Claims: certificateClaims(own, subject, kind, id),
	}, nil
}

// remembered: TLS has verified it.
func (c *certificates) remembered(found credential) *Principal {
	principal, err := c.authenticate(context.Background(), found)
	if err != nil {
		return nil
	}
	return principal
}

func certificateSubject(c *x509.Certificate) (subject, kind string) {
	switch {
	case len(c.URIs) > 0:
		return c.URIs[0].String(), "uri"
	case len(c.DNSNames) > 0:
		return c.DNSNames[0], "dns"
	case len(c.EmailAddresses) > 0:
		return c.EmailAddresses[0], "email"
	}
	return c.Subject.CommonName, "cn"
}

// certificateClaims are the certificate's fields; those it does not have are
// left out.
func certificateClaims(c *x509.Certificate, subject, kind, fingerprint string) map[string]any {
	claims := map[string]any{
		"sub": subject, "sub_type": kind, "fingerprint": fingerprint,
		"serial": c.SerialNumber.Text(16), "issuer": c.Issuer.String(),
	}
	uris := make([]string, len(c.URIs))
	for i, uri := range c.URIs {
		uris[i] = uri.String()
	}
	for name, values := range map[string][]string{
		"uri": uris, "dns": c.DNSNames, "email": c.EmailAddresses, "o": c.Subject.Organization, "ou": c.Subject.OrganizationalUnit,
	} {
		if len(values) > 0 {
			list := make([]any, len(values))
			for i, value := range values {
				list[i] = value
			}
			claims[name] = list
		}
	}
	if c.Subject.CommonName != "" {
		claims["cn"] = c.Subject.CommonName
	}
	return claims
}
