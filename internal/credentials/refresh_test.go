package credentials

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var _ Rotating = (*OAuth2)(nil)

func TestRefreshesThatComeTogetherAreOneFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{lifetime: time.Hour}
		r, stop := run(t, e, 0)
		defer stop()
		mustValue(t, r, "token-1")
		e.set(func(e *endpoint) { e.takes = time.Second })
		var group sync.WaitGroup
		for range 1000 {
			group.Go(func() {
				if err := r.Refresh(t.Context()); err != nil {
					t.Errorf("Refresh = %v", err)
				}
				mustValue(t, r, "token-2")
			})
		}
		synctest.Wait()
		mustValue(t, r, "token-1") // serves on, and nobody waits
		group.Wait()
		if e.count() != 2 {
			t.Errorf("%d fetches, want 2", e.count())
		}
	})
}

func TestRefreshIsRefusedWithinTenSecondsOfAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{lifetime: time.Hour}
		r, stop := run(t, e, 0)
		defer stop()
		mustValue(t, r, "token-1")
		refresh := func(want error, fetches int) {
			t.Helper()
			if err := r.Refresh(t.Context()); !errors.Is(err, want) {
				t.Errorf("Refresh = %v, want %v", err, want)
			}
			if e.count() != fetches {
				t.Errorf("%d fetches, want %d", e.count(), fetches)
			}
		}
		refresh(nil, 2) // what comes by itself does not count
		refresh(ErrTooSoon, 2)
		time.Sleep(10*time.Second - time.Nanosecond)
		refresh(ErrTooSoon, 2)
		time.Sleep(time.Nanosecond)
		refresh(nil, 3)

		time.Sleep(time.Until(r.Status().NextRenewal)) // by itself
		synctest.Wait()
		refresh(nil, 5)
		time.Sleep(10 * time.Second)
		e.set(func(e *endpoint) { e.err = errEndpoint })
		refresh(errEndpoint, 6) // a failure counts too
		refresh(ErrTooSoon, 6)
		mustValue(t, r, "token-5")
	})
}

func TestRefreshWithoutAValueIsAtMostOneInTenSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{err: errEndpoint}
		r, stop := run(t, e, 0)
		defer stop()
		time.Sleep(10 * time.Minute) // pauses of most of a minute by now
		before := e.count()
		for range 100 {
			_ = r.Refresh(t.Context())
		}
		if e.count() != before+1 {
			t.Errorf("%d fetches, want 1", e.count()-before)
		}
	})
}

func TestRefreshEndsWithItsCallerAndTheFetchGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{lifetime: time.Hour}
		r, stop := run(t, e, 0)
		defer stop()
		mustValue(t, r, "token-1")
		e.set(func(e *endpoint) { e.takes = 5 * time.Second })
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Refresh(impatient); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Refresh = %v", err)
		}
		began := time.Now()
		if err := r.Refresh(t.Context()); err != nil || time.Since(began) != 4*time.Second {
			t.Errorf("Refresh = %v after %s, want to have shared the fetch under way", err, time.Since(began))
		}
		mustValue(t, r, "token-2")
	})
}

func TestRefreshAfterTheEndIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{lifetime: time.Hour}
		r, stop := run(t, e, 0)
		mustValue(t, r, "token-1")
		e.set(func(e *endpoint) { e.takes = time.Hour })
		go func() {
			time.Sleep(time.Second)
			stop()
		}()
		for range 2 { // during the fetch that the end cuts off, and after
			if err := r.Refresh(t.Context()); !errors.Is(err, errStopped) {
				t.Errorf("Refresh = %v, want errStopped", err)
			}
		}
	})
}

func TestEachAttemptIsAnEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{lifetime: time.Minute, takes: 2 * time.Second, err: errTooShort}
		var events []Event
		var r *renewer
		r = newRenewer(&renewer{name: "crm", kind: "test", fetch: e.fetch, onEvent: func(event Event) {
			_ = r.Status() // no lock is held
			events = append(events, event)
		}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		began := time.Now()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		e.set(func(e *endpoint) { e.err = nil })
		time.Sleep(10 * time.Second)
		e.set(func(e *endpoint) { e.err = errEndpoint })
		time.Sleep(30 * time.Second)
		cancel()
		<-done
		if len(events) < 3 {
			t.Fatalf("%d events", len(events))
		}
		second := began.Add(events[0].NextRenewal.Sub(began))
		for i, want := range []Event{
			{Result: "failure", Reason: "lifetime", Error: errTooShort.Error(), Failures: 1},
			{Result: "success", ValidUntil: second.Add(time.Minute)},
			{Result: "failure", Reason: "other", Error: errEndpoint.Error(), Failures: 1, ValidUntil: second.Add(time.Minute)},
		} {
			got := events[i]
			want.Credential, want.Type, want.Took, want.NextRenewal = "crm", "test", 2*time.Second, got.NextRenewal
			if got != want {
				t.Errorf("event %d: %+v, want %+v", i+1, got, want)
			}
		}
	})
}
