package admin

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	"github.com/sallyport/sallyport/internal/problem"
)

// refusal is what a caller of the API is told.
type refusal struct {
	status       int
	kind, detail string
	reason       string      // a bounded word for the audit log
	header       [][2]string // further header fields
}

func (r *refusal) Error() string { return r.detail }

func notFound() *refusal {
	return &refusal{status: http.StatusNotFound, kind: "not-found", detail: "nothing is served here", reason: "no_route"}
}

func forbidden(reason, detail string) *refusal {
	return &refusal{status: http.StatusForbidden, kind: "forbidden", detail: detail, reason: reason}
}

func unauthenticated(reason, detail string) *refusal {
	return &refusal{status: http.StatusUnauthorized, kind: "unauthenticated", detail: detail, reason: reason,
		header: [][2]string{{"Www-Authenticate", `Bearer realm="gateway admin"`}}}
}

func unavailable(detail string) *refusal {
	return &refusal{status: http.StatusServiceUnavailable, kind: "unavailable", detail: detail, reason: "unavailable",
		header: [][2]string{{"Retry-After", "5"}}}
}

func tooLarge() *refusal {
	return &refusal{status: http.StatusRequestEntityTooLarge, kind: "too-large", detail: "the body is too large", reason: "body_too_large",
		header: [][2]string{{"Connection", "close"}}}
}

func unsupported() *refusal {
	return &refusal{status: http.StatusUnsupportedMediaType, kind: "unsupported-media-type", detail: "the body must be application/json", reason: "content_type"}
}

func badRequest(detail string) *refusal {
	return &refusal{status: http.StatusBadRequest, kind: "bad-request", detail: detail, reason: "body"}
}

// refusalOf turns what a function of Options ended with into what is told. Of an
// error that is not listed only its being one is told; its text goes to the log.
func (a *api) refusalOf(r *http.Request, err error) *refusal {
	var asRefusal *refusal
	switch {
	case errors.As(err, &asRefusal):
		return asRefusal
	case errors.Is(err, ErrUnknown):
		return notFound()
	case errors.Is(err, ErrBadRequest):
		return badRequest(err.Error())
	case errors.Is(err, ErrBusy):
		return &refusal{status: http.StatusConflict, kind: "conflict", detail: err.Error()}
	case errors.Is(err, ErrRefused):
		return &refusal{status: http.StatusUnprocessableEntity, kind: "refused", detail: err.Error()}
	case errors.Is(err, ErrTooSoon):
		return &refusal{status: http.StatusTooManyRequests, kind: "rate-limited", detail: ErrTooSoon.Error(), header: [][2]string{{"Retry-After", "10"}}}
	case errors.Is(err, ErrPeer):
		return &refusal{status: http.StatusBadGateway, kind: "bad-gateway", detail: err.Error()}
	case errors.Is(err, context.DeadlineExceeded):
		return unavailable("it took too long")
	}
	a.log.Error("admin call failed", "request_id", idOf(r), "path", r.URL.Path, "error", err)
	return &refusal{status: http.StatusInternalServerError, kind: "internal", detail: "something went wrong here"}
}

// answer tells the caller of a refusal.
func answer(w http.ResponseWriter, id string, r *refusal) {
	for _, f := range r.header {
		w.Header().Set(f[0], f[1])
	}
	problem.Write(w, problem.Problem{
		Type: problem.Name(r.kind), Title: cmp.Or(http.StatusText(r.status), "Error"), Status: r.status, Detail: r.detail, RequestID: id,
	})
}

type idKey struct{}

func withID(r *http.Request, id string) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), idKey{}, id))
}

func idOf(r *http.Request) string {
	id, _ := r.Context().Value(idKey{}).(string)
	return id
}
