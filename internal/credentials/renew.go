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
	"github.com/sallyport/sallyport/internal/telemetry"
)

const (
	defaultRefreshBefore = 5 * time.Minute

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
	eager      bool          // a value made with what was rotated away is renewed at once
	now        func() time.Time
	log        *slog.Logger
	series     *series
	onEvent    func(Event) // of each attempt; nil: nobody is told

	current atomic.Pointer[lease]
	poked   chan struct{} // wakes Run to look whether a fetch is due
	rotated atomic.Bool   // what fetch authenticates with changed since it last began

	mu       sync.Mutex
	running  bool // or was
	stopped  bool
	fetching bool
	demanded bool      // a fetch was asked for and has not begun
	counted  time.Time // when the last one that was asked for began
	pending  *attempt  // the fetch under way, or the next
	next     time.Time // when that is due
	failures int       // since the last success
	failure  error     // the last of them
}

// An attempt is one fetch. How it ended is set before done is closed.
type attempt struct {
	done chan struct{}
	err  error
}

func newAttempt() *attempt { return &attempt{done: make(chan struct{})} }

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
	r.log = telemetry.Discard(r.log).With("credential", r.name, "type", r.kind)
	r.poked = make(chan struct{}, 1)
	r.pending = newAttempt()
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
	started := r.begin()
	value, lifetime, err := r.fetch(ctx)
	arrived := r.now()
	if ctx.Err() != nil {
		return arrived
	}
	took := arrived.Sub(started)
	// Counted from before the request was sent, which is before the issuer
	// began to count.
	expires := started.Add(lifetime)
	margin := min(maxMargin, lifetime/10)
	fresh := &lease{value: value, until: expires.Add(-margin), expires: expires}
	if err == nil && !fresh.good(arrived) {
		err = errTooShort
	}
	if err != nil {
		return r.failed(err, took, arrived.Add(pause.NextBackOff()))
	}
	pause.Reset()
	// Never sooner than half of what is left, or short lifetimes would loop; and
	// never so late that requests come to wait for it.
	left := expires.Sub(arrived)
	lead := min(max(r.before, 2*margin), left/2)
	jitter := time.Duration(rand.Int64N(int64(lead)/10 + 1))
	return r.succeeded(fresh, took, expires.Add(jitter-lead))
}

// begin notes that an attempt begins, and returns when.
func (r *renewer) begin() time.Time {
	r.rotated.Store(false)
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if r.demanded {
		r.counted = now
	}
	r.fetching, r.demanded = true, false
	return now
}

func (r *renewer) succeeded(fresh *lease, took time.Duration, next time.Time) time.Time {
	r.current.Store(fresh)
	r.settle(next, nil)
	r.series.renewed(took, fresh.expires)
	r.log.Info("credential renewed", "valid_until", fresh.expires, "next_renewal", next, "took", took.Round(time.Millisecond))
	r.tell(Event{Result: resultSuccess, ValidUntil: fresh.expires, NextRenewal: next, Took: took})
	return next
}

func (r *renewer) failed(err error, took time.Duration, next time.Time) time.Time {
	failures := r.settle(next, err)
	reason := reasonOf(err)
	r.series.failed(took, reason)
	now, old := r.now(), r.current.Load()
	r.log.Warn("credential not renewed", "reason", reason, "error", err, "failures", failures, "took", took.Round(time.Millisecond),
		"retry_in", next.Sub(now).Round(time.Millisecond), "still_valid", old.good(now))
	e := Event{Result: resultFailure, Reason: reason, Error: err.Error(), NextRenewal: next, Took: took, Failures: failures}
	if old.good(now) {
		e.ValidUntil = old.expires
	}
	r.tell(e)
	return next
}

// tell tells of an attempt, with no lock held.
func (r *renewer) tell(e Event) {
	if r.onEvent != nil {
		e.Credential, e.Type = r.name, r.kind
		r.onEvent(e)
	}
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
	r.release(err)
	return r.failures
}

// release ends the pending attempt. Its caller holds mu.
func (r *renewer) release(err error) {
	r.fetching = false
	r.pending.err = err
	close(r.pending.done)
	r.pending = newAttempt()
}

func (r *renewer) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped, r.next = true, time.Time{}
	r.release(errStopped)
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

// wanted reports whether to fetch before the time: when that is asked for; after
// failures, or if it is eager, when there is something new to authenticate with;
// and else when the value did not last until its renewal, as where the clock runs
// on in a machine that sleeps and timers do not.
func (r *renewer) wanted() bool {
	r.mu.Lock()
	demanded, failing := r.demanded, r.failures > 0
	r.mu.Unlock()
	if demanded || failing || r.eager && r.rotated.Load() {
		return demanded || r.rotated.Load()
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
