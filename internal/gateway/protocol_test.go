package gateway_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// client speaks only the protocols that set sets.
func clientOf(config *tls.Config, set func(*http.Protocols)) *http.Client {
	protocols := new(http.Protocols)
	set(protocols)
	return &http.Client{Transport: &http.Transport{Protocols: protocols, TLSClientConfig: config}, Timeout: 10 * time.Second}
}

// certificate writes a fresh self-signed pair for 127.0.0.1 and returns a pool
// that trusts it.
func certificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "gateway"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"tls.crt": {Type: "CERTIFICATE", Bytes: der}, "tls.key": {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return pool
}

const openRoute = `
routes:
  - {name: open, path: "/*", auth: public, upstream: "%s"}
`

func TestInboundProtocols(t *testing.T) {
	t.Parallel()
	up := startEcho(t)
	dir := t.TempDir()
	pool := certificate(t, dir)
	plain := start(t, head+fmt.Sprintf(openRoute, up.URL), nil)
	secure := start(t, head+fmt.Sprintf("tls: {cert_file: %[1]s/tls.crt, key_file: %[1]s/tls.key}\n", dir)+fmt.Sprintf(openRoute, up.URL), nil)
	secureURL := strings.Replace(secure.URL, "http:", "https:", 1)
	trusting := &tls.Config{RootCAs: pool}
	for name, c := range map[string]struct {
		client *http.Client
		url    string
		proto  string
		scheme string
	}{
		"HTTP/1.1":               {clientOf(nil, func(p *http.Protocols) { p.SetHTTP1(true) }), plain.URL, "HTTP/1.1", "http"},
		"h2c by prior knowledge": {clientOf(nil, func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }), plain.URL, "HTTP/2.0", "http"},
		"HTTP/1.1 over TLS":      {clientOf(trusting.Clone(), func(p *http.Protocols) { p.SetHTTP1(true) }), secureURL, "HTTP/1.1", "https"},
		"HTTP/2 over TLS":        {clientOf(trusting.Clone(), func(p *http.Protocols) { p.SetHTTP2(true) }), secureURL, "HTTP/2.0", "https"},
	} {
		res, err := c.client.Post(c.url+"/x", "text/plain", strings.NewReader("body"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		seen := answer{res.StatusCode, res.Header, string(text)}.seen(t)
		if res.Proto != c.proto || seen.Body != "body" || seen.Header.Get("X-Forwarded-Proto") != c.scheme {
			t.Errorf("%s: %s, upstream saw %+v", name, res.Proto, seen)
		}
	}
	old := clientOf(&tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}, func(p *http.Protocols) { p.SetHTTP1(true) })
	if res, err := old.Get(secureURL + "/x"); err == nil {
		_ = res.Body.Close()
		t.Error("TLS 1.1 is accepted")
	}
}

