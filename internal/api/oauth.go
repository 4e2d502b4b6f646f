package api

import (
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strconv"

	"github.com/sallyport/sallyport/internal/crypto"
)

const (
	maxForm    = 64 << 10 // bytes of a form
	retryKeys  = "5"      // seconds after which keys may be there again
	maxTargets = 10       // audiences and resources a client may ask for at once
)

// An oauthRefusal is an answer of RFC 6749, section 5.2.
type oauthRefusal struct {
	status            int
	code, description string
	retryAfter        string
	cause             error // for the log alone
}

func invalidRequest(description string) *oauthRefusal {
	return &oauthRefusal{status: http.StatusBadRequest, code: "invalid_request", description: description}
}

// invalidClient is the same whether the id or the secret is wrong.
func invalidClient() *oauthRefusal {
	return &oauthRefusal{status: http.StatusUnauthorized, code: "invalid_client", description: "client authentication failed"}
}

func unavailable(cause error) *oauthRefusal {
	return &oauthRefusal{status: http.StatusServiceUnavailable, code: "temporarily_unavailable", description: "the token service cannot answer at the moment", retryAfter: retryKeys, cause: cause}
}

func busy() *oauthRefusal {
	return &oauthRefusal{status: http.StatusServiceUnavailable, code: "temporarily_unavailable", description: "too many clients authenticate at once", retryAfter: "1", cause: crypto.ErrBusy}
}

// refuse answers with what was refused, if anything was.
func (s *TokenService) refuse(w http.ResponseWriter, r *http.Request, c *client, refused *oauthRefusal, from TokenCaller) {
	if refused == nil {
		return
	}
	event := TokenEvent{Action: "refuse", Path: r.URL.Path, Status: refused.status, Reason: refused.code, From: from}
	attributes := []any{"path", r.URL.Path, "error", refused.code, "reason", refused.description, "request_id", from.RequestID}
	if c != nil {
		event.Client = c.ID
		attributes = append(attributes, "client", c.ID)
	}
	_ = s.audit(r.Context(), event) // it was refused in any case
	if refused.cause != nil {
		attributes = append(attributes, "cause", refused.cause)
	}
	s.log.Warn("token service refused", attributes...)
	h := w.Header()
	if refused.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Basic realm="gateway"`)
	}
	if refused.retryAfter != "" {
		h.Set("Retry-After", refused.retryAfter)
	}
	if refused.status == http.StatusRequestEntityTooLarge {
		h.Set("Connection", "close")
	}
	writeAnswer(w, refused.status, map[string]any{"error": refused.code, "error_description": refused.description})
}

// writeAnswer writes what nobody may keep (RFC 6749, section 5.1).
func writeAnswer(w http.ResponseWriter, status int, answer any) {
	body, err := json.Marshal(answer)
	if err != nil { // texts, numbers and what a token held always encode
		status, body = http.StatusInternalServerError, []byte(`{"error":"server_error"}`)
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	writeJSON(w, status, body)
}

// writeDocument writes what anybody may keep for a while: no longer than a new
// key should be published before it signs.
func writeDocument(w http.ResponseWriter, body []byte) {
	w.Header().Set("Cache-Control", "public, max-age=300")
	writeJSON(w, http.StatusOK, body)
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the caller is gone if this fails
}

// form is a request's parameters.
type form url.Values

func (f form) one(name string) string { return url.Values(f).Get(name) }

// readForm returns the parameters of the body. Those of the URL do not count, and
// none may stand there twice (RFC 6749, section 3.2), but for the targets, which
// may (RFC 8707, section 2; RFC 8693, section 2.1).
func readForm(w http.ResponseWriter, r *http.Request) (form, *oauthRefusal) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, invalidRequest("the body must be application/x-www-form-urlencoded")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		if errors.As(err, new(*http.MaxBytesError)) {
			return nil, &oauthRefusal{status: http.StatusRequestEntityTooLarge, code: "invalid_request", description: "the body is too large"}
		}
		return nil, invalidRequest("the request cannot be read as a form")
	}
	targets := 0
	for name, values := range r.PostForm {
		switch {
		case name == "audience" || name == "resource":
			targets += len(values)
		case len(values) > 1:
			return nil, invalidRequest("a parameter stands there twice")
		}
	}
	if targets > maxTargets {
		return nil, invalidRequest("too many audiences and resources")
	}
	return form(r.PostForm), nil
}
