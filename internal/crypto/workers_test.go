package crypto

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestWorkersAreFewAndTheirQueueShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, release := NewWorkers(2), make(chan struct{})
		var running, most, done, busy atomic.Int64
		for range 20 {
			go func() {
				err := w.Do(t.Context(), func() {
					most.Store(max(most.Load(), running.Add(1)))
					<-release
					running.Add(-1)
				})
				if errors.Is(err, ErrBusy) {
					busy.Add(1)
				} else if err == nil {
					done.Add(1)
				}
			}()
		}
		synctest.Wait()
		if running.Load() != 2 || busy.Load() != 10 {
			t.Fatalf("%d run and %d were refused; want 2 and 10", running.Load(), busy.Load())
		}
		close(release)
		synctest.Wait()
		if most.Load() != 2 || done.Load() != 10 {
			t.Errorf("at most %d ran at once, %d in all; want 2 and 10", most.Load(), done.Load())
		}
	})
}

func TestWaitForAWorkerIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, release := NewWorkers(1), make(chan struct{})
		go func() { _ = w.Do(context.Background(), func() { <-release }) }()
		synctest.Wait()
		started := time.Now()
		if err := w.Do(t.Context(), func() { t.Error("it ran") }); !errors.Is(err, ErrBusy) || time.Since(started) != queueWait {
			t.Errorf("%v after %s", err, time.Since(started))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		started = time.Now()
		if err := w.Do(ctx, func() { t.Error("it ran") }); !errors.Is(err, ErrBusy) || !errors.Is(err, context.DeadlineExceeded) || time.Since(started) != time.Second {
			t.Errorf("%v after %s", err, time.Since(started))
		}
		close(release)
	})
}

func TestAWorkerIsFreeAgainAfterAPanic(t *testing.T) {
	t.Parallel()
	w := NewWorkers(1)
	func() {
		defer func() { _ = recover() }()
		_ = w.Do(t.Context(), func() { panic("boom") })
	}()
	if err := w.Do(t.Context(), func() {}); err != nil {
		t.Error(err)
	}
}
