package secrets

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/telemetry"
)

// Options tune a Store. The zero value is ready for use.
type Options struct {
	Refresh  time.Duration    // between two reads of a value, give or take a tenth; zero means 1m
	MaxStale time.Duration    // how long a last known value is used; zero means 1h, negative no limit
	Timeout  time.Duration    // of one read; zero means 5s
	Now      func() time.Time // nil means time.Now
	Log      *slog.Logger     // nil means none
	Metrics  *Metrics         // nil means none
	OnRead   func(Event)      // called after each read of a path, before any watcher, holding no lock; must be quick; nil means none
}

// Event tells of one read of one path, for an audit log: never of a value.
type Event struct {
	Backend string // its name
	Path    string
	Result  string        // ok, or the reason in a word: not_found, unavailable, …
	Version uint64        // of the path; grows with each read that changed a value of it
	Changed bool          // this read did
	Took    time.Duration // of several paths that were read in one go, all of them
	At      time.Time     // when it began
}

// Store keeps the values in use. A path is read once a refresh, however many
// values hang on it and however many use them.
type Store struct {
	backend  Backend
	refresh  time.Duration
	maxStale time.Duration
	timeout  time.Duration
	now      func() time.Time
	log      *slog.Logger
	metrics  *Metrics
	onRead   func(Event)

	slots chan struct{} // full while atOnce reads go on
	more  chan struct{} // full while Run has not seen the newest values, or what a read has left

	mu      sync.Mutex
	byRef   map[Reference]*Value
	byPath  map[string]*source
	values  []*Value  // in the order they were asked for; changed only at its end, or replaced
	sources []*source // so too
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
		onRead:   o.OnRead,
		slots:    make(chan struct{}, atOnce),
		more:     make(chan struct{}, 1),
		byRef:    make(map[Reference]*Value),
		byPath:   make(map[string]*source),
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.log = telemetry.Discard(s.log)
	if s.maxStale > 0 { // or a value goes stale between two good reads
		s.refresh = min(s.refresh, max(s.maxStale/2, 1))
	}
	return s
}

// Watch returns the Value at ref, the same one each time, for as long as the
// Store lives; see [Scope] for less. It is read by the next Fetch, or at once and
// in the background if Run goes on.
func (s *Store) Watch(ref Reference) *Value {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.byRef[ref]; ok {
		v.users++
		return v
	}
	src := s.byPath[ref.Path]
	if src == nil {
		src = &source{path: ref.Path, asking: make(chan struct{}, 1)}
		s.byPath[ref.Path] = src
		s.sources = append(s.sources, src)
	}
	v := &Value{ref: ref, name: ref.String(), now: s.now, maxStale: s.maxStale, log: s.log, users: 1}
	src.add(v)
	s.byRef[ref] = v
	s.values = append(s.values, v)
	s.wake()
	return v
}

// wake has Run look again.
func (s *Store) wake() {
	select {
	case s.more <- struct{}{}:
	default:
	}
}

func (s *Store) watched() []*Value {
	s.mu.Lock()
	defer s.mu.Unlock()
	return without(s.values, func(v *Value) bool { return v.users == 0 })
}

// Fetch reads all that is watched so far and waits for it, but not beyond ctx.
// It joins the errors of what could not be read.
func (s *Store) Fetch(ctx context.Context) error {
	return s.fetch(ctx, s.wants(func(*source) bool { return true }))
}

// FetchNew is Fetch of the paths that have a value which was never read.
func (s *Store) FetchNew(ctx context.Context) error {
	return s.fetch(ctx, s.wants(func(src *source) bool {
		return slices.ContainsFunc(*src.current.Load(), func(st *state) bool { return errors.Is(st.err, ErrPending) })
	}))
}

func (s *Store) fetch(ctx context.Context, left []want) error {
	var errs []error
	for len(left) > 0 {
		var again []want
		for i, f := range s.launch(ctx, left) {
			select {
			case <-f.landed:
			case <-ctx.Done():
			}
			switch {
			case ctx.Err() != nil && !f.read():
				errs = append(errs, fmt.Errorf("secret %s: %w: %w", left[i].source.path, ErrUnavailable, ctx.Err()))
			case f.off || len(f.values) < left[i].values: // it was another's, who has gone or began too soon
				again = append(again, left[i])
			default:
				errs = append(errs, f.err)
			}
		}
		left = again
	}
	return errors.Join(errs...)
}

// want is a path whose first so many values are to be read.
type want struct {
	source *source
	values int
}

func (s *Store) wants(among func(*source) bool) (list []want) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, src := range s.sources {
		if among(src) {
			list = append(list, want{src, len(src.values)})
		}
	}
	return list
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
		st := v.state()
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
		if st := v.state(); st.present {
			oldest, some = max(oldest, s.now().Sub(st.read)), true
		}
	}
	return oldest, some
}
