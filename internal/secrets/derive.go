package secrets

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Derived is what a secret means: a key, a list, a document. It is parsed once
// a version, when the version comes.
type Derived[T any] struct {
	value *Value
	parse func(Secret) (T, error)

	mu      sync.Mutex // held while a version is parsed
	current atomic.Pointer[parsed[T]]
}

// parsed is what became of one version.
type parsed[T any] struct {
	version uint64
	good    bool // value is the last one that parsed
	value   T
	err     error     // why this version did not
	since   time.Time // with both: when the version of value was last read
}

// Derive returns what parse makes of v. Errors of parse are logged and handed
// on, so they must not quote the secret; one that is seen to is replaced.
func Derive[T any](v *Value, parse func(Secret) (T, error)) *Derived[T] {
	d := &Derived[T]{value: v, parse: parse}
	v.Changed(d.update)
	d.update()
	return d
}

// Get returns the newest T that parsed. A version that does not parse is
// refused as an empty one is: the T before it goes on until MaxStale. Without
// one the error is the Value's own or, wrapping [ErrInvalid], that of parse.
func (d *Derived[T]) Get() (T, error) {
	var none T
	if _, err := d.value.Get(); err != nil {
		return none, err
	}
	p := d.current.Load()
	if p.version != d.value.Version() { // its watchers have not come to this one yet
		d.update()
		p = d.current.Load()
	}
	switch {
	case p.good && (p.err == nil || !d.value.stale(p.since)):
		return p.value, nil
	case p.good:
		return none, fmt.Errorf("secret %s: %w: %w", d.value.name, ErrStale, p.err)
	case p.err != nil:
		return none, p.err
	}
	return none, fmt.Errorf("secret %s: %w", d.value.name, ErrNotFound) // it went between the two looks
}

// update parses the current version, unless that has been done.
func (d *Derived[T]) update() {
	d.mu.Lock()
	defer d.mu.Unlock()
	st, old := d.value.state(), d.current.Load()
	if old == nil {
		old = new(parsed[T])
	} else if old.version == st.version {
		return
	}
	if !st.present { // what is gone leaves nothing behind
		d.current.Store(&parsed[T]{version: st.version})
		return
	}
	value, err := d.parse(st.secret)
	if err == nil {
		d.current.Store(&parsed[T]{version: st.version, good: true, value: value})
		return
	}
	next := *old
	next.version = st.version
	next.err = fmt.Errorf("secret %s: %w: %w", d.value.name, ErrInvalid, unquoting(err, st.secret))
	if old.err == nil {
		next.since = st.before
	}
	d.current.Store(&next)
	d.value.log.Warn("secret refused: it does not parse", "reference", d.value.name,
		"version", st.version, "last_known_value_goes_on", next.good, "error", next.err)
}

// unquoting returns err unless its text has the secret in it, or a longer word
// of it (escaping changes what is between words): then only that there was one.
func unquoting(err error, s Secret) error {
	text, value := err.Error(), s.Reveal()
	quoted := strings.Contains(text, value)
	for word := range strings.FieldsFuncSeq(value, between) {
		quoted = quoted || len(word) >= 8 && strings.Contains(text, word)
	}
	if quoted {
		return errors.New("the reason would quote it")
	}
	return err
}

// between is true of what no password, key in base64 or token is made of, or
// what is not printed as it stands.
func between(r rune) bool {
	return r <= ' ' || r > '~' || strings.ContainsRune("\"'`\\,:;<>&(){}[]", r)
}
