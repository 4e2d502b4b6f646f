package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/internal/token"
)

// keySetTest is an issuer with a key set, inside a synctest bubble.
type keySetTest struct {
	*testing.T
	idp  *idp
	set  *KeySet
	auth *Authenticator
	log  *logs
}

func newKeySetTest(t *testing.T, o KeySetOptions, answer http.HandlerFunc) keySetTest {
	t.Helper()
	server, client := startIDP(t, answer)
	log := new(logs)
	o.Issuer, o.URL, o.Client, o.Log = "corp", "http://user:canary-password@idp/jwks?key=canary-query", client, log.logger()
	k, err := NewKeySet(o)
	if err != nil {
		t.Fatal(err)
	}
	return keySetTest{t, server, k, accepting(newIssuer(t, IssuerOptions{Keys: []KeySource{k}})), log}
}

// reason authenticates and returns the reason, "" for success. It fails if that
// took any time.
func (s keySetTest) reason(raw string) string {
	s.Helper()
	start := time.Now()
	_, err := s.auth.Authenticate(s.Context(), bearerOf(raw))
	if took := time.Since(start); took != 0 {
		s.Errorf("a request waited %v", took)
	}
	return Reason(err)
}

func (s keySetTest) want(raw, reason string) {
	s.Helper()
	if got := s.reason(raw); got != reason {
		s.Errorf("reason %q, want %q", got, reason)
	}
}