func TestCertificateFilesAreFollowed(t *testing.T) {
	t.Parallel()
	up := startEcho(t)
	dir := t.TempDir()
	certificate(t, dir)
	g := start(t, head+fmt.Sprintf("tls: {cert_file: %[1]s/tls.crt, key_file: %[1]s/tls.key, min_version: \"1.3\"}\n", dir)+fmt.Sprintf(openRoute, up.URL), nil)
	secureURL := strings.Replace(g.URL, "http:", "https:", 1)
	get := func(pool *x509.CertPool) error {
		c := clientOf(&tls.Config{RootCAs: pool}, func(p *http.Protocols) { p.SetHTTP1(true) })
		defer c.CloseIdleConnections()
		res, err := c.Get(secureURL + "/x")
		if err == nil {
			_ = res.Body.Close()
		}
		return err
	}
	pool := certificate(t, dir)
	await(t, "the new certificate", func() bool { return get(pool) == nil })
	if err := os.WriteFile(filepath.Join(dir, "tls.key"), []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	await(t, "a word on the broken key", func() bool { return strings.Contains(g.Log.String(), "TLS files changed and cannot be used") })
	if err := get(pool); err != nil {
		t.Errorf("a broken key file ended the old certificate: %v", err)
	}
}

func TestBodiesStreamBothWays(t *testing.T) {
	t.Parallel()
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		_ = control.EnableFullDuplex()
		in := bufio.NewReader(r.Body)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			fmt.Fprint(w, "echo ", line)
			_ = control.Flush()
		}
	}))
	t.Cleanup(up.Close)
	g := start(t, head+fmt.Sprintf(openRoute, up.URL), nil)
	for name, c := range map[string]*http.Client{
		"HTTP/1.1": clientOf(nil, func(p *http.Protocols) { p.SetHTTP1(true) }),
		"h2c":      clientOf(nil, func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }),
	} {
		body, pen := io.Pipe()
		r, err := http.NewRequestWithContext(t.Context(), "POST", g.URL+"/x", body)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.WriteString(pen, "one\n") }()
		res, err := c.Do(r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out := bufio.NewReader(res.Body)
		for _, word := range []string{"one", "two", "three"} {
			if word != "one" {
				if _, err := io.WriteString(pen, word+"\n"); err != nil {
					t.Fatal(err)
				}
			}
			if line, err := out.ReadString('\n'); err != nil || line != "echo "+word+"\n" {
				t.Fatalf("%s: %q, %v, want echo of %s before the body ends", name, line, err, word)
			}
		}
		_ = pen.Close()
		_, _ = io.Copy(io.Discard, out)
	}
}

func TestEventsArriveOneByOne(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			_ = http.NewResponseController(w).Flush()
			<-next
		}
	}))
	t.Cleanup(up.Close)
	g := start(t, head+fmt.Sprintf(openRoute, up.URL), nil)
	res, err := http.Get(g.URL + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	in := bufio.NewReader(res.Body)
	for i := range 3 {
		line, err := in.ReadString('\n')
		if err != nil || line != fmt.Sprintf("data: %d\n", i) {
			t.Fatalf("event %d: %q, %v", i, line, err)
		}
		_, _ = in.ReadString('\n')
		next <- struct{}{}
	}
}

// webSocketEcho answers every message with itself.
func webSocketEcho(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer upstream-key" {
			http.Error(w, "not the gateway's credential", http.StatusForbidden)
			return
		}
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = c.CloseNow() }()
		c.SetReadLimit(1 << 21)
		for {
			kind, message, err := c.Read(r.Context())
			if err != nil {
				return
			}
			if err := c.Write(r.Context(), kind, message); err != nil {
				return
			}
		}
	}))
	t.Cleanup(s.Close)
	return s
}

const socketRoute = `
credentials: {up: {type: static, token: "${secret:up}"}}
routes:
  - {name: socket, path: /socket, auth: {issuers: [test]}, inject: up, upstream: "%s"}
`

func TestWebSocketPassesWithTheUpstreamsCredential(t *testing.T) {
	t.Parallel()
	g := start(t, head+fmt.Sprintf(socketRoute, webSocketEcho(t).URL), environment{"UP": "upstream-key"})
	c, res, err := websocket.Dial(t.Context(), g.URL+"/socket", &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + mint(t, nil)}}})
	if err != nil {
		t.Fatalf("%v, %v", err, res)
	}
	defer func() { _ = c.CloseNow() }()
	c.SetReadLimit(1 << 21)
	message := strings.Repeat("x", 1<<20)
	if err := c.Write(t.Context(), websocket.MessageText, []byte(message)); err != nil {
		t.Fatal(err)
	}
	if _, got, err := c.Read(t.Context()); err != nil || string(got) != message {
		t.Fatalf("echo of %d bytes, %v", len(got), err)
	}
	if _, res, err := websocket.Dial(t.Context(), g.URL+"/socket", nil); err == nil || res.StatusCode != 401 {
		t.Errorf("without a token: %v, %v", res, err)
	}
}

