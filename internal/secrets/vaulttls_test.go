package secrets_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/peertest"
	"github.com/sallyport/sallyport/internal/secrets"
)

func TestVaultOverTLS(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t), newAuthority(t)
	serverCert, serverKey := ca.issue(t, "server", time.Hour)
	oldCert, oldKey := ca.issue(t, "old", -time.Hour)
	named, nameless, old := freeAddress(t), freeAddress(t), freeAddress(t)
	listener := func(address, cert, key, more string) string {
		return fmt.Sprintf("listener \"tcp\" {\n address = %q\n cluster_address = %q\n tls_cert_file = %q\n tls_key_file = %q\n %s\n}\n",
			address, freeAddress(t), cert, key, more)
	}
	peer := peertest.Vault(t,
		listener(nameless, serverCert, serverKey, ""), listener(old, oldCert, oldKey, ""),
		listener(named, serverCert, serverKey, fmt.Sprintf("tls_require_and_verify_client_cert = true\n tls_client_ca_file = %q", ca.file)))
	put(t, peer, "a", fields{"value": "x"})
	clientCert, clientKey := ca.issue(t, "client", time.Hour)
	foreignCert, foreignKey := other.issue(t, "client", time.Hour)
	for name, c := range map[string]struct {
		address string
		change  func(*secrets.VaultOptions)
		word    string // empty: it works
	}{
		"own authority": {nameless, func(o *secrets.VaultOptions) { o.CAFile = ca.file }, ""},
		"by the variable": {nameless, func(o *secrets.VaultOptions) {
			o.Lookup = lookup(fields{"VAULT_TOKEN": "root", "VAULT_CACERT": ca.file})
		}, ""},
		"the system's":      {nameless, func(*secrets.VaultOptions) {}, "an authority that is not known"},
		"another authority": {nameless, func(o *secrets.VaultOptions) { o.CAFile = other.file }, "an authority that is not known"},
		"an expired one":    {old, func(o *secrets.VaultOptions) { o.CAFile = ca.file }, "expired"},
		"client certificate": {named, func(o *secrets.VaultOptions) {
			o.CAFile, o.CertFile, o.KeyFile = ca.file, clientCert, clientKey
		}, ""},
		"no client certificate": {named, func(o *secrets.VaultOptions) { o.CAFile = ca.file }, "check cert_file"},
		"a client certificate of another authority": {named, func(o *secrets.VaultOptions) {
			o.CAFile, o.CertFile, o.KeyFile = ca.file, foreignCert, foreignKey
		}, "check cert_file"},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVault(t, "https://"+c.address, c.change)
			if c.word == "" {
				assertGets(t, v, "a", "x")
				return
			}
			assertFails(t, v, "a", c.word, secrets.ErrUnavailable)
			assertFails(t, v, "a", "TLS", secrets.ErrUnavailable)
		})
	}
	t.Run("another host", func(t *testing.T) {
		_, port, err := net.SplitHostPort(nameless)
		must(t, err)
		v := newVault(t, "https://localhost:"+port, func(o *secrets.VaultOptions) { o.CAFile = ca.file })
		assertFails(t, v, "a", "it is for another host", secrets.ErrUnavailable)
	})
	t.Run("no TLS", func(t *testing.T) {
		v := newVault(t, "https"+peer.Address[len("http"):], func(o *secrets.VaultOptions) { o.CAFile = ca.file })
		assertFails(t, v, "a", "speaks no TLS", secrets.ErrUnavailable)
	})
	t.Run("client certificate rotated", func(t *testing.T) {
		dir := t.TempDir()
		copyTo := func(cert, key string) {
			for from, to := range map[string]string{cert: "cert", key: "key"} {
				content, err := os.ReadFile(from)
				must(t, err)
				write(t, dir, to, string(content))
			}
		}
		copyTo(foreignCert, foreignKey)
		v := newVault(t, "https://"+named, func(o *secrets.VaultOptions) {
			o.CAFile, o.CertFile, o.KeyFile = ca.file, filepath.Join(dir, "cert"), filepath.Join(dir, "key")
		})
		assertFails(t, v, "a", "check cert_file", secrets.ErrUnavailable)
		copyTo(clientCert, clientKey)
		within(t, 5*time.Second, "the new certificate", func() bool { _, err := get(t, v, "a"); return err == nil })
		must(t, os.Remove(filepath.Join(dir, "key")))
		v = newVault(t, "https://"+named, func(o *secrets.VaultOptions) {
			o.CAFile, o.CertFile, o.KeyFile = ca.file, clientCert, clientKey
		})
		must(t, os.Remove(clientKey))
		assertFails(t, v, "a", "client certificate cannot be used", secrets.ErrUnavailable)
	})
	t.Run("garbled", func(t *testing.T) {
		proxy := peertest.NewFaultProxy(t, nameless)
		proxy.Corrupt()
		v := newVault(t, "https://"+proxy.Address, func(o *secrets.VaultOptions) { o.CAFile = ca.file })
		assertFails(t, v, "a", "vault", secrets.ErrUnavailable)
	})
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	return listener.Addr().String()
}

func certificateOf(t *testing.T, server *httptest.Server) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	return file
}

// An authority issues certificates for 127.0.0.1.
type authority struct {
	file        string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{file: filepath.Join(t.TempDir(), "ca.pem")}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	var err error
	a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	must(t, err)
	a.certificate, err = x509.ParseCertificate(der)
	must(t, err)
	must(t, os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return a
}

// issue returns the files of a certificate that expires in so long.
func (a *authority) issue(t *testing.T, name string, expires time.Duration) (cert, key string) {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-12 * time.Hour), NotAfter: time.Now().Add(expires),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &own.PublicKey, a.key)
	must(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(own)
	must(t, err)
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	must(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600))
	return cert, key
}
