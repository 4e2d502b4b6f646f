package credentials

import (
	"context"
	"fmt"
	"time"

	"github.com/sallyport/sallyport/internal/secrets"
)

// maxWait is how long a request waits for a value while there is none; the
// caller has its 503 within 5 s.
const maxWait = 4500 * time.Millisecond

// Value returns the value while it is good, without a lock.
func (r *renewer) Value(ctx context.Context) (secrets.Secret, error) {
	if l := r.current.Load(); l.good(r.now()) {
		return l.value, nil
	}
	return r.wait(ctx)
}

// wait waits for the fetch under way, unless it is known to be in vain.
func (r *renewer) wait(ctx context.Context) (secrets.Secret, error) {
	ctx, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	for {
		next, err := r.outlook()
		if l := r.current.Load(); l.good(r.now()) { // looked at after the attempt was taken
			return l.value, nil
		}
		if err != nil {
			return secrets.Secret{}, err
		}
		r.poke()
		select {
		case <-next.done:
		case <-ctx.Done():
			return secrets.Secret{}, &unavailable{r.name, time.Second, fmt.Errorf("%w: %w", errNotYet, ctx.Err())}
		}
	}
}

// outlook returns what to wait for, or an error if there is no use in waiting.
func (r *renewer) outlook() (*attempt, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.stopped:
		return nil, &unavailable{r.name, recheck, errStopped}
	case r.failures > 0:
		return nil, &unavailable{r.name, r.next.Sub(r.now()), r.failure}
	}
	return r.pending, nil
}