func TestWebSocketEndsWhenItsTokenDoes(t *testing.T) {
	t.Parallel()
	g := start(t, strings.Replace(head, "audiences:", "leeway: 0s\n    audiences:", 1)+fmt.Sprintf(socketRoute, webSocketEcho(t).URL), environment{"UP": "upstream-key"})
	token := mint(t, map[string]any{"exp": time.Now().Add(2 * time.Second).Unix()})
	c, _, err := websocket.Dial(t.Context(), g.URL+"/socket", &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + token}}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.CloseNow() }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, _, err := c.Read(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("the socket outlived its token: %v", err)
	}
}

func TestTraceIsContinued(t *testing.T) {
	t.Parallel()
	up := startEcho(t)
	g := start(t, head+fmt.Sprintf(openRoute, up.URL), nil)
	trace, span := "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	got := send(t, "GET", g.URL+"/x", "", "Traceparent: 00-"+trace+"-"+span+"-01").seen(t).Header.Get("Traceparent")
	if !strings.HasPrefix(got, "00-"+trace+"-") || !strings.HasSuffix(got, "-01") || strings.Contains(got, span) {
		t.Errorf("a valid parent became %q", got)
	}
	for _, parent := range []string{"", "junk", "00-" + strings.Repeat("0", 32) + "-" + span + "-01", "00-" + strings.ToUpper(trace) + "-" + span + "-01", "ff-" + trace + "-" + span + "-01"} {
		got := send(t, "GET", g.URL+"/x", "", "Traceparent: "+parent).seen(t).Header.Get("Traceparent")
		if len(got) != 55 || strings.Contains(got, trace) || !strings.HasSuffix(got, "-00") {
			t.Errorf("%q became %q", parent, got)
		}
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	up := startEcho(t)
	g := start(t, head+"limits: {max_connections: 1}\n"+fmt.Sprintf(openRoute, up.URL), nil)
	first := talk(t, g, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
	if res, err := http.ReadResponse(bufio.NewReader(first), nil); err != nil || res.StatusCode != 200 {
		t.Fatalf("%v, %v", res, err)
	}
	second := talk(t, g, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
	if err := second.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := second.Read(make([]byte, 1)); err == nil {
		t.Error("a second connection was served beside the first")
	}
	_ = first.Close()
	if err := second.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if res, err := http.ReadResponse(bufio.NewReader(second), nil); err != nil || res.StatusCode != 200 {
		t.Errorf("after the first ended: %v, %v", res, err)
	}
}

// mTLS: without a certificate of the right authority nobody gets through.
func TestClientCertificateIsDemanded(t *testing.T) {
	t.Parallel()
	up := startEcho(t)
	dir := t.TempDir()
	pool := certificate(t, dir)
	g := start(t, head+fmt.Sprintf("tls: {cert_file: %[1]s/tls.crt, key_file: %[1]s/tls.key, client_ca_file: %[1]s/tls.crt}\n", dir)+fmt.Sprintf(openRoute, up.URL), nil)
	own, err := tls.LoadX509KeyPair(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := t.TempDir()
	certificate(t, elsewhere)
	foreign, err := tls.LoadX509KeyPair(filepath.Join(elsewhere, "tls.crt"), filepath.Join(elsewhere, "tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		certificates []tls.Certificate
		passes       bool
	}{"none": {nil, false}, "another authority's": {[]tls.Certificate{foreign}, false}, "the right one": {[]tls.Certificate{own}, true}} {
		client := clientOf(&tls.Config{RootCAs: pool, Certificates: c.certificates}, func(p *http.Protocols) { p.SetHTTP1(true) })
		res, err := client.Get(strings.Replace(g.URL, "http:", "https:", 1) + "/x")
		if err == nil {
			_ = res.Body.Close()
		}
		if (err == nil) != c.passes {
			t.Errorf("certificate %s: %v", name, err)
		}
	}
}
