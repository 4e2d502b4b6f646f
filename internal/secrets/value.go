package secrets

import (
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Value is one secret, now. It may be asked by any number of goroutines.
type Value struct {
	ref      Reference
	name     string
	now      func() time.Time
	maxStale time.Duration // negative: no limit
	log      *slog.Logger

	in *source // where its state is, and that of its path's other fields,
	at int     // by this place

	base  *Value // of which this is a scope's; nil: itself
	users int    // calls of Watch and open scopes; guarded by the lock of the Store

	mu       sync.Mutex
	watchers []watcher
}

// watcher is called after each change, for the Value it was given to.
type watcher struct {
	of   *Value
	call func()
}

// state is what is known of a secret. It is never changed, only replaced, and
// by one read at a time.
type state struct {
	secret  Secret
	present bool
	version uint64
	read    time.Time // when the last good read began
	before  time.Time // when the version before this one was last read

	err  error  // why the last read was not good
	told string // the standing the log knows of
}

// Fixed returns a Value that is s for ever.
func Fixed(s Secret) *Value {
	v := &Value{name: "literal", now: time.Now, maxStale: -1, log: slog.New(slog.DiscardHandler), in: new(source)}
	st := &state{secret: s, present: true, version: 1}
	if s.Empty() {
		st = &state{err: fmt.Errorf("secret %s: %w", v.name, ErrEmpty)}
	}
	v.in.current.Store(&[]*state{st})
	return v
}

// state is what is known now.
func (v *Value) state() *state { return (*v.in.current.Load())[v.at] }

// Get returns the last known value, or why there is none: [ErrPending] before
// the first read, [ErrStale] once the last good read is longer ago than
// MaxStale, else what the last read ended with. It never waits.
func (v *Value) Get() (Secret, error) {
	st := v.state()
	switch {
	case !st.present:
		return Secret{}, st.err
	case !v.stale(st.read):
		return st.secret, nil
	case st.err != nil:
		return Secret{}, fmt.Errorf("secret %s: %w: %w", v.name, ErrStale, st.err)
	}
	return Secret{}, fmt.Errorf("secret %s: %w", v.name, ErrStale)
}

// Version grows each time the value becomes another one, or goes.
func (v *Value) Version() uint64 { return v.state().version }

// Name returns the text of the reference, for logs.
func (v *Value) Name() string { return v.name }

// Changed has f called after each change from now on, holding no lock, before
// the next read of this value and when all fields of its path are as they were
// read. Calls for different paths may come at once. f must neither take long nor
// call Fetch.
func (v *Value) Changed(f func()) {
	base := v
	if v.base != nil {
		base = v.base
	}
	base.mu.Lock()
	defer base.mu.Unlock()
	base.watchers = append(base.watchers, watcher{v, f})
}

// forget takes away the watchers that were given to one of v's scopes.
func (v *Value) forget(of *Value) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.watchers = without(v.watchers, func(w watcher) bool { return w.of == of })
}

// stale reports whether what was last read at the time given is too old to use.
func (v *Value) stale(read time.Time) bool {
	return v.maxStale >= 0 && v.now().Sub(read) > v.maxStale
}

// settle returns what is known after a read that began at started. Only "not
// found" takes a value away.
func (v *Value) settle(old *state, o outcome, started time.Time) *state {
	next := *old
	next.err = o.err
	gone := false
	switch Reason(o.err) {
	case "ok":
		next.read = started
	case "not_found":
		gone = true
	}
	switch {
	case o.err == nil && !(old.present && old.secret.Equal(o.secret)):
		next.secret, next.present = o.secret, true
		next.version, next.before = old.version+1, old.read
	case gone && old.present:
		next.secret, next.present = Secret{}, false
		next.version, next.before = old.version+1, old.read
	}
	next.told = v.standing(&next)
	return &next
}

// announce calls the watchers.
func (v *Value) announce() {
	v.mu.Lock()
	watchers := v.watchers[:len(v.watchers):len(v.watchers)]
	v.mu.Unlock()
	for _, w := range watchers {
		w.call()
	}
}

// standing is the word for st that the log tells each change of.
func (v *Value) standing(st *state) string {
	if st.err != nil && st.present && v.stale(st.read) {
		return "stale"
	}
	return Reason(st.err)
}

// tell logs what has become different, and nothing while all stays as it was.
func (v *Value) tell(backend string, old, st *state) {
	log := v.log.With("reference", v.name, "backend", backend)
	switch {
	case st.told == "ok" && old.told != "ok" && old.told != "pending":
		log.Info("secret can be read again", "rotated", st.version != old.version, "version", st.version)
	case st.told == "ok" && st.version != old.version && old.told == "ok":
		log.Info("secret rotated", "version", st.version)
	case st.told == old.told || st.told == "ok":
	case st.told == "stale":
		log.Error("secret not read for too long: it is no longer used", "reason", Reason(st.err), "error", st.err)
	case st.present:
		log.Warn("secret cannot be read: the last known value goes on", "reason", st.told, "error", st.err)
	default:
		log.Warn("secret cannot be read: there is none", "reason", st.told, "error", st.err)
	}
}
