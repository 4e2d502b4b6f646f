// Package secrets tells what the secret at a path is, now.
//
// A [Backend] reads all that stands at one path, a [Document]. A [Store] keeps
// the values in use and reads them again in the background, each path once
// however many fields of it are in use; whoever needs one holds a [Value], or a
// [Derived] of it, and asks at each use. Asking never waits.
//
// Values are the bytes as the backend has them, a byte order mark included, but
// for one rule: a file's last newline (\n or \r\n), which editors put there, is
// cut. An empty value is never a value.
//
// # Security
//
// A [Secret] does not print itself, whoever tries: the bytes come out by Reveal
// alone. Errors and log lines name references and reasons, never values.
//
// A backend that does not answer changes nothing: the last known value goes on
// until MaxStale, then there is none. "Not found" is an answer: the value is
// gone. Nothing here ever turns a missing secret into an empty one.
package secrets

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// What a read, or a look at a [Value], can end with other than a secret.
var (
	ErrNotFound    = errors.New("secret not found")
	ErrUnavailable = errors.New("secret backend unavailable")
	ErrEmpty       = errors.New("secret is empty")
	ErrStale       = errors.New("secret not read for too long")
	ErrPending     = errors.New("secret not read yet")
	ErrDenied      = errors.New("secret backend denies access")
	ErrInvalid     = errors.New("secret is invalid")
)

// Two outages that have a name: wrapped together with [ErrUnavailable].
var (
	ErrSealed    = errors.New("secret backend is sealed")
	ErrThrottled = errors.New("secret backend is asked too often")
)

// What a write can end with beside the above.
var (
	ErrReadOnly = errors.New("secret backend is read-only")
	ErrConflict = errors.New("secret was changed by another at the same time")
)

// Redacted is what a Secret shows of itself.
const Redacted = "[redacted]"

// Secret is a string that does not print itself. The zero Secret is empty.
type Secret struct {
	_ [0]func() // so that == does not compile: it is not constant time
	// A pointer, since package fmt prints an unexported field without asking
	// for its methods, but follows no pointer below the top.
	value *string
}

// NewSecret wraps value.
func NewSecret(value string) Secret { return Secret{value: &value} }

// Reveal returns what is inside. It allocates nothing.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// Empty reports whether there is nothing inside.
func (s Secret) Empty() bool { return s.Reveal() == "" }

// Equal compares in a time that depends on the lengths alone.
func (s Secret) Equal(o Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(o.Reveal())) == 1
}

// String returns [Redacted].
func (s Secret) String() string { return Redacted }

// GoString returns [Redacted].
func (s Secret) GoString() string { return Redacted }

// Format writes [Redacted], whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Redacted) }

// LogValue returns [Redacted].
func (s Secret) LogValue() slog.Value { return slog.StringValue(Redacted) }

// MarshalJSON returns [Redacted] as a JSON string.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + Redacted + `"`), nil }

// MarshalText returns [Redacted].
func (s Secret) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// Reason names err for a metric or a status: a bounded set of words. What a
// backend did not class counts as an outage, and an error of two kinds as the
// one that takes no value away: "not found" comes last.
func Reason(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, ErrStale):
		return "stale"
	case errors.Is(err, ErrPending):
		return "pending"
	case errors.Is(err, ErrSealed):
		return "sealed"
	case errors.Is(err, ErrThrottled):
		return "throttled"
	case errors.Is(err, ErrUnavailable):
		return "unavailable"
	case errors.Is(err, ErrDenied):
		return "denied"
	case errors.Is(err, ErrInvalid):
		return "invalid"
	case errors.Is(err, ErrReadOnly):
		return "read_only"
	case errors.Is(err, ErrConflict):
		return "conflict"
	case errors.Is(err, ErrEmpty):
		return "empty"
	case errors.Is(err, ErrNotFound):
		return "not_found"
	}
	return "unavailable"
}

// isOutage reports whether err may pass without anybody's doing: it is no
// answer, and worth asking again soon.
func isOutage(err error) bool {
	switch Reason(err) {
	case "unavailable", "sealed", "throttled":
		return true
	}
	return false
}
