package secrets

import (
	"slices"
	"sync"
)

// Scope is one user of a Store's values, who may go: what it watched and nobody
// else does is then no longer read, and its watchers are no longer called.
type Scope struct {
	store *Store

	mu     sync.Mutex
	values map[Reference]*Value
}

// Scope returns a user of s that has watched nothing yet.
func (s *Store) Scope() *Scope { return &Scope{store: s, values: make(map[Reference]*Value)} }

// Watch returns the Value at ref as [Store.Watch] does, of this scope: it is
// kept up to date until Close, and as it was then from there on.
func (sc *Scope) Watch(ref Reference) *Value {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if v, ok := sc.values[ref]; ok {
		return v
	}
	base := sc.store.Watch(ref)
	v := &Value{ref: ref, name: base.name, now: base.now, maxStale: base.maxStale, log: base.log, in: base.in, at: base.at, base: base}
	sc.values[ref] = v
	return v
}

// Close lets go of what the scope watched.
func (sc *Scope) Close() {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	for _, v := range sc.values {
		v.base.forget(v)
	}
	s := sc.store
	s.mu.Lock()
	defer s.mu.Unlock()
	for ref, v := range sc.values {
		delete(sc.values, ref)
		if v.base.users--; v.base.users == 0 {
			s.drop(v.base.in)
		}
	}
}

// drop ends the reading of a path that nobody watches any more. While one of its
// fields is watched the others stay, since they cost no read. The Store is
// locked.
func (s *Store) drop(src *source) {
	if slices.ContainsFunc(src.values, func(v *Value) bool { return v.users > 0 }) {
		return
	}
	delete(s.byPath, src.path)
	s.sources = without(s.sources, func(other *source) bool { return other == src })
	for _, v := range src.values {
		delete(s.byRef, v.ref)
	}
	s.values = without(s.values, func(v *Value) bool { return v.in == src })
}

// without returns a list of its own, since others may be reading the old one.
func without[T any](list []T, gone func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(list), gone)
}
