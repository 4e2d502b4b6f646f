package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/sallyport/sallyport/internal/telemetry"
	"github.com/sallyport/sallyport/internal/token"
)

// KeySetOptions say where an issuer publishes its keys. Zero durations mean the
// contract's defaults.
type KeySetOptions struct {
	Issuer   string          // its name in the configuration
	URL      string          // http or https
	Discover bool            // URL is the issuer's identifier: where the keys are is learned from its metadata
	Hosts    func() []string // further hosts, as HostPort has them, that a URL learned on the way may be on; nil: none
	Insecure bool            // a URL learned on the way may be plain http, if URL is, on other hosts than this machine
	Client   *http.Client    // nil means the standard one; redirects are judged here, whatever it says
	Refresh  time.Duration   // between two fetches, give or take a tenth; zero means 15 minutes
	Cooldown time.Duration   // between two fetches because of unknown kids; zero means 30 seconds
	MaxStale time.Duration   // how long keys serve after their last fetch; zero means 24 hours, negative no limit
	Now      func() time.Time
	Log      *slog.Logger
	Metrics  *Metrics
}

// KeySet holds the keys an issuer publishes at a URL, fetched in the background
// by Run. It is a [KeySource].
type KeySet struct {
	url                         *url.URL
	shown                       string // url without user, password and query
	discover                    bool   // url is the issuer's
	identifier                  string // the issuer's, as it was written
	reach                       reach
	client                      *http.Client
	refresh, cooldown, maxStale time.Duration
	now                         func() time.Time
	log                         *slog.Logger
	metrics                     *Metrics

	current atomic.Pointer[fetched] // nil before the first good fetch
	wanted  chan struct{}           // an unknown kid asks Run for a fetch

	mu     sync.Mutex     // never held while anything is written or awaited
	flight *flight        // the fetch under way
	asked  time.Time      // when an unknown kid was last heard
	err    error          // of the last fetch
	names  map[string]int // the issuers whose keys these are, and how many use them

	// Touched by the one fetch under way only.
	located *located        // with discover: where the keys were last
	skipped []token.Skipped // those of the last set
	stale   bool            // that the keys are too old has been told
}

// fetched is what one good fetch brought. It is never changed.
type fetched struct {
	all []token.Key
	at  time.Time
	n   uint64 // grows with each change of the keys
}

// flight is a fetch that any number of callers await.
type flight struct {
	done chan struct{}
	err  error
}

// NewKeySet starts nothing: the first keys come with Fetch or Run.
func NewKeySet(o KeySetOptions) (*KeySet, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("issuer %s: the URL of its keys is not an http or https URL", o.Issuer)
	}
	u.Fragment = ""
	k := &KeySet{
		names: map[string]int{o.Issuer: 0}, url: u, shown: withoutQuery(u), discover: o.Discover, identifier: o.URL,
		reach: reach{u, o.Hosts, o.Insecure}, metrics: o.Metrics,
		refresh:  cmp.Or(o.Refresh, 15*time.Minute),
		cooldown: cmp.Or(o.Cooldown, 30*time.Second),
		maxStale: cmp.Or(o.MaxStale, 24*time.Hour),
		now:      o.Now, log: o.Log, wanted: make(chan struct{}, 1),
	}
	if k.refresh < 0 || k.cooldown < 0 {
		return nil, fmt.Errorf("issuer %s: refresh and cooldown must not be negative", o.Issuer)
	}
	if k.now == nil {
		k.now = time.Now
	}
	k.log = telemetry.Discard(k.log)
	k.log = k.log.With("issuer", o.Issuer, "url", k.shown)
	k.client = new(http.Client)
	if o.Client != nil {
		*k.client = *o.Client
	}
	k.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return k, nil
}

// use is an issuer's use of a key set.
type use struct {
	set    *KeySet
	issuer string
}

// For returns what says, while its Run goes on, that the keys are of the issuer
// with this name: metrics tell of one set under the names of all who share it.
func (k *KeySet) For(issuer string) interface{ Run(context.Context) error } { return use{k, issuer} }

// Run implements the interface of [KeySet.For].
func (u use) Run(ctx context.Context) error {
	count := func(by int) {
		u.set.mu.Lock()
		defer u.set.mu.Unlock()
		if u.set.names[u.issuer] += by; u.set.names[u.issuer] == 0 {
			delete(u.set.names, u.issuer)
		}
	}
	count(1)
	defer count(-1)
	<-ctx.Done()
	return nil
}

// issuers returns the names of those whose keys these are.
func (k *KeySet) issuers() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Collect(maps.Keys(k.names))
}

// Lookup implements [KeySource].
func (k *KeySet) Lookup(kid, alg string) ([]token.Key, error) {
	f := k.current.Load()
	if f == nil || k.tooOld(f) {
		return nil, fmt.Errorf("%w: key set %s", ErrUnavailable, k.shown)
	}
	var found []token.Key
	for _, key := range f.all {
		if isCandidate(key, kid, alg) {
			found = append(found, key)
		}
	}
	return found, nil
}

// generation implements numbered.
func (k *KeySet) generation() (n uint64, whole bool) {
	f := k.current.Load()
	if f == nil || k.tooOld(f) {
		return 0, false
	}
	return f.n, true
}

// next returns what a fetch brought after f, which may be nil.
func (f *fetched) next(keys []token.Key, at time.Time) *fetched {
	switch {
	case f == nil:
		return &fetched{all: keys, at: at, n: 1}
	case slices.EqualFunc(f.all, keys, sameKey):
		return &fetched{all: keys, at: at, n: f.n}
	}
	return &fetched{all: keys, at: at, n: f.n + 1}
}

