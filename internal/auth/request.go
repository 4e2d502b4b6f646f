package auth

import "crypto/x509"

// Request is what of a request can hold a credential, or decide whether one
// counts. Whatever lane a request came by can give it.
type Request interface {
	// Values returns the values of all header fields of that canonical name, in order.
	Values(name string) []string
	// Method returns the method, as sent.
	Method() string
	// Host returns the host that was asked, in lower case, with the port if one was sent.
	Host() string
	// Query returns the query, raw, without its question mark.
	Query() string
	// Certificates returns the chain that TLS verified, the client's own
	// certificate first; nil if none was presented.
	Certificates() []*x509.Certificate
}

// In is the part of a request a credential stands in.
type In string

const (
	InHeader     In = "header"
	InCookie     In = "cookie"
	InQuery      In = "query"
	InConnection In = "connection" // what the TLS client presented
)

// Place is where a credential may stand: a part of the request, and the name of
// the header field (canonical), cookie or query parameter (both exact) in it.
type Place struct {
	In   In
	Name string
}

// Authorization is the place of bearer tokens unless an issuer says otherwise.
var Authorization = Place{InHeader, "Authorization"}

// Connection is the place of the TLS client's certificate.
var Connection = Place{In: InConnection}