// jwks-01: a flood of unknown kids costs the issuer one fetch a cooldown, and
// nobody waits.
func TestUnknownKidFlood(t *testing.T) {
	t.Parallel()
	good := signer(t, privatePEM(t, newECKey(t)), "ES256", "good")
	valid := sign(t, good, claims(map[string]any{"exp": 4000000000}))
	synctest.Test(t, func(t *testing.T) {
		s := newKeySetTest(t, KeySetOptions{}, serve(setOf(t, jwk(t, good, nil))))
		defer running(t, s.set)()
		synctest.Wait()
		before := s.idp.hits.Load()
		for second := range 60 {
			for n := range 20 {
				s.want(forge(testSecret, fmt.Sprintf(`{"alg":"ES256","kid":"%d-%d"}`, second, n), string(toJSON(t, claims(nil)))), "unknown_key")
			}
			s.want(valid, "")
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if fetches := s.idp.hits.Load() - before; fetches != 2 {
			t.Errorf("%d fetches in 60 s with a cooldown of 30 s, want 2", fetches)
		}
	})
}

// The key that a token names becomes known by the fetch the token caused.
func TestANewKidIsFetchedOnce(t *testing.T) {
	t.Parallel()
	one, two := signer(t, privatePEM(t, newECKey(t)), "ES256", "1"), signer(t, privatePEM(t, newECKey(t)), "ES256", "2")
	raw := sign(t, two, claims(map[string]any{"exp": 4000000000}))
	synctest.Test(t, func(t *testing.T) {
		s := newKeySetTest(t, KeySetOptions{}, serve(setOf(t, jwk(t, one, nil))))
		defer running(t, s.set)()
		synctest.Wait()
		s.idp.set(serve(setOf(t, jwk(t, one, nil), jwk(t, two, nil))))
		s.want(raw, "unknown_key")
		synctest.Wait()
		s.want(raw, "")
		if hits := s.idp.hits.Load(); hits != 2 {
			t.Errorf("%d fetches, want 2", hits)
		}
		if s.log.count("keys are new") != 2 {
			t.Errorf("log: %s", s.log)
		}
	})
}

// jwks-02.
func TestARemovedKeyIsGoneAfterTheNextRefresh(t *testing.T) {
	t.Parallel()
	one, two := signer(t, privatePEM(t, newECKey(t)), "ES256", "1"), signer(t, privatePEM(t, newECKey(t)), "ES256", "2")
	raw := sign(t, one, claims(map[string]any{"exp": 4000000000}))
	synctest.Test(t, func(t *testing.T) {
		s := newKeySetTest(t, KeySetOptions{Refresh: 10 * time.Minute}, serve(setOf(t, jwk(t, one, nil), jwk(t, two, nil))))
		defer running(t, s.set)()
		synctest.Wait()
		s.want(raw, "")
		s.idp.set(serve(setOf(t, jwk(t, two, nil))))
		time.Sleep(8 * time.Minute)
		synctest.Wait()
		s.want(raw, "")
		time.Sleep(3*time.Minute + time.Second)
		synctest.Wait()
		s.want(raw, "unknown_key")
	})
}

// jwks-03: while the issuer's keys were never had, a token that names it is
// answered 503, no token 401; the failures are few and far between.
func TestKeysUnreachableAtStart(t *testing.T) {
	t.Parallel()
	good := signer(t, privatePEM(t, newECKey(t)), "ES256", "1")
	raw := sign(t, good, claims(map[string]any{"exp": 4000000000}))
	synctest.Test(t, func(t *testing.T) {
		s := newKeySetTest(t, KeySetOptions{}, fail(503))
		s.want(raw, "keys_unavailable")
		if status := s.set.Status(); status.Ready || status.Err != "" {
			t.Errorf("before Run: %+v", status)
		}
		defer running(t, s.set)()
		synctest.Wait()
		s.want(raw, "keys_unavailable")
		if _, err := s.auth.Authenticate(t.Context(), fields{}); !errors.Is(err, ErrNoCredential) {
			t.Errorf("no token: %v", err)
		}
		_, err := s.auth.Authenticate(t.Context(), bearerOf(raw))
		if !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrInvalidToken) {
			t.Errorf("a token: %v", err)
		}
		s.want(forge(testSecret, `{"alg":"none"}`, string(toJSON(t, claims(nil)))), "algorithm") // keys or no keys
		if status := s.set.Status(); status.Ready || !strings.Contains(status.Err, "answers status 503") {
			t.Errorf("after a failure: %+v", status)
		}
		for range 30 {
			s.reason(raw)
			time.Sleep(time.Second)
		}
		// 1 s, 2 s, 4 s, 8 s, each give or take a fifth, make five in 30 s.
		if hits := s.idp.hits.Load(); hits < 4 || hits > 6 {
			t.Errorf("%d fetches in 30 s of failures", hits)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		before := s.idp.hits.Load()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if hits := s.idp.hits.Load() - before; hits < 9 || hits > 13 {
			t.Errorf("%d fetches in 10 min of failures, want one a minute or so", hits)
		}
		s.idp.set(serve(setOf(t, jwk(t, good, nil))))
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		s.want(raw, "")
		if status := s.set.Status(); !status.Ready || status.Err != "" || status.Keys != 1 {
			t.Errorf("at last: %+v", status)
		}
		if s.log.count("keys cannot be fetched") != 1 || s.log.count("keys can be fetched again") != 1 {
			t.Errorf("the log tells more than the changes: %s", s.log)
		}
		if strings.Contains(s.log.String(), "canary") {
			t.Errorf("the log tells too much: %s", s.log)
		}
	})
}

// jwks-04: a slow or broken answer is cut off after 5 s, and those who hold
// known keys do not notice.
func TestSlowAndBrokenAnswers(t *testing.T) {
	t.Parallel()
	good := signer(t, privatePEM(t, newECKey(t)), "ES256", "1")
	raw := sign(t, good, claims(map[string]any{"exp": 4000000000}))
	for name, answer := range map[string]http.HandlerFunc{
		"drips": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte(" "))
				_ = http.NewResponseController(w).Flush()
				time.Sleep(time.Second)
			}
		},
		"hangs": func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-time.After(30 * time.Second):
			}
		},
		"breaks off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write(make([]byte, 100))
			panic(http.ErrAbortHandler)
		},
		"redirects slowly": func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(2 * time.Second)
			http.Redirect(w, r, "/jwks", http.StatusFound)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newKeySetTest(t, KeySetOptions{}, serve(setOf(t, jwk(t, good, nil))))
				if err := s.set.Fetch(t.Context()); err != nil {
					t.Fatal(err)
				}
				s.idp.set(answer)
				start := time.Now()
				done := make(chan error, 1)
				go func() { done <- s.set.Fetch(t.Context()) }()
				for range 10 {
					s.want(raw, "")
					time.Sleep(100 * time.Millisecond)
				}
				if err := <-done; err == nil || strings.Contains(err.Error(), "canary") {
					t.Errorf("got %v", err)
				}
				if took := time.Since(start); took > 5*time.Second {
					t.Errorf("took %v", took)
				}
				s.want(raw, "")
				time.Sleep(time.Minute) // the server's side ends too
			})
		})
	}
}

