// Package credentials answers what the upstream gets in place of the caller's
// credential.
//
// A [Credential] has a [Placement], where in the request it goes, and a value.
// [Static] and [Basic] take theirs from the secret backend as it stands; a
// [Signed] signs a token itself. An [OAuth2] fetches its tokens from a token
// endpoint and renews them in the background, ahead of expiry, one fetch at a
// time; a [TokenExchange] has the token of each caller exchanged there
// ([WithCaller]).
//
// # Security
//
// A value is handed out only while it is good: never past its expiry, never with
// a byte in it that could end a header line or a cookie. Where there is none the
// error wraps [ErrUnavailable], and the request must not go up without it. No
// request waits on a token endpoint while a token is valid, nor while the
// endpoint is known to fail.
//
// Values are of type secrets.Secret. What a token endpoint says in its answers
// never reaches an error, a log line or a [Status]: of a failure only the kind is
// kept, the HTTP status and an error code known to OAuth.
package credentials

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/secrets"
)

// A Credential is injected into upstream requests. It is safe for use by many
// goroutines at once.
type Credential interface {
	Name() string
	Placement() Placement

	// Value is what goes after the placement's prefix. It never waits while a
	// valid value is there; otherwise it waits for the one fetch under way, up to
	// the end of ctx and no longer than a few seconds. Its errors wrap
	// ErrUnavailable.
	Value(ctx context.Context) (secrets.Secret, error)
	Status() Status
}

// A Status is how a credential stands, without its value.
type Status struct {
	Name, Type          string
	Ready               bool      // there is a value to inject
	ValidUntil          time.Time // zero: it does not expire, or there is none
	NextRenewal         time.Time // zero: it is not renewed
	LastError           string    // of the last attempt; empty if it succeeded
	ConsecutiveFailures int
}

// ErrUnavailable says that there is no value to inject now.
var ErrUnavailable = errors.New("credential unavailable")

// unavailable is the error of a Value that has none.
type unavailable struct {
	name       string
	retryAfter time.Duration
	cause      error
}

func (e *unavailable) Error() string {
	return fmt.Sprintf("credential %s: unavailable: %v", e.name, e.cause)
}

func (e *unavailable) Unwrap() []error { return []error{ErrUnavailable, e.cause} }

// RetryAfter is when it is worth asking again after err, at least a second.
func RetryAfter(err error) time.Duration {
	if e, ok := errors.AsType[*unavailable](err); ok {
		return max(e.retryAfter, time.Second)
	}
	return time.Second
}

// A Placement is where in a request a credential goes. Exactly one of Header,
// Query and Cookie is set; Prefix, which is for a header only, stands before the
// value as it is, with its space.
type Placement struct {
	Header, Prefix string
	Query          string
	Cookie         string
}

// Validate says what is wrong with p. A placement that is not valid must not be
// used: names and prefix are written to the wire as they are.
func (p Placement) Validate() error {
	set := 0
	for _, name := range []string{p.Header, p.Query, p.Cookie} {
		if name != "" {
			set++
		}
	}
	switch {
	case set != 1:
		return errors.New("placement: must be one of header, query and cookie")
	case p.Prefix != "" && p.Header == "":
		return errors.New("placement: a prefix needs a header to stand in")
	case !isFieldText(p.Prefix) || strings.HasPrefix(p.Prefix, " "):
		return errors.New("placement: the prefix must be visible ASCII and spaces, none in front")
	case p.Header != "" && !isToken(p.Header):
		return fmt.Errorf("placement: %q is not a header name", p.Header)
	case p.Header != "" && framesMessage(p.Header):
		return fmt.Errorf("placement: header %s belongs to the connection and cannot carry a credential", p.Header)
	case p.Cookie != "" && !isToken(p.Cookie): // RFC 6265, section 4.1.1
		return fmt.Errorf("placement: %q is not a cookie name", p.Cookie)
	case p.Query != "" && !isFieldText(p.Query):
		return fmt.Errorf("placement: %q is not a query parameter: it must be visible ASCII", p.Query)
	}
	return nil
}

// String tells where, as in "header Authorization". It shows no value.
func (p Placement) String() string {
	switch {
	case p.Header != "":
		return "header " + p.Header
	case p.Query != "":
		return "query " + p.Query
	case p.Cookie != "":
		return "cookie " + p.Cookie
	}
	return "nowhere"
}

// maxValue bounds a value, in bytes: the largest header upstreams take.
const maxValue = 16 << 10

// check refuses a value that cannot stand at p. It never quotes the value.
func (p Placement) check(value string) error {
	switch {
	case value == "":
		return errors.New("the value is empty")
	case len(value) > maxValue:
		return fmt.Errorf("the value is over %d bytes", maxValue)
	case !isFieldText(value) || strings.TrimSpace(value) != value:
		return errors.New("the value has a control character, a byte beyond ASCII, or a space around it")
	case p.Cookie != "" && strings.ContainsAny(value, ` ",;\`):
		return errors.New("the value has a character that cookies do not take")
	}
	return nil
}

// isFieldText reports whether s is visible ASCII and spaces: what every HTTP
// implementation reads as one field value, and none as the end of a line.
func isFieldText(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// isToken tells a token of RFC 9110, section 5.6.2.
func isToken(s string) bool {
	const marks = "!#$%&'*+-.^_`|~"
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		digit := '0' <= c && c <= '9'
		if !letter && !digit && !strings.Contains(marks, s[i:i+1]) {
			return false
		}
	}
	return s != ""
}

// framesMessage names the headers that say where a message ends, whom it is for,
// or what is dropped on the way (RFC 9110, section 7.6.1; RFC 9112).
func framesMessage(header string) bool {
	switch strings.ToLower(header) {
	case "connection", "content-length", "host", "keep-alive", "proxy-connection",
		"te", "trailer", "transfer-encoding", "upgrade":
		return true
	}
	return false
}
