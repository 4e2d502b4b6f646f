package secrets

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// source is one path with the values that hang on it, one for each field in
// use. They are settled together, from one read.
type source struct {
	path   string
	asking chan struct{} // full while the backend has not answered

	// The states of the values, by Value.at. They are replaced all at once, so
	// that whoever has seen one field of a version finds the others too.
	current atomic.Pointer[[]*state]

	// Guarded by the lock of the Store:
	values   []*Value  // only ever grows
	version  uint64    // grows with each read that changed a value
	failures int       // outages in a row
	next     time.Time // when to read again; zero: at once
	flight   *flight   // the read that goes on
}

// flight is one read of a path, for all who want it.
type flight struct {
	source *source
	values []*Value      // the ones it settles
	landed chan struct{} // closed when it is over, and then:
	off    bool          // nobody was left to wait for its turn: nothing was read
	err    error
}

// read reports whether the flight is over and read something.
func (f *flight) read() bool {
	select {
	case <-f.landed:
		return !f.off
	default:
		return false
	}
}

// outcome is what one read says of one value.
type outcome struct {
	secret Secret
	err    error
}

// change is a value whose state has been replaced.
type change struct {
	value    *Value
	old, now *state
}

// add hangs v on the source, to be read at once. The Store is locked.
func (src *source) add(v *Value) {
	v.in, v.at = src, len(src.values)
	src.values = append(src.values, v)
	src.next = time.Time{}
	states := []*state{{err: fmt.Errorf("secret %s: %w", v.name, ErrPending), told: "pending"}}
	if known := src.current.Load(); known != nil {
		states = append((*known)[:v.at:v.at], states...)
	}
	src.current.Store(&states)
}

// settle takes in how a read that began at started has ended. The Store is
// locked.
func (src *source) settle(values []*Value, outcomes []outcome, started time.Time) (changes []change, changed bool) {
	states := append([]*state(nil), *src.current.Load()...)
	outage := false
	for i, v := range values {
		old := states[v.at]
		states[v.at] = v.settle(old, outcomes[i], started)
		changes = append(changes, change{v, old, states[v.at]})
		changed = changed || states[v.at].version != old.version
		outage = outage || isOutage(outcomes[i].err)
	}
	src.current.Store(&states)
	if changed {
		src.version++
	}
	src.failures++
	if !outage {
		src.failures = 0
	}
	return changes, changed
}

// answer is how the read of one path has ended: an outcome for each value, or
// one error for all of them.
type answer struct {
	outcomes []outcome
	err      error
}

// answerOf picks the values out of what was read.
func answerOf(r Result, values []*Value) answer {
	a := answer{outcomes: make([]outcome, len(values)), err: r.Err}
	for i, v := range values {
		if a.outcomes[i].err = r.Err; r.Err == nil {
			a.outcomes[i].secret, a.outcomes[i].err = fieldOf(r.Document, v.ref)
		}
	}
	return a
}

// all is the error of the path, or those of its values.
func (a answer) all() error {
	if a.err != nil {
		return a.err
	}
	var errs []error
	for _, o := range a.outcomes {
		errs = append(errs, o.err)
	}
	return errors.Join(errs...)
}
