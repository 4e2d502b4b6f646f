package api

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/sallyport/sallyport/internal/crypto"
	"github.com/sallyport/sallyport/internal/problem"
)

// refusal is an error with what the caller is told of it.
type refusal struct {
	status       int
	kind, detail string
	result       string // a bounded word for metrics
	retryAfter   string
}

func (r *refusal) Error() string { return r.detail }

// What callers may be told. A refusal that is not here says what is wrong with
// the body, in words of its own.
var (
	errDecrypt    = &refusal{status: http.StatusUnprocessableEntity, kind: "decryption-failed", detail: "the ciphertext cannot be decrypted", result: "decryption_failed"}
	errNotFound   = &refusal{status: http.StatusNotFound, kind: "not-found", detail: "nothing is served here", result: "not_found"}
	errMethod     = &refusal{status: http.StatusMethodNotAllowed, kind: "method-not-allowed", detail: "the method is not allowed here", result: "method"}
	errNoKeyring  = &refusal{status: http.StatusNotFound, kind: "not-found", detail: "there is no such keyring", result: "not_found"}
	errNoKeys     = &refusal{status: http.StatusServiceUnavailable, kind: "unavailable", detail: "the keyring cannot be used at the moment", result: "unavailable", retryAfter: "5"}
	errBusy       = &refusal{status: http.StatusServiceUnavailable, kind: "unavailable", detail: "too many passwords are being hashed", result: "busy", retryAfter: "1"}
	errUnrecorded = &refusal{status: http.StatusServiceUnavailable, kind: "unavailable", detail: "key operations are off while they cannot be recorded", result: "unrecorded", retryAfter: "5"}
	errExhausted  = &refusal{status: http.StatusServiceUnavailable, kind: "key-exhausted", detail: "the key has encrypted as often as it may; rotate the keyring", result: "exhausted", retryAfter: "60"}
	errReadOnly   = &refusal{status: http.StatusConflict, kind: "read-only", detail: "the secret backend takes no writes; rotate the keyring there", result: "read_only"}
	errConflict   = &refusal{status: http.StatusConflict, kind: "conflict", detail: "the keyring was changed by another at the same time; look at it and try again", result: "conflict"}
	errTooLarge   = &refusal{status: http.StatusRequestEntityTooLarge, kind: "too-large", detail: "the body is too large", result: "too_large"}
	errInternal   = &refusal{status: http.StatusInternalServerError, kind: "internal", detail: "something went wrong here", result: "error"}
)

// badBody is a 400 for what is wrong with a body. Its text quotes nothing of it.
func badBody(format string, args ...any) error {
	return &refusal{status: http.StatusBadRequest, kind: "bad-request", detail: fmt.Sprintf(format, args...), result: "bad_request"}
}

// badPassword is a 422 for a password that will not be hashed.
func badPassword(why string) error {
	return &refusal{status: http.StatusUnprocessableEntity, kind: "password-refused", detail: why, result: "password_refused"}
}

// missingScope is a 403.
type missingScope struct{ scope string }

func (m *missingScope) Error() string { return "a scope is missing" }

// told is err as the caller sees it.
func told(err error) *refusal {
	var r *refusal
	var missing *missingScope
	switch {
	case errors.As(err, &r):
		return r
	case errors.As(err, &missing):
		return &refusal{status: http.StatusForbidden, kind: "forbidden", detail: missing.Error(), result: "denied"}
	case errors.Is(err, crypto.ErrDecrypt):
		return errDecrypt
	case errors.Is(err, crypto.ErrExhausted):
		return errExhausted
	case errors.Is(err, crypto.ErrOperation):
		return badBody("%s", err).(*refusal)
	case errors.Is(err, crypto.ErrBusy):
		return errBusy
	case errors.Is(err, ErrReadOnly):
		return errReadOnly
	case errors.Is(err, ErrConflict):
		return errConflict
	}
	return errInternal
}

func resultOf(err error) string {
	if err == nil {
		return "ok"
	}
	return told(err).result
}

func refuse(w http.ResponseWriter, r *http.Request, err error) {
	from, _ := r.Context().Value(callerKey{}).(Caller)
	t := told(err)
	if t.retryAfter != "" {
		w.Header().Set("Retry-After", t.retryAfter)
	}
	var missing *missingScope
	if errors.As(err, &missing) {
		w.Header().Set("Www-Authenticate", `Bearer realm="gateway", error="insufficient_scope", scope="`+missing.scope+`"`)
	}
	problem.Write(w, problem.Problem{
		Type: problem.Name(t.kind), Title: http.StatusText(t.status), Status: t.status, Detail: t.detail, RequestID: from.RequestID,
	})
}
