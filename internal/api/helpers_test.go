package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport/internal/crypto"
)

var testTime = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// ring is a keyring without a backend behind it.
type ring struct {
	now, later *crypto.Keyring // later: what a reread finds
	err        error
	rotate     func() (int, error)
	rereads    int
}

func (r *ring) Current() (*crypto.Keyring, error) { return r.now, r.err }

func (r *ring) Reread(context.Context) {
	r.rereads++
	if r.later != nil {
		r.now = r.later
	}
}

func (r *ring) Rotate(context.Context) (int, error) { return r.rotate() }

func keyring(t testing.TB, kind crypto.Type, d crypto.Document) *crypto.Keyring {
	t.Helper()
	k, err := crypto.NewKeyring(kind, d, crypto.KeyringOptions{Now: func() time.Time { return testTime }})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// served is the API on a socket. What it answers, and what it accepts, is
// checked against its own description.
type served struct {
	*httptest.Server
	api      *Crypto
	t        testing.TB
	router   routers.Router
	scopes   []string
	rings    map[string]*ring
	events   []Event
	audit    error
	registry *prometheus.Registry
}

const allScopes = "crypto:encrypt crypto:decrypt crypto:admin crypto:mac crypto:generate crypto:password crypto:hash"

func serve(t testing.TB, change func(*CryptoOptions)) *served {
	t.Helper()
	s := &served{t: t, scopes: strings.Fields(allScopes), registry: prometheus.NewRegistry(), rings: map[string]*ring{
		"pii":  {now: keyring(t, crypto.AES256GCM, crypto.NewDocument(testTime))},
		"long": {now: keyring(t, crypto.XAES256, crypto.NewDocument(testTime))},
		"fern": {now: keyring(t, crypto.Fernet, crypto.NewDocument(testTime))},
		"sign": {now: keyring(t, crypto.HMAC, crypto.NewDocument(testTime))},
	}}
	o := CryptoOptions{
		Path: "/crypto/v1", Keyrings: map[string]Keyring{}, MaxBody: 64 << 10, Workers: crypto.NewWorkers(2), Metrics: NewMetrics(s.registry),
		Audit: func(_ context.Context, e Event) error { s.events = append(s.events, e); return s.audit },
		Now:   func() time.Time { return testTime },
	}
	for name, r := range s.rings {
		o.Keyrings[name] = r
	}
	if change != nil {
		change(&o)
	}
	s.api = NewCrypto(o)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.api.Serve(w, r, Caller{Subject: "ann", Issuer: "corp", Scopes: s.scopes, RequestID: "req-1"})
	}))
	t.Cleanup(s.Close)
	doc, err := openapi3.NewLoader().LoadFromData([]byte(strings.Replace(description, `"/crypto/v1"`, `"`+s.URL+`/crypto/v1"`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.router, err = gorillamux.NewRouter(doc); err != nil {
		t.Fatal(err)
	}
	return s
}

// said is an answer, whose JSON is in m.
type said struct {
	status int
	header http.Header
	body   string
	m      map[string]any
}

// ask sends a body to an operation and checks question and answer against the
// description: a question it allows must not be a 400, nor one it forbids a 200.
func (s *served) ask(method, path, body string) said {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.URL+"/crypto/v1"+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	res, err := s.Client().Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	a := said{res.StatusCode, res.Header, string(text), nil}
	_ = json.Unmarshal(text, &a.m)
	s.conforms(r, body, a)
	return a
}

func (s *served) conforms(r *http.Request, body string, a said) {
	s.t.Helper()
	route, params, err := s.router.FindRoute(r)
	if err != nil {
		if a.status != http.StatusNotFound && a.status != http.StatusMethodNotAllowed {
			s.t.Errorf("%s %s is not described, and answered with %d", r.Method, r.URL.Path, a.status)
		}
		return
	}
	r.Body = io.NopCloser(strings.NewReader(body))
	question := &openapi3filter.RequestValidationInput{
		Request: r, PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true},
	}
	if wrong := openapi3filter.ValidateRequest(s.t.Context(), question); wrong != nil && a.status == http.StatusOK {
		s.t.Errorf("%s %s took a body that its description forbids: %v", r.Method, r.URL.Path, wrong)
	}
	reply := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: question, Status: a.status, Header: a.header, Body: io.NopCloser(bytes.NewReader([]byte(a.body))), Options: question.Options,
	}
	if err := openapi3filter.ValidateResponse(s.t.Context(), reply); err != nil {
		s.t.Errorf("%s %s: the answer %d is not as described: %v\n%s", r.Method, r.URL.Path, a.status, err, a.body)
	}
}

// post asks for a 200.
func (s *served) post(path, body string) said {
	s.t.Helper()
	a := s.ask(http.MethodPost, path, body)
	if a.status != http.StatusOK {
		s.t.Fatalf("POST %s %s: %d %s", path, body, a.status, a.body)
	}
	return a
}

func quote(v any) string {
	text, _ := json.Marshal(v)
	return string(text)
}