// jwks-06: in one set (package token skips both), and across sources.
func TestAKidOfTwoSourcesIsRefused(t *testing.T) {
	t.Parallel()
	mine, theirs := signer(t, privatePEM(t, newECKey(t)), "ES256", "k"), signer(t, privatePEM(t, newECKey(t)), "ES256", "k")
	var log logs
	one, err := mine.PublicJWKS()
	if err != nil {
		t.Fatal(err)
	}
	for name, order := range map[string]func(a, b KeySource) []KeySource{
		"static first": func(a, b KeySource) []KeySource { return []KeySource{a, b} },
		"remote first": func(a, b KeySource) []KeySource { return []KeySource{b, a} },
	} {
		keys := order(static(t, fixed("", "", one)), servedKeySet(t, KeySetOptions{}, setOf(t, jwk(t, theirs, nil))))
		a := accepting(newIssuer(t, IssuerOptions{Keys: keys, Log: log.logger()}))
		for _, s := range []*token.Signer{mine, theirs, mine} {
			_, err := a.Authenticate(t.Context(), bearerOf(sign(t, s, claims(nil))))
			if Reason(err) != "ambiguous_key" {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if log.count("different keys") != 2 { // once an issuer
		t.Errorf("log: %s", log.String())
	}
	both := []KeySource{static(t, fixed("", "", one)), servedKeySet(t, KeySetOptions{}, setOf(t, jwk(t, mine, nil)))}
	if _, err := accepting(newIssuer(t, IssuerOptions{Keys: both})).Authenticate(t.Context(), bearerOf(sign(t, mine, claims(nil)))); err != nil {
		t.Errorf("the same key twice: %v", err)
	}
	k := servedKeySet(t, KeySetOptions{}, setOf(t, jwk(t, mine, nil), jwk(t, theirs, nil), jwk(t, theirs, map[string]any{"kid": "other"})))
	_, err = accepting(newIssuer(t, IssuerOptions{Keys: []KeySource{k}})).Authenticate(t.Context(), bearerOf(sign(t, mine, claims(nil))))
	if Reason(err) != "unknown_key" {
		t.Errorf("in one set: %v", err)
	}
}

// jwks-08: what the issuer says of caching changes nothing; refresh decides.
func TestCacheHeadersAreIgnored(t *testing.T) {
	t.Parallel()
	good := signer(t, privatePEM(t, newECKey(t)), "ES256", "1")
	for _, header := range []string{"max-age=0", "max-age=31536000", "no-store", "no-cache, must-revalidate"} {
		synctest.Test(t, func(t *testing.T) {
			s := newKeySetTest(t, KeySetOptions{Refresh: 15 * time.Minute}, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Cache-Control", header)
				w.Header().Set("Expires", "Thu, 01 Jan 1970 00:00:00 GMT")
				serve(setOf(t, jwk(t, good, nil)))(w, r)
			})
			defer running(t, s.set)()
			time.Sleep(2 * time.Hour)
			synctest.Wait()
			if hits := s.idp.hits.Load(); hits < 8 || hits > 9 { // 120 min / 15 min, give or take a tenth
				t.Errorf("%s: %d fetches in 2 h", header, hits)
			}
		})
	}
}

// jwks-10: kids are exact.
func TestKidsAreExact(t *testing.T) {
	t.Parallel()
	key := newECKey(t)
	a := accepting(newIssuer(t, IssuerOptions{
		Keys: []KeySource{servedKeySet(t, KeySetOptions{}, setOf(t, jwk(t, signer(t, privatePEM(t, key), "ES256", "key1"), nil)))},
	}))
	for kid, want := range map[string]string{
		"key1": "", "KEY1": "unknown_key", "key1 ": "unknown_key", " key1": "unknown_key", "key": "unknown_key", "key11": "unknown_key", "../key1": "unknown_key", "k\u0435y1": "unknown_key",
	} {
		_, err := a.Authenticate(t.Context(), bearerOf(sign(t, signer(t, privatePEM(t, key), "ES256", kid), claims(nil))))
		if Reason(err) != want {
			t.Errorf("%q: %v, want %q", kid, err, want)
		}
	}
	_, err := a.Authenticate(t.Context(), bearerOf(forge(testSecret, `{"alg":"ES256","kid":"key1\u0000"}`, string(toJSON(t, claims(nil))))))
	wantReason(t, err, "malformed")
}

// jwks-11: many who want the first keys share one fetch; requests cause none.
func TestAHerdMakesOneFetch(t *testing.T) {
	t.Parallel()
	good := signer(t, privatePEM(t, newECKey(t)), "ES256", "1")
	raw := sign(t, good, claims(map[string]any{"exp": 4000000000}))
	synctest.Test(t, func(t *testing.T) {
		s := newKeySetTest(t, KeySetOptions{}, func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			serve(setOf(t, jwk(t, good, nil)))(w, r)
		})
		var herd sync.WaitGroup
		for range 500 {
			herd.Go(func() { s.want(raw, "keys_unavailable") })
		}
		herd.Wait()
		if hits := s.idp.hits.Load(); hits != 0 {
			t.Errorf("requests made %d fetches", hits)
		}
		for range 500 {
			herd.Go(func() {
				if err := s.set.Fetch(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		herd.Wait()
		if hits := s.idp.hits.Load(); hits != 1 {
			t.Errorf("%d fetches, want 1", hits)
		}
		s.want(raw, "")
	})
}

// A fetch does not end with the first who wanted it, nor hold up who leaves.
func TestAFetchOutlivesItsFirstCaller(t *testing.T) {
	t.Parallel()
	good := signer(t, privatePEM(t, newECKey(t)), "ES256", "1")
	synctest.Test(t, func(t *testing.T) {
		s := newKeySetTest(t, KeySetOptions{}, func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			serve(setOf(t, jwk(t, good, nil)))(w, r)
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := s.set.Fetch(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		time.Sleep(2 * time.Second)
		if !s.set.Status().Ready {
			t.Error("the fetch ended with its first caller")
		}
	})
}

// What was fetched before Run is not fetched again at once.
func TestRunGoesOnFromAFetch(t *testing.T) {
	t.Parallel()
	good := signer(t, privatePEM(t, newECKey(t)), "ES256", "1")
	synctest.Test(t, func(t *testing.T) {
		s := newKeySetTest(t, KeySetOptions{Refresh: time.Hour}, serve(setOf(t, jwk(t, good, nil))))
		if err := s.set.Fetch(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer running(t, s.set)()
		time.Sleep(50 * time.Minute)
		synctest.Wait()
		if hits := s.idp.hits.Load(); hits != 1 {
			t.Errorf("%d fetches, want 1", hits)
		}
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		if hits := s.idp.hits.Load(); hits != 2 {
			t.Errorf("%d fetches, want 2", hits)
		}
	})
}
