package crypto

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
)

// ErrBusy says that too many passwords are being hashed already: come again.
var ErrBusy = errors.New("too many passwords are being hashed")

// queuePerWorker is how many callers may wait for each worker, and queueWait how
// long.
const (
	queuePerWorker = 4
	queueWait      = 2 * time.Second
)

// Workers bound how many passwords are hashed at once: each takes a core for
// long, and those that answer requests need cores too.
type Workers struct {
	running chan struct{}
	waiting chan struct{}
}

// NewWorkers returns n workers; half the cores, and at least one, if n is not
// positive. There are four places for callers who wait behind each.
func NewWorkers(n int) *Workers {
	if n <= 0 {
		n = max(1, runtime.GOMAXPROCS(0)/2)
	}
	return &Workers{running: make(chan struct{}, n), waiting: make(chan struct{}, n*queuePerWorker)}
}

// Do runs f when a worker is free. It is an ErrBusy at once where too many wait
// already, and after two seconds of waiting; a context that ends ends the wait,
// but not f.
func (w *Workers) Do(ctx context.Context, f func()) error {
	select {
	case w.running <- struct{}{}:
	default:
		if err := w.queue(ctx); err != nil {
			return err
		}
	}
	defer func() { <-w.running }()
	f()
	return nil
}

func (w *Workers) queue(ctx context.Context) error {
	select {
	case w.waiting <- struct{}{}:
	default:
		return ErrBusy
	}
	defer func() { <-w.waiting }()
	timer := time.NewTimer(queueWait)
	defer timer.Stop()
	select {
	case w.running <- struct{}{}:
		return nil
	case <-timer.C:
		return ErrBusy
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrBusy, context.Cause(ctx))
	}
}
