package credentials

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/sallyport/sallyport/internal/secrets"
)

const (
	defaultRefreshBefore = 5 * time.Minute

	// maxWait is how long a request waits for a value while there is none; the
	// caller has its 503 within 5 s.
	maxWait = 4500 * time.Millisecond

	// maxMargin is how long before its expiry a value is given out for the last
	// time, so that it is still good when it arrives.
	maxMargin = 5 * time.Second
)

var (
	errStopped  = errors.New("renewal has stopped")
	errNotYet   = errors.New("the first fetch is not done")
	errTooShort = errors.New("the token had expired when it arrived")
)

// A renewer keeps one value that expires: it fetches the first when Run starts,
// and the next ahead of expiry. Every rotating credential is one of these around
// its own fetch.
//
// Only Run fetches, one fetch at a time, and with the context of Run: a caller
// that gives up takes no one else's fetch with it. Callers see one of three
// states. While a value is good they get it at once. While there is none and
// nothing has failed, they wait for the fetch under way. After a failure, until
// a fetch succeeds again, they are refused at once, so that an endpoint that
// hangs holds up no requests.
//
// Lifetimes run by the monotonic clock that time.Time carries: setting the
// machine's clock neither shortens nor prolongs them.
type renewer struct {
	name, kind string
	fetch      func(context.Context) (secrets.Secret, time.Duration, error)
	before     time.Duration // how long before expiry to renew
	now        func() time.Time
	log        *slog.Logger
	series     *series

	current atomic.Pointer[lease]
	poked   chan struct{} // wakes Run to look whether a fetch is due
	rotated atomic.Bool   // what fetch authenticates with changed since it last began

	mu       sync.Mutex
	running  bool // or was
	stopped  bool
	settled  chan struct{} // closed when the fetch under way, or the next, has ended
	next     time.Time     // when that is due
	failures int           // since the last success
	failure  error         // the last of them
}

// A lease is a value and its time.
type lease struct {
	value   secrets.Secret
	until   time.Time // given out before this
	expires time.Time // as its issuer said
}

func (l *lease) good(now time.Time) bool { return l != nil && now.Before(l.until) }

// newRenewer fills in what is left out, and starts nothing.
func newRenewer(r *renewer) *renewer {
	r.before = cmp.Or(r.before, defaultRefreshBefore)
	if r.now == nil {
		r.now = time.Now
	}
	r.log = cmp.Or(r.log, slog.New(slog.DiscardHandler)).With("credential", r.name, "type", r.kind)
	r.poked = make(chan struct{}, 1)
	r.settled = make(chan struct{})
	return r
}

// Run fetches and renews until ctx ends. After that a value that is still good
// serves on until it expires, for the requests that are still under way.
func (r *renewer) Run(ctx context.Context) error {
	r.mu.Lock()
	if r.running {
		r.mu.Unlock()
		return fmt.Errorf("credential %s: was run before", r.name)
	}
	r.running = true
	r.mu.Unlock()
	defer r.stop()

	// The randomisation is about the interval: 1 s to 1.5 s at first, doubling to
	// 40 s to 1 min.
	pause := &backoff.ExponentialBackOff{
		InitialInterval:     1250 * time.Millisecond,
		RandomizationFactor: 0.2,
		Multiplier:          2,
		MaxInterval:         50 * time.Second,
	}
	for ctx.Err() == nil {
		r.sleep(ctx, r.renew(ctx, pause))
	}
	return nil
}

