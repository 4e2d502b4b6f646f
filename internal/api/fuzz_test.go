package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/crypto"
)

// fuzzed are the calls that read a body.
var fuzzed = []string{
	"/keyrings/pii/encrypt", "/keyrings/pii/decrypt", "/keyrings/pii/rewrap", "/keyrings/fern/encrypt", "/keyrings/fern/decrypt", "/keyrings/long/rewrap",
	"/keyrings/sign/mac", "/keyrings/sign/verify", "/keyrings/sign/encrypt", "/keys", "/passwords/hash", "/passwords/verify", "/tokens", "/hash", "/compare", "/api-keys",
}

// FuzzBodies holds what is answered to any body against the API's description,
// and what was encrypted against what decrypts. Passwords find their workers
// taken, so that their bodies are read and nothing is hashed.
func FuzzBodies(f *testing.F) {
	for call, bodies := range map[int][]string{
		0:  {`{"plaintext": "x"}`, `{"plaintext": "eA==", "encoding": "base64", "context": "row 1"}`, `{"items": [{"plaintext": "x"}, {}, {"plaintext": "\ud83d\ude00"}]}`, `{"items": null}`, `{"items": []}`, `[]`, ``, `{"plaintext": "x", "plaintext": "y"}`},
		1:  {`{"ciphertext": "gw:v1:AAAA"}`, `{"ciphertext": "gw:v9:AAAA", "context": "row 1", "encoding": "utf8"}`, `{"items": [{"ciphertext": "x"}, {"ciphertext": null}]}`},
		2:  {`{"ciphertext": "gw:v1:AAAA", "context": ""}`},
		4:  {`{"ciphertext": "gAAAAA==", "max_age": "5m"}`, `{"ciphertext": "gAAAAA==", "max_age": "-1ns"}`, `{"ciphertext": "gAAAAA==", "max_age": "9999999h"}`},
		6:  {`{"data": "x"}`, `{"data": "eA==", "encoding": "base64"}`},
		7:  {`{"data": "x", "mac": "00"}`},
		9:  {`{"type": "fernet"}`},
		10: {`{"password": "x", "algorithm": "pbkdf2-sha256", "iterations": 600000}`, `{"password": "x", "iterations": 1e5}`, `{"password": "x", "iterations": 99999999999999999999}`},
		11: {`{"password": "x", "hash": "$pbkdf2-sha256$i=600000$c29tZXNhbHQxMjM0$YlwAMzgfuZxNiZ2N6qClNOyOLFlTNkmJ6vIdpHimzFY"}`},
		12: {`{"bytes": 32, "encoding": "hex", "prefix": "t_"}`, `{"bytes": 1e1}`, `{"bytes": 32.0}`},
		13: {`{"data": "x", "algorithm": "sha3-256"}`, `{"data": "x", "algorithm": "md5"}`},
		14: {`{"a": "x", "b": "y"}`},
		15: {`{"id": "acme", "prefix": "sk_", "scopes": ["a"], "subject": "s", "expires": "2030-01-01T00:00:00Z"}`},
	} {
		for _, body := range bodies {
			f.Add(call, body)
		}
	}
	s := serve(f, func(o *CryptoOptions) { o.Workers = taken(f) })
	f.Fuzz(func(t *testing.T, call int, body string) {
		s.t = t
		path := fuzzed[uint(call)%uint(len(fuzzed))]
		a := s.direct(path, body)
		switch {
		case a.status == http.StatusServiceUnavailable && strings.HasPrefix(path, "/passwords/"):
		case a.status >= 500:
			t.Errorf("POST %s %q: %d %s", path, body, a.status, a.body)
		case a.status == http.StatusOK && strings.HasSuffix(path, "/encrypt"):
			s.decrypts(path, body, a)
		}
	})
}

// taken are workers of whom none is free before the test ends.
func taken(t testing.TB) *crypto.Workers {
	w, release, busy := crypto.NewWorkers(1), make(chan struct{}), make(chan struct{})
	go func() { _ = w.Do(context.Background(), func() { close(busy); <-release }) }()
	<-busy
	t.Cleanup(func() { close(release) })
	return w
}

// direct is ask without the socket, for a caller who does not wait.
func (s *served) direct(path, body string) said {
	s.t.Helper()
	gone, leave := context.WithCancel(s.t.Context())
	leave()
	r := httptest.NewRequestWithContext(gone, http.MethodPost, s.URL+"/crypto/v1"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.api.Serve(w, r, Caller{Subject: "ann", Issuer: "corp", Scopes: s.scopes, RequestID: "req-1"})
	a := said{w.Code, w.Header(), w.Body.String(), parsed(w.Body.Bytes())}
	s.conforms(r, body, a)
	return a
}

// decrypts checks that what was encrypted comes back as it was sent: the
// plaintexts of the questions are those of the answers.
func (s *served) decrypts(path, body string, encrypted said) {
	s.t.Helper()
	question := parsed([]byte(body))
	sent, sealed := []any{question}, []any{encrypted.m}
	if items, many := question["items"].([]any); many {
		sent, sealed = items, encrypted.m["items"].([]any)
	}
	if len(sent) != len(sealed) {
		s.t.Fatalf("%q: %d items became %d", body, len(sent), len(sealed))
	}
	for i := range sent {
		q, _ := sent[i].(map[string]any)
		ciphertext, ok := sealed[i].(map[string]any)["ciphertext"]
		if !ok {
			continue // an error in its place
		}
		ask := map[string]any{"ciphertext": ciphertext}
		for _, name := range []string{"context", "encoding"} {
			if v, there := q[name]; there && v != "" && v != nil {
				ask[name] = v
			}
		}
		if ask["encoding"] == nil {
			ask["encoding"] = "utf8"
		}
		if a := s.direct(strings.TrimSuffix(path, "encrypt")+"decrypt", quote(ask)); a.status != http.StatusOK || a.m["plaintext"] != q["plaintext"] {
			s.t.Errorf("%q: item %d came back as %d %s", body, i, a.status, a.body)
		}
	}
}

func parsed(text []byte) (m map[string]any) {
	_ = json.Unmarshal(text, &m)
	return m
}