// sameKey reports whether two keys verify the same tokens.
func sameKey(a, b token.Key) bool {
	return a.ID == b.ID && a.Same(b) && slices.Equal(a.Algorithms, b.Algorithms)
}

func (k *KeySet) tooOld(f *fetched) bool {
	return k.maxStale >= 0 && k.now().Sub(f.at) > k.maxStale
}

// Missed says that a token was signed with a key that is not here. It asks for a
// fetch, at most one a cooldown however many tokens come, and waits for nothing.
func (k *KeySet) Missed() {
	now := k.now()
	k.mu.Lock()
	early := !k.asked.IsZero() && now.Sub(k.asked) < k.cooldown
	if !early {
		k.asked = now
	}
	k.mu.Unlock()
	if early {
		return
	}
	select {
	case k.wanted <- struct{}{}:
	default:
	}
}

// Run fetches the keys now, unless that was done just before, and again every
// refresh; after a failure sooner, at first in 1 s and at last every minute. It
// returns when ctx ends.
func (k *KeySet) Run(ctx context.Context) error {
	k.metrics.add(k)
	defer k.metrics.remove(k)
	retry := &backoff.ExponentialBackOff{InitialInterval: time.Second, Multiplier: 2, RandomizationFactor: 0.2, MaxInterval: time.Minute}
	timer := time.NewTimer(k.untilDue())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-k.wanted:
		}
		wait := k.pause()
		if err := k.Fetch(ctx); err != nil {
			wait = min(max(retry.NextBackOff(), time.Second), time.Minute)
		} else {
			retry.Reset()
		}
		timer.Reset(wait)
	}
}

// untilDue is how long the keys there are need no fetch.
func (k *KeySet) untilDue() time.Duration {
	if f := k.current.Load(); f != nil {
		return max(0, k.pause()-k.now().Sub(f.at))
	}
	return 0
}

// pause is a refresh, give or take a tenth, so that many gateways do not ask at
// one moment.
func (k *KeySet) pause() time.Duration {
	return time.Duration(float64(k.refresh) * (0.9 + 0.2*rand.Float64()))
}

// Fetch fetches the keys, or awaits the fetch that is under way: there is one at
// a time. That fetch goes on when ctx ends; it is bounded on its own.
func (k *KeySet) Fetch(ctx context.Context) error {
	k.mu.Lock()
	f := k.flight
	if f == nil {
		f = &flight{done: make(chan struct{})}
		k.flight = f
		go k.fly(context.WithoutCancel(ctx), f)
	}
	k.mu.Unlock()
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (k *KeySet) fly(ctx context.Context, f *flight) {
	started := k.now()
	keys, skipped, err := k.get(ctx)
	if err == nil && len(keys) == 0 { // an issuer that signs with nothing has made a mistake
		err = errors.New("no key in it can be used")
	}
	if err != nil {
		err = fmt.Errorf("key set %s: %w", k.shown, err)
	}
	for _, issuer := range k.issuers() {
		k.metrics.count(issuer, err)
	}
	before := k.current.Load()
	if err == nil { // a failure leaves the keys as they are
		k.current.Store(before.next(keys, started))
	}
	k.mu.Lock()
	failedBefore := k.err != nil
	k.err = err
	k.mu.Unlock()
	k.tell(before, keys, err, failedBefore)
	if err == nil || len(skipped) > 0 {
		k.tellSkipped(skipped)
	}
	k.mu.Lock()
	k.flight = nil
	k.mu.Unlock()
	f.err = err
	close(f.done)
}

// tell logs what has become different, and nothing while all stays as it was.
func (k *KeySet) tell(before *fetched, keys []token.Key, err error, failedBefore bool) {
	switch {
	case err == nil:
		k.stale = false
		if before == nil || fmt.Sprint(before.all) != fmt.Sprint(keys) {
			k.log.Info("keys are new", "keys", strings.Trim(fmt.Sprint(keys), "[]"))
		}
		if failedBefore {
			k.log.Info("keys can be fetched again")
		}
	case before != nil && k.tooOld(before):
		if !k.stale {
			k.stale = true
			k.log.Error("keys not fetched for too long: they are no longer used", "error", err)
		}
	case failedBefore:
	case before == nil:
		k.log.Warn("keys cannot be fetched: there are none", "error", err)
	default:
		k.log.Warn("keys cannot be fetched: the last known go on", "error", err)
	}
}

func (k *KeySet) tellSkipped(skipped []token.Skipped) {
	if len(skipped) > 0 && !slices.Equal(skipped, k.skipped) {
		warnSkipped(k.log, skipped)
	}
	k.skipped = skipped
}

// KeySetStatus is how a key set is doing.
type KeySetStatus struct {
	URL   string        // without user, password and query
	Keys  int           // that can be used
	Age   time.Duration // since the last good fetch began; zero if there was none
	Err   string        // of the last fetch; "" before it ended, or if it was good
	Ready bool          // there are keys, and they are not too old
}

// Status tells how the key set is doing.
func (k *KeySet) Status() KeySetStatus {
	s := KeySetStatus{URL: k.shown}
	k.mu.Lock()
	if k.err != nil {
		s.Err = k.err.Error()
	}
	k.mu.Unlock()
	if f := k.current.Load(); f != nil {
		s.Keys, s.Age, s.Ready = len(f.all), k.now().Sub(f.at), !k.tooOld(f)
	}
	return s
}
