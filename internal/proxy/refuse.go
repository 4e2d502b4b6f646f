package proxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/auth"
	"github.com/sallyport/sallyport/internal/credentials"
	"github.com/sallyport/sallyport/internal/policy"
	"github.com/sallyport/sallyport/internal/problem"
)

// refusal is an error with what the caller is told of it. Only the fields that
// are for the caller reach the caller.
type refusal struct {
	status int
	kind   string // names the problem's type
	detail string
	header []field // further header fields

	reason string // a bounded word for log and metrics
	cause  error  // for the log alone
}

func (r *refusal) Error() string {
	if r.cause != nil {
		return r.reason + ": " + r.cause.Error()
	}
	return r.reason
}

func (r *refusal) Unwrap() error { return r.cause }

// challenge is what a route asks its callers for (RFC 9110, section 11.6.1), in
// one protection space, the gateway.
func (rt *route) challenge(parameters string) []field {
	scheme := "Bearer"
	if rt.Auth != nil {
		scheme = rt.Auth.Scheme()
	}
	if rt.Metadata != "" && scheme == "Bearer" {
		parameters += `, resource_metadata="` + rt.Metadata + `"` // RFC 9728, section 5.1
	}
	return []field{{"Www-Authenticate", scheme + ` realm="gateway"` + parameters}}
}

// ErrShutdown is the cause with which the gateway cancels requests that outlast
// the drain.
var ErrShutdown = errors.New("the drain has ended")

// statusClientGone is logged for a caller who left before the answer.
const statusClientGone = 499

func badRequest(reason, detail string, cause error) error {
	return &refusal{status: http.StatusBadRequest, kind: "bad-request", detail: detail, reason: reason, cause: cause}
}

func tooLong(status int, reason, detail string) error {
	return &refusal{status: status, kind: "too-long", reason: reason, detail: detail, header: closing}
}

func notFound() error {
	return &refusal{status: http.StatusNotFound, kind: "not-found", detail: "nothing is served here", reason: "no_route"}
}

func methodNotAllowed(allow string) error {
	return &refusal{status: http.StatusMethodNotAllowed, kind: "method-not-allowed", reason: "method",
		detail: "the method is not allowed here", header: []field{{"Allow", allow}}}
}

// unauthenticated turns an error of package auth into a refusal. The caller
// learns whether a credential was sent, and nothing of what was wrong with it.
func unauthenticated(rt *route, err error) error {
	var already *refusal
	r := &refusal{status: http.StatusUnauthorized, kind: "unauthenticated", reason: auth.Reason(err), cause: err}
	switch {
	case errors.As(err, &already):
		return already
	case errors.Is(err, context.Canceled): // while the issuer was asked about the token
		r.status, r.kind, r.reason = statusClientGone, "client-closed-request", "client_gone"
	case errors.Is(err, auth.ErrUnavailable):
		r.status, r.kind = http.StatusServiceUnavailable, "unavailable"
		r.detail = "the credential cannot be checked at the moment"
		r.header = []field{{"Retry-After", "5"}}
	case errors.Is(err, auth.ErrMultiple):
		r.status, r.kind = http.StatusBadRequest, "bad-request"
		r.detail = "more than one credential was sent"
		r.header = rt.challenge(`, error="invalid_request"`)
	case errors.Is(err, auth.ErrCrossOrigin):
		r.status, r.kind = http.StatusForbidden, "forbidden"
		r.detail = "a cookie does not count in a request that another site may have made"
	case errors.Is(err, auth.ErrNoCredential):
		r.detail = "a credential is needed"
		r.header = rt.challenge("")
	default:
		r.detail = "the credential is not valid here"
		r.header = rt.challenge(`, error="invalid_token", error_description="the credential is not valid here"`)
	}
	return r
}

// unauthorised turns a policy's denial into a refusal. What the policy could not
// be asked about is one already.
func unauthorised(rt *route, err error) error {
	var refused *refusal
	if errors.As(err, &refused) {
		return refused
	}
	r := &refusal{status: http.StatusForbidden, kind: "forbidden", detail: "the caller may not do this", reason: "policy", cause: err}
	var denied *policy.Denied
	if errors.As(err, &denied) {
		r.reason = denied.Check
		if len(denied.MissingScopes) > 0 {
			r.detail = "a scope is missing"
			r.header = rt.challenge(`, error="insufficient_scope", scope="` + strings.Join(denied.MissingScopes, " ") + `"`)
		}
	}
	return r
}

