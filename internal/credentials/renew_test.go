package credentials

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/internal/secrets"
)

var errEndpoint = errors.New("the endpoint fails")

// An endpoint hands out token-1, token-2 and so on, or fails, as it is told.
type endpoint struct {
	mu       sync.Mutex
	calls    []time.Time // when each fetch began
	lifetime time.Duration
	takes    time.Duration
	err      error
}

func (e *endpoint) fetch(ctx context.Context) (secrets.Secret, time.Duration, error) {
	e.mu.Lock()
	e.calls = append(e.calls, time.Now())
	n, lifetime, takes, err := len(e.calls), e.lifetime, e.takes, e.err
	e.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return secrets.Secret{}, 0, ctx.Err()
	}
	return secrets.NewSecret(fmt.Sprint("token-", n)), lifetime, err
}

func (e *endpoint) set(change func(*endpoint)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change(e)
}

func (e *endpoint) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.calls)
}

// began is when the fetch of token-n did.
func (e *endpoint) began(n int) time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.calls[n-1]
}

// run starts a renewer that ends with the test.
func run(t *testing.T, e *endpoint, before time.Duration) (r *renewer, stop func()) {
	t.Helper()
	r = newRenewer(&renewer{name: "crm", kind: "test", fetch: e.fetch, before: before})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return r, func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	}
}

func mustValue(t *testing.T, r *renewer, want string) {
	t.Helper()
	got, err := r.Value(t.Context())
	if err != nil || got.Reveal() != want {
		t.Fatalf("Value = %q, %v; want %q", got.Reveal(), err, want)
	}
}

func mustBeUnavailable(t *testing.T, r *renewer) error {
	t.Helper()
	got, err := r.Value(t.Context())
	if !errors.Is(err, ErrUnavailable) || !got.Empty() {
		t.Fatalf("Value = %q, %v; want ErrUnavailable", got.Reveal(), err)
	}
	return err
}

func TestRenewalComesAheadOfExpiryAndNeverBeforeHalfTheLifetime(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ lifetime, before, earliest, latest time.Duration }{
		{time.Hour, 0, 55 * time.Minute, 55*time.Minute + 30*time.Second},
		{time.Hour, 20 * time.Minute, 40 * time.Minute, 42 * time.Minute},
		{5 * time.Minute, 0, 150 * time.Second, 165 * time.Second},
		{10 * time.Second, 0, 5 * time.Second, 5500 * time.Millisecond},
		{time.Second, 0, 500 * time.Millisecond, 550 * time.Millisecond},
		{time.Hour, time.Nanosecond, time.Hour - 10*time.Second, time.Hour - 9*time.Second}, // still before the margin
	} {
		t.Run(fmt.Sprint(tt.lifetime, " less ", tt.before), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &endpoint{lifetime: tt.lifetime}
				r, stop := run(t, e, tt.before)
				defer stop()
				for n := 1; n < 20; n++ {
					mustValue(t, r, fmt.Sprint("token-", n))
					time.Sleep(time.Until(e.began(n).Add(tt.latest + time.Nanosecond)))
					synctest.Wait()
					if e.count() != n+1 {
						t.Fatalf("%d fetches after %s, want %d", e.count(), tt.latest, n+1)
					}
					after := e.began(n + 1).Sub(e.began(n))
					if after < tt.earliest || after > tt.latest {
						t.Fatalf("renewed after %s, want %s to %s", after, tt.earliest, tt.latest)
					}
				}
			})
		})
	}
}

// The case oauth-08: a 60 s token whose renewal fails serves until it expires,
// and not a moment longer.
func TestOldTokenServesUntilItsExpiryAndNotPastIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{lifetime: time.Minute}
		r, stop := run(t, e, 15*time.Second)
		defer stop()
		mustValue(t, r, "token-1")
		began := e.began(1)
		e.set(func(e *endpoint) { e.err = errEndpoint })

		time.Sleep(55*time.Second - time.Nanosecond - time.Since(began))
		mustValue(t, r, "token-1")
		if e.count() < 2 {
			t.Fatal("no renewal was tried")
		}
		time.Sleep(time.Nanosecond)
		err := mustBeUnavailable(t, r)
		if !errors.Is(err, errEndpoint) {
			t.Errorf("Value = %v, want the reason in it", err)
		}
		if s := r.Status(); s.Ready || s.ConsecutiveFailures == 0 || s.LastError != errEndpoint.Error() {
			t.Errorf("Status = %+v", s)
		}
		e.set(func(e *endpoint) { e.err = nil })
		time.Sleep(time.Minute)
		if _, err := r.Value(t.Context()); err != nil {
			t.Errorf("once the endpoint is back: %v", err)
		}
	})
}

