package credentials

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// world is a credential, and the token endpoint it has.
type world struct {
	t       *testing.T
	options OAuth2Options
	c       *OAuth2
	end     func()
	change  func(secret string)
	all     sync.WaitGroup

	mu           sync.Mutex
	calls, given int
	lifetime     time.Duration
	takes        time.Duration
	fails        bool
	refused      string // the secret that is wrong
}

// RoundTrip is the token endpoint, without a socket: the clock of a test stands
// still while one is waited for.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	w.calls++
	takes, fails := w.takes, w.fails
	w.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, secret, _ := r.BasicAuth()
	status, body := http.StatusServiceUnavailable, "{}"
	switch {
	case secret == w.refused:
		status, body = http.StatusUnauthorized, `{"error":"invalid_client"}`
	case !fails:
		w.given++
		text, err := json.Marshal(map[string]any{"access_token": fmt.Sprint(secret, w.given), "expires_in": w.lifetime.Seconds()})
		if err != nil {
			return nil, err
		}
		status, body = http.StatusOK, string(text)
	}
	return &http.Response{StatusCode: status, Header: jsonHeader(), Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// start runs a new credential of the options.
func (w *world) start() {
	w.c = newOAuth2(w.t, w.options)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func(c *OAuth2) { done <- c.Run(ctx) }(w.c)
	w.end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("Run = %v", err)
		}
	})
}

// replace is what a reload does: the new credential runs, then the old one ends.
// Requests go on with the old one, as those in flight do.
func (w *world) replace() {
	old, end := w.c, w.end
	w.start()
	endNew := w.end
	w.c, w.end = old, endNew
	end()
}

func (w *world) refresh(want error) {
	if err := w.c.Refresh(w.t.Context()); !errors.Is(err, want) {
		w.t.Errorf("Refresh = %v, want %v", err, want)
	}
}

func (w *world) leave() {
	w.all.Go(func() {
		ctx, cancel := context.WithTimeout(w.t.Context(), 500*time.Millisecond)
		defer cancel()
		if _, err := w.c.Value(ctx); !errors.Is(err, context.DeadlineExceeded) {
			w.t.Errorf("the one who left: %v", err)
		}
	})
}

// get is what a request gets, and how long it waits for it.
func (w *world) get() string {
	began := time.Now()
	value, err := w.c.Value(w.t.Context())
	got := value.Reveal()
	if err != nil {
		got = "503"
		if !errors.Is(err, ErrUnavailable) || RetryAfter(err) < time.Second || RetryAfter(err) > time.Minute+time.Millisecond || !value.Empty() {
			w.t.Errorf("Value = %q, %v; retry after %s", got, err, RetryAfter(err))
		}
	}
	if waited := time.Since(began); waited > 0 {
		got += " after " + waited.String()
	}
	return got
}
