package gateway_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/gateway"
	"github.com/sallyport/sallyport/internal/peertest"
	"github.com/sallyport/sallyport/internal/token"
)

// hmacKey signs the tokens of tests; no configuration outside tests has it.
const hmacKey = "an HMAC key of 32 bytes or more, for tests alone"

// running is a gateway under test.
type running struct {
	URL, Admin string
	Log        *peertest.Buffer // the operator's log
	Access     *peertest.Buffer // the access log
	stop       func() error
}

// secrets of the environment backend, by variable.
type environment map[string]string

func (e environment) lookup(name string) (string, bool) {
	value, ok := e[name]
	return value, ok
}

// head is what most configurations of these tests begin with.
const head = `
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
secrets: {backend: env}
issuers:
  test:
    issuer: https://issuer.test
    audiences: [orders-api]
    keys: [{algorithm: HS256, key: "${secret:jwt/key}"}]
`

func parseOnly(text string, env environment) (*config.Config, error) {
	return config.Parse("test.yaml", []byte(text), config.Options{LookupEnv: env.lookup})
}

// parse reads a configuration that must be right.
func parse(t testing.TB, text string, env environment) *config.Config {
	t.Helper()
	c, err := parseOnly(text, env)
	if err != nil {
		t.Fatalf("configuration refused:\n%v", err)
	}
	return c
}

// start runs a gateway until the test ends.
func start(t testing.TB, text string, env environment) *running {
	t.Helper()
	return startLogging(t, text, env, nil)
}

// startLogging is start with the access log written to out, if that is given.
func startLogging(t testing.TB, text string, env environment, out io.Writer) *running {
	t.Helper()
	if env == nil {
		env = environment{}
	}
	if _, ok := env["JWT_KEY"]; !ok {
		env["JWT_KEY"] = hmacKey
	}
	r := &running{Log: new(peertest.Buffer), Access: new(peertest.Buffer)}
	if out == nil {
		out = r.Access
	}
	log := slog.New(slog.NewTextHandler(r.Log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	g, err := gateway.Build(parse(t, text, env), gateway.Options{Log: log, Stdout: out, Stderr: r.Log, LookupEnv: env.lookup})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	on, err := g.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx, on) }()
	r.URL = "http://" + on.Clients.Addr().String()
	if on.Admin != nil {
		r.Admin = "http://" + on.Admin.Addr().String()
	}
	r.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("gateway ended with %v", err)
		}
	})
	return r
}

func testClaims() map[string]any {
	return map[string]any{
		"iss": "https://issuer.test", "aud": "orders-api", "sub": "alice",
		"exp": time.Now().Add(10 * time.Minute).Unix(), "scope": "orders:read",
	}
}

// mint signs a token of subject alice, valid for ten minutes, with changes.
func mint(t testing.TB, changes map[string]any) string {
	t.Helper()
	claims := testClaims()
	for name, value := range changes {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	signer, err := token.NewSigner([]byte(hmacKey), "HS256", "")
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(claims, "JWT")
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// echo is an upstream that answers with what it received.
type echo struct {
	*httptest.Server
}

type received struct {
	Method, Path, Query, Host string
	Header                    http.Header
	Body                      string
	Trailer                   http.Header
}

func startEcho(t testing.TB) echo {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_ = json.NewEncoder(w).Encode(received{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.Host, r.Header, string(body), r.Trailer})
	}))
	t.Cleanup(s.Close)
	return echo{s}
}

// answer is a response, read to its end.
type answer struct {
	Status int
	Header http.Header
	Body   string
}

// seen is what the echo received, of a 200.
func (a answer) seen(t testing.TB) received {
	t.Helper()
	var r received
	if err := json.Unmarshal([]byte(a.Body), &r); err != nil || a.Status != http.StatusOK {
		t.Fatalf("answer %d is not the upstream's: %s", a.Status, a.Body)
	}
	return r
}

// problem is the document of a refusal.
func (a answer) problem(t testing.TB) map[string]any {
	t.Helper()
	var p map[string]any
	if err := json.Unmarshal([]byte(a.Body), &p); err != nil || a.Header.Get("Content-Type") != "application/problem+json" {
		t.Fatalf("answer %d is no problem document: %q", a.Status, a.Body)
	}
	return p
}

// send sends a request with headers as "Name: value" and returns the answer.
func send(t testing.TB, method, url, body string, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body == "" {
		r.Body, r.ContentLength = nil, 0
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header[name] = append(r.Header[name], value)
	}
	res, err := (&http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       10 * time.Second,
	}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(text)}
}

// get sends a GET with alice's token.
func get(t testing.TB, url string, headers ...string) answer {
	t.Helper()
	return send(t, http.MethodGet, url, "", append([]string{bearer(mint(t, nil))}, headers...)...)
}

func bearer(token string) string { return "Authorization: Bearer " + token }

// await asks ok until it holds.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
