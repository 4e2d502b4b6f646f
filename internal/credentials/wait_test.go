package credentials

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestRequestsDoNotWaitWhileAValueIsGood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{lifetime: time.Minute}
		r, stop := run(t, e, 0)
		defer stop()
		mustValue(t, r, "token-1")
		e.set(func(e *endpoint) { e.takes = 4 * time.Second })
		for range 600 { // ten minutes, a good ten renewals
			began := time.Now()
			if _, err := r.Value(t.Context()); err != nil {
				t.Fatal(err)
			}
			if waited := time.Since(began); waited > 0 {
				t.Fatalf("waited %s", waited)
			}
			time.Sleep(time.Second)
		}
		if e.count() < 10 {
			t.Errorf("%d fetches in ten minutes", e.count())
		}
	})
}

// The case oauth-06, and the row "token endpoint" of the threat model.
func TestAllWhoWaitShareOneFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{lifetime: time.Hour, takes: time.Second}
		r := newRenewer(&renewer{name: "crm", kind: "test", fetch: e.fetch})
		var group sync.WaitGroup
		for range 1000 {
			group.Go(func() {
				if got, err := r.Value(t.Context()); err != nil || got.Reveal() != "token-1" {
					t.Errorf("Value = %q, %v", got.Reveal(), err)
				}
			})
		}
		synctest.Wait()
		if e.count() != 0 {
			t.Error("fetched without Run")
		}
		ctx, cancel := context.WithCancel(t.Context())
		group.Add(1)
		go func() { defer group.Done(); _ = r.Run(ctx) }()
		time.Sleep(30 * time.Minute)
		if e.count() != 1 {
			t.Errorf("%d fetches, want 1", e.count())
		}
		cancel()
		group.Wait()
	})
}

func TestCallerThatGivesUpTakesNobodyAlong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{lifetime: time.Hour, takes: 2 * time.Second}
		r, stop := run(t, e, 0)
		defer stop()
		first, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var group sync.WaitGroup
		group.Go(func() {
			_, err := r.Value(first)
			if !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the first: %v", err)
			}
		})
		group.Go(func() { mustValue(t, r, "token-1") })
		group.Wait()
		if e.count() != 1 {
			t.Errorf("%d fetches, want 1", e.count())
		}
	})
}

// The case oauth-02: the caller has its answer within 5 s.
func TestEndpointThatHangsHoldsCallersUpForLessThanFiveSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{takes: 5 * time.Second, err: errEndpoint}
		r, stop := run(t, e, 0)
		defer stop()
		began := time.Now()
		mustBeUnavailable(t, r)
		if waited := time.Since(began); waited >= 5*time.Second {
			t.Errorf("waited %s", waited)
		}
		for range 100 { // from the first failure on nobody waits at all
			time.Sleep(time.Second)
			began := time.Now()
			mustBeUnavailable(t, r)
			if waited := time.Since(began); waited > 0 {
				t.Fatalf("waited %s after a failure", waited)
			}
		}
	})
}

func TestAfterItsEndAGoodValueServesOnAndNobodyWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{lifetime: time.Minute}
		r, stop := run(t, e, 0)
		mustValue(t, r, "token-1")
		stop()
		mustValue(t, r, "token-1")
		time.Sleep(time.Minute)
		began := time.Now()
		if err := mustBeUnavailable(t, r); !errors.Is(err, errStopped) {
			t.Errorf("Value = %v, want errStopped", err)
		}
		if time.Since(began) != 0 {
			t.Error("waited for a renewal that cannot come")
		}
		if err := r.Run(t.Context()); err == nil {
			t.Error("a second Run began")
		}
		if e.count() != 1 {
			t.Errorf("%d fetches, want 1", e.count())
		}
	})
}

func TestEndDuringAFetchLetsGoOfThoseWhoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{lifetime: time.Minute, takes: time.Hour}
		r, stop := run(t, e, 0)
		go func() {
			time.Sleep(time.Second)
			stop()
		}()
		if err := mustBeUnavailable(t, r); !errors.Is(err, errStopped) {
			t.Errorf("Value = %v, want errStopped", err)
		}
	})
}

func TestValueThatDidNotLastIsFetchedWhenAskedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var ahead time.Duration
		var mu sync.Mutex
		e := &endpoint{lifetime: time.Hour}
		r := newRenewer(&renewer{name: "crm", kind: "test", fetch: e.fetch, now: func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return time.Now().Add(ahead)
		}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		mustValue(t, r, "token-1")
		mu.Lock()
		ahead = 2 * time.Hour
		mu.Unlock()
		mustValue(t, r, "token-2")
		cancel()
		<-done
	})
}

func BenchmarkValue(b *testing.B) {
	e := &endpoint{lifetime: time.Hour}
	r := newRenewer(&renewer{name: "crm", kind: "test", fetch: e.fetch})
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	if _, err := r.Value(ctx); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, _ = r.Value(ctx)
		}
	})
	cancel()
	<-done
}
