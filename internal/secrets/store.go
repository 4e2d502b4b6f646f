package secrets

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// atOnce bounds the reads a Store has going at the same time.
	atOnce = 8
	// An outage is looked at again this long after the last look began, twice
	// as long each time: at most 4 s, so that its end shows within 5.
	firstRetry, lastRetry = time.Second, 4 * time.Second
)

// Backend is where secrets come from. Get returns errors of the kinds above,
// which name the reference and quote no secret; one of another kind counts as
// [ErrUnavailable]. It is called by several goroutines at once.
type Backend interface {
	Name() string // a word for logs and metrics
	Get(ctx context.Context, ref Reference) (Secret, error)
}

// Options tune a Store. The zero value is ready for use.
type Options struct {
	Refresh  time.Duration    // between two reads of a value, give or take a tenth; zero means 1m
	MaxStale time.Duration    // how long a last known value is used; zero means 1h, negative no limit
	Timeout  time.Duration    // of one read; zero means 5s
	Now      func() time.Time // nil means time.Now
	Log      *slog.Logger     // nil means none
	Metrics  *Metrics         // nil means none
}

// Store keeps the values in use, each read once a refresh however many use it.
type Store struct {
	backend  Backend
	refresh  time.Duration
	maxStale time.Duration
	timeout  time.Duration
	now      func() time.Time
	log      *slog.Logger
	metrics  *Metrics

	slots chan struct{} // full while atOnce reads go on
	more  chan struct{} // full while Run has not seen the newest values

	mu     sync.Mutex
	byRef  map[Reference]*Value
	values []*Value // in the order they were asked for; only ever grows
}

// NewStore returns a Store of b. It reads nothing before Fetch or Run.
func NewStore(b Backend, o Options) *Store {
	s := &Store{
		backend:  b,
		refresh:  cmp.Or(max(o.Refresh, 0), time.Minute),
		maxStale: cmp.Or(o.MaxStale, time.Hour),
		timeout:  cmp.Or(max(o.Timeout, 0), 5*time.Second),
		now:      o.Now,
		log:      o.Log,
		metrics:  o.Metrics,
		slots:    make(chan struct{}, atOnce),
		more:     make(chan struct{}, 1),
		byRef:    make(map[Reference]*Value),
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.maxStale > 0 { // or a value goes stale between two good reads
		s.refresh = min(s.refresh, max(s.maxStale/2, 1))
	}
	return s
}

// Watch returns the Value at ref, the same one each time. It is read by the
// next Fetch, or at once and in the background if Run goes on.
func (s *Store) Watch(ref Reference) *Value {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.byRef[ref]; ok {
		return v
	}
	v := &Value{
		ref: ref, name: ref.String(), now: s.now, maxStale: s.maxStale, log: s.log,
		asking: make(chan struct{}, 1),
	}
	v.current.Store(&state{err: fmt.Errorf("secret %s: %w", v.name, ErrPending), told: "pending"})
	s.byRef[ref] = v
	s.values = append(s.values, v)
	select {
	case s.more <- struct{}{}:
	default:
	}
	return v
}

func (s *Store) watched() []*Value {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.values[:len(s.values):len(s.values)]
}

// Fetch reads all that is watched so far and waits for it, but not beyond ctx.
// It joins the errors of what could not be read.
func (s *Store) Fetch(ctx context.Context) error {
	values := s.watched()
	errs := make([]error, len(values))
	var reads sync.WaitGroup
	for i, v := range values {
		reads.Go(func() { errs[i] = s.read(ctx, v) })
	}
	reads.Wait()
	return errors.Join(errs...)
}

// Run reads each value every Refresh, and sooner during an outage, until ctx
// ends; then it returns nil.
func (s *Store) Run(ctx context.Context) error {
	s.metrics.add(s)
	defer s.metrics.remove(s)
	var followers sync.WaitGroup
	defer followers.Wait()
	for followed := 0; ; {
		values := s.watched()
		for _, v := range values[followed:] {
			followers.Go(func() { s.follow(ctx, v) })
		}
		followed = len(values)
		select {
		case <-s.more:
		case <-ctx.Done():
			return nil
		}
	}
}

// follow reads v each time its time has come.
func (s *Store) follow(ctx context.Context, v *Value) {
	for ctx.Err() == nil {
		wait := min(v.current.Load().next.Sub(s.now()), 2*s.refresh) // the clock may have been set back
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		// The error is kept in v, which tells of it where it is new.
		_ = s.read(ctx, v)
	}
}

// read reads v, or joins the read that goes on. When ctx ends it leaves, and
// the read goes on for the others: its time is bounded anyhow.
func (s *Store) read(ctx context.Context, v *Value) error {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return fmt.Errorf("secret %s: %w: %w", v.name, ErrUnavailable, ctx.Err())
	}
	flight := v.flight.DoChan("", func() (any, error) {
		return nil, s.readOnce(context.WithoutCancel(ctx), v)
	})
	select {
	case landed := <-flight:
		return landed.Err
	case <-ctx.Done():
		return fmt.Errorf("secret %s: %w: %w", v.name, ErrUnavailable, ctx.Err())
	}
}

