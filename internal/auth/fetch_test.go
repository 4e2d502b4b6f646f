package auth

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// jwks-05: where a redirect may lead, and where not.
func TestRedirectsOfAKeySet(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ written, location, want string }{ // want: where to, or part of the error
		{"https://idp.example.com/jwks", "/keys", "https://idp.example.com/keys"},
		{"https://idp.example.com/jwks", "keys?v=2", "https://idp.example.com/keys?v=2"},
		{"https://idp.example.com/jwks", "https://IDP.example.com:443/keys", "https://IDP.example.com:443/keys"},
		{"https://idp.example.com/jwks", "//idp.example.com/keys", "https://idp.example.com/keys"},
		{"http://127.0.0.1:8080/jwks", "/keys", "http://127.0.0.1:8080/keys"},
		{"http://127.0.0.1:8080/jwks", "http://127.0.0.1:8080/keys", "http://127.0.0.1:8080/keys"},
		{"http://localhost/jwks", "https://localhost/keys", "https://localhost/keys"},
		{"https://idp.example.com/jwks", "http://idp.example.com/keys", "not https"},
		{"https://idp.example.com/jwks", "http://localhost/keys", "not https"},
		{"https://idp.example.com/jwks", "file:///etc/passwd", "not https"},
		{"https://idp.example.com/jwks", "gopher://idp.example.com/", "not https"},
		{"https://idp.example.com/jwks", "https://evil.example/keys", "another host"},
		{"https://idp.example.com/jwks", "https://idp.example.com.evil.example/", "another host"},
		{"https://idp.example.com/jwks", "https://idp.example.com@evil.example/", "another host"},
		{"https://idp.example.com/jwks", "//evil.example/keys", "another host"},
		{"https://idp.example.com/jwks", "https://idp.example.com:8443/keys", "another host"},
		{"https://idp.example.com/jwks", "https://127.0.0.1/keys", "another host"},
		{"https://idp.example.com/jwks", "https://169.254.169.254/latest", "link-local"},
		{"https://idp.example.com/jwks", "https://[fe80::1]/", "link-local"},
		{"https://idp.example.com/jwks", "https://[fe80::1%25eth0]/", "link-local"},
		{"https://idp.example.com/jwks", "https://[::ffff:169.254.169.254]/", "link-local"},
		{"http://127.0.0.1:8080/jwks", "http://169.254.169.254/latest", "link-local"},
		{"https://169.254.169.254/jwks", "https://169.254.169.254/keys", "link-local"},
		{"http://127.0.0.1:8080/jwks", "http://127.0.0.1:9090/", "another host"},
		{"http://127.0.0.1/jwks", "http://127.0.0.1:443/", "another host"},
		{"https://idp.example.com/jwks", "https://[::1", "no URL"},
		{"https://idp.example.com/jwks", "\x7f", "no URL"},
	} {
		k, err := NewKeySet(KeySetOptions{URL: c.written})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if to, err := k.follow(k.url, c.location); err != nil {
			got = err.Error()
		} else {
			got = to.String()
		}
		if got != c.want && !(strings.Contains(got, c.want) && strings.HasPrefix(got, "redirects")) {
			t.Errorf("%s to %s: %s, want %s", c.written, c.location, got, c.want)
		}
	}
}

func TestRedirectsOverASocket(t *testing.T) {
	t.Parallel()
	doc := setOf(t, jwk(t, signer(t, privatePEM(t, newECKey(t)), "ES256", "1"), nil))
	var elsewhere atomic.Int32
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { elsewhere.Add(1); _, _ = w.Write(doc) }))
	defer evil.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/jwks", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(doc) })
	for from, to := range map[string]string{"/1": "/jwks", "/2": "/1", "/3": "/2", "/4": "/3", "/evil": evil.URL, "/nowhere": ""} {
		mux.HandleFunc(from, func(w http.ResponseWriter, _ *http.Request) {
			if to != "" {
				w.Header().Set("Location", to)
			}
			w.WriteHeader(http.StatusFound)
		})
	}
	server := httptest.NewServer(mux)
	defer server.Close()
	for path, want := range map[string]string{
		"/jwks": "", "/1": "", "/3": "", "/4": "redirects more than 3 times", "/evil": "redirects to another host", "/nowhere": "answers status 302",
	} {
		k, err := NewKeySet(KeySetOptions{URL: server.URL + path, Client: server.Client()})
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Fetch(t.Context()); want == "" && err != nil || want != "" && (err == nil || !strings.HasSuffix(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	if elsewhere.Load() != 0 {
		t.Error("the other host was asked")
	}
}

// jwks-09: TLS that is not in order fails closed.
func TestTLSOfAKeySet(t *testing.T) {
	t.Parallel()
	doc := setOf(t, jwk(t, signer(t, privatePEM(t, newECKey(t)), "ES256", "1"), nil))
	key := newECKey(t)
	for name, c := range map[string]struct {
		host  string
		until time.Time
		known bool
		want  string // "" for success
	}{
		"in order":    {"127.0.0.1", time.Now().Add(time.Hour), true, ""},
		"self-signed": {"127.0.0.1", time.Now().Add(time.Hour), false, "certificate that is not trusted"},
		"expired":     {"127.0.0.1", time.Now().Add(-time.Hour), true, "certificate that is not trusted"},
		"wrong host":  {"192.0.2.1", time.Now().Add(time.Hour), true, "certificate that is not trusted"},
	} {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: c.until, IPAddresses: []net.IP{net.ParseIP(c.host)},
			IsCA: true, BasicConstraintsValid: true,
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(doc) }))
		server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
		server.Config.ErrorLog = discardLog()
		server.StartTLS()
		defer server.Close()
		pool := x509.NewCertPool()
		if c.known {
			cert, _ := x509.ParseCertificate(der)
			pool.AddCert(cert)
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}}
		k, err := NewKeySet(KeySetOptions{URL: server.URL, Client: client})
		if err != nil {
			t.Fatal(err)
		}
		err = k.Fetch(t.Context())
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if _, err := k.Lookup("1", "ES256"); (err == nil) != (c.want == "") {
			t.Errorf("%s: Lookup: %v", name, err)
		}
	}
}

func TestNetworkErrorsAreToldWithoutTheURL(t *testing.T) {
	t.Parallel()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	for raw, want := range map[string]string{
		strings.Replace(closed.URL, "http://", "http://user:canary@", 1) + "/jwks?key=canary": "connection refused",
		strings.Replace(plain.URL, "http://", "https://", 1) + "/jwks?key=canary":             "speaks HTTP where HTTPS was asked",
		"http://idp.invalid/jwks?key=canary":                                                  "cannot be resolved",
		plain.URL + "/jwks?key=canary":                                                        "answers status 404",
	} {
		k, err := NewKeySet(KeySetOptions{URL: raw, Client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}})
		if err != nil {
			t.Fatal(err)
		}
		err = k.Fetch(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v, want %q", raw, err, want)
		}
	}
}

func TestURLsThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{"", "idp.example.com/jwks", "/jwks", "ftp://idp.example.com/", "file:///jwks", "https://", "https:///jwks", "http://[::1", "https://idp.example.com:x/"} {
		if _, err := NewKeySet(KeySetOptions{URL: raw}); err == nil {
			t.Errorf("%q: no error", raw)
		}
	}
	if _, err := NewKeySet(KeySetOptions{URL: "https://user:canary@idp/\x7f"}); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("%v", err)
	}
	if _, err := NewKeySet(KeySetOptions{URL: "https://idp/", Refresh: -1}); err == nil {
		t.Error("refresh negative: no error")
	}
}
