package credentials

import (
	"errors"
	"time"

	"github.com/sallyport/sallyport/internal/secrets"
)

// An Event is one attempt to renew a credential, however it ended. It holds no
// value, and nothing a token endpoint said.
type Event struct {
	Credential, Type string
	Result           string        // success or failure
	Reason           string        // of a failure: one of the words below
	Error            string        // of a failure: the text that stands in the log
	ValidUntil       time.Time     // of the value in use; zero: there is none
	NextRenewal      time.Time     // when the next attempt is due
	Took             time.Duration // the attempt
	Failures         int           // in a row, this one included
}

// Results of an attempt.
const (
	resultSuccess = "success"
	resultFailure = "failure"
)

// Why an attempt failed: the words of the reason in log, metric and event.
const (
	reasonSecret   = "secret"    // what to authenticate with is not to be had
	reasonTimeout  = "timeout"   // no answer, or not its end, in time
	reasonNetwork  = "network"   // no connection, or none that lasted
	reasonTLS      = "tls"       // the endpoint's certificate, or its side of TLS
	reasonProtocol = "protocol"  // what came is no HTTP
	reasonRedirect = "redirect"  // which is not followed
	reasonRefused  = "refused"   // a status that is no 2xx, or an error of OAuth
	reasonTooLarge = "too_large" // over 1 MiB
	reasonFormat   = "format"    // not JSON, compressed, or not of RFC 6749's form
	reasonType     = "token_type"
	reasonToken    = "token"    // none, or one that cannot stand in a request
	reasonLifetime = "lifetime" // not a positive number, or over when it arrived
	reasonOther    = "other"
)

// reasonOf is the word for why an attempt failed.
func reasonOf(err error) string {
	if e, ok := errors.AsType[*endpointError](err); ok {
		return e.word
	}
	switch {
	case errors.Is(err, errTooShort):
		return reasonLifetime
	case errors.Is(err, secrets.ErrNotFound), errors.Is(err, secrets.ErrUnavailable), errors.Is(err, secrets.ErrEmpty),
		errors.Is(err, secrets.ErrStale), errors.Is(err, secrets.ErrPending), errors.Is(err, secrets.ErrDenied), errors.Is(err, secrets.ErrInvalid):
		return reasonSecret
	}
	return reasonOther
}
