package proxy

import (
	"context"
	"crypto/x509"
	"iter"
	"net/netip"
	"time"

	"github.com/sallyport/sallyport/internal/auth"
	"github.com/sallyport/sallyport/internal/ratelimit"
)

// fields is what a lane knows of a request's header.
type fields interface {
	// Values returns the values of the field with this canonical name, in the
	// order they came.
	Values(name string) []string
	// Size returns the number of field lines and the bytes they take, with
	// separators.
	Size() (lines, bytes int)
	// All yields each name once, with its values.
	All() iter.Seq2[string, []string]
}

// exchange is one request and what is known of it so far. The checks see
// nothing else, so that it does not matter which lane it came by.
type exchange struct {
	// As the lane received it.
	start  time.Time
	method string
	proto  [2]int // HTTP major and minor version
	target string // the request target, raw
	host   string // the Host as sent
	peer   netip.Addr
	secure bool // over TLS
	fields fields
	ctx    context.Context // ends when the caller leaves

	certificates []*x509.Certificate // of the TLS client, verified, its own first

	explaining bool // nobody waits for an answer: the checks must change nothing

	// As the checks find it.
	id        string     // request id: ours, or a trusted proxy's
	trusted   bool       // peer is a trusted proxy
	client    netip.Addr // the caller's address
	hostname  string     // canonical host, without a port
	authority string     // canonical host, with the port that was sent
	at        target     // canonical target
	route     *route
	params    []string // values of the route's path parameters, escaped
	principal *auth.Principal
	forward   []field // claims for the upstream
	limit     limitNote
	observed  *observed // the refusal that an observing route did not make; nil: none

	// As the answer was.
	server   string // host of the upstream asked
	sentUp   time.Time
	upstream time.Duration
	failed   string // the check that refused, or empty
	reason   string // why, as a bounded word
	cause    error  // what the log may know and the caller may not
}

// field is one header field to send.
type field struct{ name, value string }

// limitNote is the rate limit an answer tells of: of those asked, the one with
// the fewest requests left.
type limitNote struct {
	limiter  *ratelimit.Limiter
	decision ratelimit.Decision
}

func (x *exchange) routeName() string {
	if x.route == nil {
		return noRoute
	}
	return x.route.Name
}

// noRoute labels requests that no route matched; no route can have that name.
const noRoute = "(none)"
