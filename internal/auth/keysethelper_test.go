package auth

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// servedKeySet is a key set that was fetched once from a server of doc.
func servedKeySet(t testing.TB, o KeySetOptions, doc []byte) *KeySet {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(doc) }))
	t.Cleanup(server.Close)
	o.URL = server.URL + "/jwks"
	k, err := NewKeySet(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	return k
}

// idp is a server of a key set over connections in memory, so that it can stand
// in a synctest bubble, where a minute passes at once.
type idp struct {
	hits   atomic.Int64
	mu     sync.Mutex
	answer http.HandlerFunc
	conns  chan net.Conn
	closed chan struct{}
}

// startIDP serves at http://idp/jwks to the client it returns.
func startIDP(t *testing.T, answer http.HandlerFunc) (*idp, *http.Client) {
	t.Helper()
	s := &idp{answer: answer, conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: s}
	go func() { _ = server.Serve(s) }()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		mine, theirs := net.Pipe()
		select {
		case s.conns <- theirs:
			return mine, nil
		case <-s.closed:
			return nil, net.ErrClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
	t.Cleanup(func() { server.Close() })
	return s, &http.Client{Transport: transport}
}

func (s *idp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.hits.Add(1)
	s.mu.Lock()
	answer := s.answer
	s.mu.Unlock()
	answer(w, r)
}

func (s *idp) set(answer http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// Accept, Close and Addr make it a net.Listener.
func (s *idp) Accept() (net.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

func (s *idp) Close() error {
	close(s.closed)
	return nil
}

func (s *idp) Addr() net.Addr { return &net.UnixAddr{Name: "idp"} }

func serve(doc []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/jwk-set+json")
		_, _ = w.Write(doc)
	}
}

func fail(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "canary-body")
	}
}

// running starts k's Run, in a bubble, and returns what ends it.
func running(t *testing.T, k *KeySet) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		time.Sleep(fetchTimeout) // of the bubble: a fetch under way ends on its own
		synctest.Wait()
	}
}
