package credentials

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// refreshPause is the shortest time between two renewals that are asked for.
// Whoever makes an upstream answer 401 asks for one, so this is what keeps a
// caller from turning the gateway against the token endpoint.
const refreshPause = 10 * time.Second

// ErrTooSoon says that a Refresh was refused, for the last one is too recent.
var ErrTooSoon = errors.New("renewed a moment ago")

// A Rotating credential can be renewed before its time.
type Rotating interface {
	Credential

	// Refresh renews the value now and returns once that has ended: nil if there
	// is a new value, else why not. All who ask meanwhile share the one fetch, also
	// if that was under way by itself. Within 10 s of another Refresh, whoever asked
	// for that one, it is ErrTooSoon. Until it succeeds the old value serves on. The
	// wait ends with ctx, or after a few seconds; the fetch goes on.
	Refresh(ctx context.Context) error
}

// Refresh is as [Rotating] says.
func (r *renewer) Refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	attempt, err := r.demand()
	if err != nil {
		return fmt.Errorf("credential %s: %w", r.name, err)
	}
	r.poke()
	select {
	case <-attempt.done:
	case <-ctx.Done():
		return &unavailable{r.name, time.Second, ctx.Err()}
	}
	if attempt.err != nil {
		return &unavailable{r.name, time.Second, attempt.err}
	}
	return nil
}

// demand returns the fetch under way, or the next, which it asks for; or why
// there is none to wait for.
func (r *renewer) demand() (*attempt, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.stopped:
		return nil, &unavailable{r.name, recheck, errStopped}
	case r.fetching || r.demanded:
	case r.current.Load() == nil && r.failures == 0: // the first fetch is due anyway
	case !r.counted.IsZero() && r.now().Sub(r.counted) < refreshPause:
		return nil, ErrTooSoon
	default:
		r.demanded = true
	}
	return r.pending, nil
}