// The case oauth-01: failures back off, and callers do not wait for them.
func TestFailuresBackOffFromOneSecondToOneMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{err: errEndpoint}
		r, stop := run(t, e, 0)
		defer stop()
		synctest.Wait()
		for n, base := range []time.Duration{1250, 2500, 5000, 10_000, 20_000, 40_000, 50_000, 50_000, 50_000} {
			base *= time.Millisecond
			if e.count() != n+1 {
				t.Fatalf("%d fetches, want %d", e.count(), n+1)
			}
			began := time.Now()
			err := mustBeUnavailable(t, r)
			if time.Since(began) != 0 {
				t.Fatalf("waited %s while backing off", time.Since(began))
			}
			pause := RetryAfter(err)
			if pause < base*8/10 || pause > base*12/10 || pause < time.Second || pause > time.Minute+time.Millisecond {
				t.Fatalf("pause %d is %s, want about %s", n, pause, base)
			}
			time.Sleep(pause - time.Nanosecond)
			synctest.Wait()
			if e.count() != n+1 {
				t.Fatalf("fetched before the pause of %s was over", pause)
			}
			time.Sleep(time.Nanosecond)
			synctest.Wait()
		}
		e.set(func(e *endpoint) { e.err, e.lifetime = nil, time.Hour })
		time.Sleep(time.Minute + time.Millisecond)
		if _, err := r.Value(t.Context()); err != nil {
			t.Fatalf("once the endpoint is back: %v", err)
		}
		if s := r.Status(); !s.Ready || s.ConsecutiveFailures != 0 || s.LastError != "" {
			t.Errorf("Status = %+v", s)
		}
	})
}

func TestTokenThatArrivesTooLateIsAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{lifetime: 2 * time.Second, takes: 3 * time.Second}
		r, stop := run(t, e, 0)
		defer stop()
		if err := mustBeUnavailable(t, r); !errors.Is(err, errTooShort) {
			t.Errorf("Value = %v, want errTooShort", err)
		}
		time.Sleep(time.Minute)
		if e.count() > 10 {
			t.Errorf("%d fetches in a minute", e.count())
		}
	})
}

func TestRotatedSecretIsTriedAtOnceAfterFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{err: errEndpoint}
		r, stop := run(t, e, 0)
		defer stop()
		time.Sleep(10 * time.Minute) // pauses of most of a minute by now
		failed := e.count()
		e.set(func(e *endpoint) { e.err, e.lifetime = nil, time.Hour })
		r.rotate()
		synctest.Wait()
		if e.count() != failed+1 {
			t.Fatalf("%d fetches after the rotation, want one", e.count()-failed)
		}
		good := fmt.Sprint("token-", e.count())
		mustValue(t, r, good)

		r.rotate() // while all is well a new secret is for the next renewal
		time.Sleep(time.Minute)
		mustValue(t, r, good)
	})
}

func TestSecretRotatedDuringAFetchThatFailsIsTriedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{err: errEndpoint, takes: 2 * time.Second}
		r, stop := run(t, e, 0)
		defer stop()
		time.Sleep(time.Second)
		r.rotate()
		time.Sleep(time.Second)
		synctest.Wait()
		if e.count() != 2 {
			t.Errorf("%d fetches, want the second at once", e.count())
		}
	})
}

// The row "process" of the threat model: setting the machine's clock neither
// shortens nor prolongs a lifetime.
func TestLifetimesAreMonotonic(t *testing.T) {
	t.Parallel()
	r, stop := run(t, &endpoint{lifetime: time.Minute}, 0) // in real time: there is no such reading in a bubble
	defer stop()
	mustValue(t, r, "token-1")
	if l := r.current.Load(); l.until == l.until.Round(0) {
		t.Error("the expiry has no monotonic reading")
	}
}
