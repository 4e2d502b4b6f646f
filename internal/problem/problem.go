// Package problem tells callers why they were refused, as RFC 9457 problem
// documents.
//
// # Security
//
// A document carries only what its author put in: there is no field for an
// error value, so no inner address, key or token can come along by accident.
package problem

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// ContentType is the media type of a problem document.
const ContentType = "application/problem+json"

// Problem is what the caller is told.
type Problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail,omitempty"`
	RequestID string `json:"request_id,omitempty"`
}

// Name makes the type URI of a kind of problem.
func Name(kind string) string { return "urn:sallyport:problem:" + kind }

// Body encodes p.
func (p Problem) Body() []byte {
	body, err := json.Marshal(p)
	if err != nil { // strings and an int always encode
		return []byte(`{"type":"about:blank","status":` + strconv.Itoa(p.Status) + `}`)
	}
	return append(body, '\n')
}

// Write answers with p. Header fields set on w beforehand are kept.
func Write(w http.ResponseWriter, p Problem) {
	body := p.Body()
	h := w.Header()
	h.Set("Content-Type", ContentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // the caller is gone if this fails
}
