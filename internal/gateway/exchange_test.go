package gateway_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// exchangeServer is a token endpoint that grants what RFC 8693 asks for and
// nothing else: over mutual TLS, for a subject token it verifies itself.
func exchangeServer(t *testing.T, p pki) (url string, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		subject, err := exchangeSubject(r)
		if err != nil {
			t.Errorf("token endpoint: %v", err)
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":"invalid_request"}`)
			return
		}
		fmt.Fprintf(w, `{"access_token":"crm-%s-%d","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":300}`, subject, asked.Load())
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{p.server}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: p.pool, MinVersion: tls.VersionTLS13}
	s.StartTLS()
	t.Cleanup(s.Close)
	return "https://" + s.Listener.Addr().String() + "/token", asked
}

func exchangeSubject(r *http.Request) (string, error) {
	if err := r.ParseForm(); err != nil {
		return "", err
	}
	want := map[string]string{
		"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
		"client_id": "gateway", "audience": "crm", "subject_token": r.PostForm.Get("subject_token"),
	}
	for name := range r.PostForm {
		if values := r.PostForm[name]; len(values) != 1 || values[0] != want[name] {
			return "", fmt.Errorf("%s=%q", name, values)
		}
	}
	if len(r.PostForm) != len(want) || r.Method != http.MethodPost || r.TLS.PeerCertificates[0].Subject.CommonName != "gateway" {
		return "", errors.New("not what RFC 8693 asks for")
	}
	parsed, err := jwt.Parse(want["subject_token"], func(*jwt.Token) (any, error) { return []byte(hmacKey), nil },
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithIssuer("https://issuer.test"), jwt.WithExpirationRequired())
	if err != nil {
		return "", err
	}
	return parsed.Claims.GetSubject()
}

func startExchanging(t *testing.T) (g *running, asked *atomic.Int64) {
	t.Helper()
	p, up := newPKI(t), startEcho(t)
	url, asked := exchangeServer(t, p)
	return start(t, head+fmt.Sprintf(`
credentials:
  obo:
    type: token_exchange
    token_url: %q
    client_id: gateway
    client_auth: tls
    audience: crm
    tls: {ca_file: %q, cert_file: %q, key_file: %q}
routes:
  - {name: all, path: /*, auth: {issuers: [test]}, inject: obo, upstream: "%s"}
`, url, p.ca, p.cert, p.key, up.URL), nil), asked
}

func TestEachCallersTokenIsExchangedForTheirOwn(t *testing.T) {
	t.Parallel()
	g, asked := startExchanging(t)
	if status, _ := ready(t, g, "?strict"); status != http.StatusOK {
		t.Errorf("readyz: %d before anybody called", status)
	}
	tokens := map[string]string{"alice": mint(t, nil), "bob": mint(t, map[string]any{"sub": "bob"})}
	var all sync.WaitGroup
	for range 50 {
		for who, token := range tokens {
			all.Go(func() {
				got := send(t, "GET", g.URL+"/a", "", bearer(token)).seen(t)
				if sent := got.Header.Get("Authorization"); !strings.HasPrefix(sent, "Bearer crm-"+who+"-") {
					t.Errorf("for %s the upstream saw %q", who, sent)
				}
			})
		}
	}
	all.Wait()
	if asked.Load() != 2 {
		t.Errorf("%d exchanges for two callers, want 2", asked.Load())
	}
	if got := send(t, "GET", g.URL+"/a", "", bearer(tokens["alice"]+"x")); got.Status != http.StatusUnauthorized || asked.Load() != 2 {
		t.Errorf("a token that does not verify: %d, %d exchanges", got.Status, asked.Load())
	}
	for _, secret := range []string{"crm-alice", tokens["alice"], tokens["bob"]} {
		if strings.Contains(g.Log.String()+g.Access.String(), secret) {
			t.Errorf("a log shows %.20s…", secret)
		}
	}
}

// The leeway lets a token in that has just expired; nothing is exchanged for it.
func TestExpiredTokenIsNotExchanged(t *testing.T) {
	t.Parallel()
	g, asked := startExchanging(t)
	expired := mint(t, map[string]any{"exp": time.Now().Add(-5 * time.Second).Unix()})
	got := send(t, "GET", g.URL+"/a", "", bearer(expired))
	if got.Status != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" || asked.Load() != 0 {
		t.Errorf("%d %s, %d exchanges", got.Status, got.Body, asked.Load())
	}
}