func tooMany(note limitNote, key string) error {
	return &refusal{status: http.StatusTooManyRequests, kind: "rate-limited", reason: "rate_" + key,
		detail: "too many requests", header: []field{{"Retry-After", note.decision.RetryAfterHeader()}}}
}

// upstreamFailed turns what went wrong after the checks into a refusal.
func upstreamFailed(err error, body *requestBody) *refusal {
	var maxBytes *http.MaxBytesError
	var asRefusal *refusal
	var netErr net.Error
	switch {
	case errors.As(err, &asRefusal):
		return asRefusal
	case errors.Is(err, credentials.ErrUnavailable):
		wait := max(1, int64((credentials.RetryAfter(err)+time.Second-1)/time.Second))
		return &refusal{status: http.StatusServiceUnavailable, kind: "unavailable", reason: "credential", cause: err,
			detail: "the upstream cannot be used at the moment", header: []field{{"Retry-After", strconv.FormatInt(wait, 10)}}}
	case errors.As(err, &maxBytes), body != nil && errors.As(body.err(), &maxBytes):
		return tooLarge()
	case body != nil && body.err() != nil && errors.As(body.err(), &netErr) && netErr.Timeout():
		return &refusal{status: http.StatusRequestTimeout, kind: "request-timeout", reason: "body_timeout", cause: body.err(),
			detail: "the body came too slowly", header: closing}
	case errors.Is(err, ErrShutdown):
		return &refusal{status: http.StatusServiceUnavailable, kind: "unavailable", reason: "shutdown", cause: err,
			detail: "the gateway is ending", header: closing}
	case errors.Is(err, context.Canceled):
		return &refusal{status: statusClientGone, kind: "client-closed-request", reason: "client_gone", cause: err}
	case body != nil && body.err() != nil:
		return &refusal{status: http.StatusBadRequest, kind: "bad-request", reason: "body", cause: body.err(),
			detail: "the body is malformed", header: closing}
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return &refusal{status: http.StatusGatewayTimeout, kind: "upstream-timeout", reason: "upstream_timeout", cause: unquoted{err},
			detail: "the upstream took too long"}
	}
	return &refusal{status: http.StatusBadGateway, kind: "upstream-unreachable", reason: "upstream", cause: unquoted{err},
		detail: "the upstream could not be reached or answered wrongly"}
}

// closing ends the connection after the answer: what is left on it cannot be
// told from a new request.
var closing = []field{{"Connection", "close"}}

func tooLarge() *refusal {
	return &refusal{status: http.StatusRequestEntityTooLarge, kind: "too-large", reason: "body_too_large",
		detail: "the body is too large", header: closing}
}

// refuse answers with err. An error that is no refusal is a plain 500: its text
// goes to the log alone.
func (p *Proxy) refuse(w http.ResponseWriter, x *exchange, check string, err error) {
	var r *refusal
	if !errors.As(err, &r) {
		r = &refusal{status: http.StatusInternalServerError, kind: "internal", reason: "internal", cause: err, detail: "something went wrong here"}
	}
	x.failed, x.reason, x.cause = check, r.reason, err
	h := w.Header()
	for _, f := range r.header {
		h.Set(f.name, f.value)
	}
	x.limit.describe(h)
	h.Set("X-Request-Id", x.id)
	problem.Write(w, problem.Problem{
		Type:      problem.Name(r.kind),
		Title:     title(r.status),
		Status:    r.status,
		Detail:    r.detail,
		RequestID: x.id,
	})
}

func title(status int) string {
	if status == statusClientGone {
		return "Client Closed Request"
	}
	return http.StatusText(status)
}

// reasonOf is the bounded word for an error of a check.
func reasonOf(err error) string {
	var r *refusal
	if errors.As(err, &r) {
		return r.reason
	}
	return "internal"
}

// allowDefault is the Allow header of a route that names no methods.
var allowDefault = strings.Join(slices.Sorted(slices.Values(defaultMethods)), ", ")