func (s *Store) readOnce(ctx context.Context, v *Value) error {
	started := s.now()
	secret, err := s.ask(ctx, v)
	if err == nil && secret.Empty() {
		err = fmt.Errorf("secret %s: %w", v.name, ErrEmpty)
	}
	s.metrics.count(s.backend.Name(), Reason(err))
	old, st := v.settle(secret, err, started)
	st.next = started.Add(s.pause(st.failures))
	v.current.Store(st)
	v.tell(s.backend.Name(), old, st)
	if st.version != old.version {
		v.mu.Lock()
		watchers := v.watchers[:len(v.watchers):len(v.watchers)]
		v.mu.Unlock()
		for _, f := range watchers {
			f()
		}
	}
	return err
}

// ask asks the backend, for no longer than the timeout even of one that cannot
// be interrupted, as a file on a dead network mount. Such a one is not asked
// again before it has answered, so that no more than one goroutine hangs on it.
func (s *Store) ask(ctx context.Context, v *Value) (Secret, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	late := fmt.Errorf("secret %s: %w: no answer within %v", v.name, ErrUnavailable, s.timeout)
	select {
	case v.asking <- struct{}{}:
	case <-ctx.Done():
		return Secret{}, late
	}
	type answer struct {
		secret Secret
		err    error
	}
	answers := make(chan answer, 1)
	go func() {
		secret, err := s.backend.Get(ctx, v.ref)
		answers <- answer{secret, err}
		<-v.asking
	}()
	select {
	case a := <-answers:
		return a.secret, a.err
	case <-ctx.Done():
		return Secret{}, late
	}
}

// pause is how long after the begin of a read the next one is due, when there
// were so many outages in a row. It is spread, so that many gateways and many
// values do not ask at once.
func (s *Store) pause(failures int) time.Duration {
	wait := time.Duration(float64(s.refresh) * (0.9 + 0.2*rand.Float64()))
	if failures == 0 {
		return wait
	}
	retry := lastRetry
	if failures < 3 {
		retry = firstRetry << (failures - 1)
	}
	return min(wait, time.Duration(float64(retry)*(0.8+0.2*rand.Float64())))
}

// Status is how one reference is doing.
type Status struct {
	Name  string        // the text of the reference
	Ready bool          // there is a value to use
	Age   time.Duration // since the last good read began; zero if there was none
	Error string        // what the last read ended with, in a word: not_found, unavailable, …; "" if it was good
	Stale bool          // there was a value, and it is too old to use
}

// Status tells how each reference is doing, in the order they were watched.
func (s *Store) Status() []Status {
	values := s.watched()
	list := make([]Status, len(values))
	for i, v := range values {
		st := v.current.Load()
		list[i] = Status{Name: v.name}
		if st.err != nil {
			list[i].Error = Reason(st.err)
		}
		if !st.read.IsZero() {
			list[i].Age = s.now().Sub(st.read)
		}
		list[i].Stale = st.present && v.stale(st.read)
		list[i].Ready = st.present && !list[i].Stale
	}
	return list
}

// age is that of the oldest value in use.
func (s *Store) age() (oldest time.Duration, some bool) {
	for _, v := range s.watched() {
		if st := v.current.Load(); st.present {
			oldest, some = max(oldest, s.now().Sub(st.read)), true
		}
	}
	return oldest, some
}