// renew makes one attempt and returns when the next is due.
func (r *renewer) renew(ctx context.Context, pause *backoff.ExponentialBackOff) time.Time {
	r.rotated.Store(false)
	started := r.now()
	value, lifetime, err := r.fetch(ctx)
	arrived := r.now()
	if ctx.Err() != nil {
		return arrived
	}
	// Counted from before the request was sent, which is before the issuer
	// began to count.
	expires := started.Add(lifetime)
	margin := min(maxMargin, lifetime/10)
	fresh := &lease{value: value, until: expires.Add(-margin), expires: expires}
	if err == nil && !fresh.good(arrived) {
		err = errTooShort
	}
	if err != nil {
		return r.failed(err, arrived.Add(pause.NextBackOff()))
	}
	pause.Reset()
	// Never sooner than half of what is left, or short lifetimes would loop; and
	// never so late that requests come to wait for it.
	left := expires.Sub(arrived)
	lead := min(max(r.before, 2*margin), left/2)
	jitter := time.Duration(rand.Int64N(int64(lead)/10 + 1))
	return r.succeeded(fresh, expires.Add(jitter-lead))
}

func (r *renewer) succeeded(fresh *lease, next time.Time) time.Time {
	r.current.Store(fresh)
	r.settle(next, nil)
	r.series.renewed(fresh.expires)
	r.log.Info("credential renewed", "valid_until", fresh.expires, "next_renewal", next)
	return next
}

func (r *renewer) failed(err error, next time.Time) time.Time {
	failures := r.settle(next, err)
	r.series.failed()
	now := r.now()
	r.log.Warn("credential not renewed", "error", err, "failures", failures,
		"retry_in", next.Sub(now).Round(time.Millisecond), "still_valid", r.current.Load().good(now))
	return next
}

// settle ends an attempt: it lets go of those who wait for it.
func (r *renewer) settle(next time.Time, err error) (failures int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next, r.failure = next, err
	if err == nil {
		r.failures = 0
	} else {
		r.failures++
	}
	close(r.settled)
	r.settled = make(chan struct{})
	return r.failures
}

func (r *renewer) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped, r.next = true, time.Time{}
	close(r.settled)
	r.settled = make(chan struct{})
}

// sleep returns when the next attempt is due, or turns out to be wanted sooner.
func (r *renewer) sleep(ctx context.Context, next time.Time) {
	timer := time.NewTimer(next.Sub(r.now()))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case <-r.poked:
			if r.wanted() {
				return
			}
		}
	}
}

// wanted reports whether to fetch before the time: after failures, when there is
// something new to authenticate with; and else when the value did not last until
// its renewal, as where the clock runs on in a machine that sleeps and timers do
// not.
func (r *renewer) wanted() bool {
	r.mu.Lock()
	failing := r.failures > 0
	r.mu.Unlock()
	if failing {
		return r.rotated.Load()
	}
	return !r.current.Load().good(r.now())
}

func (r *renewer) poke() {
	select {
	case r.poked <- struct{}{}:
	default: // it will look anyway
	}
}

// rotate says that the next fetch would authenticate with something else.
func (r *renewer) rotate() {
	r.rotated.Store(true)
	r.poke()
}

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
		settled, err := r.outlook()
		if l := r.current.Load(); l.good(r.now()) { // looked at after the channel was taken
			return l.value, nil
		}
		if err != nil {
			return secrets.Secret{}, err
		}
		r.poke()
		select {
		case <-settled:
		case <-ctx.Done():
			return secrets.Secret{}, &unavailable{r.name, time.Second, fmt.Errorf("%w: %w", errNotYet, ctx.Err())}
		}
	}
}

// outlook returns what to wait for, or an error if there is no use in waiting.
func (r *renewer) outlook() (settled <-chan struct{}, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.stopped:
		return nil, &unavailable{r.name, recheck, errStopped}
	case r.failures > 0:
		return nil, &unavailable{r.name, r.next.Sub(r.now()), r.failure}
	}
	return r.settled, nil
}

// Status tells how the value stands.
func (r *renewer) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := Status{Name: r.name, Type: r.kind, NextRenewal: r.next, ConsecutiveFailures: r.failures}
	if r.failure != nil {
		s.LastError = r.failure.Error()
	}
	if l := r.current.Load(); l != nil {
		s.ValidUntil, s.Ready = l.expires, l.good(r.now())
	}
	return s
}
