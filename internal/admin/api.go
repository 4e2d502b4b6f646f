package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"
)

// mount sets up the calls of CONTRACT 9 that can be answered.
func (a *api) mount() {
	r := a.routes
	r.NotFound(func(w http.ResponseWriter, r *http.Request) { answer(w, idOf(r), notFound()) })
	r.MethodNotAllowed(a.methodNotAllowed)
	if a.o.Status != nil {
		r.Get("/api/v1/status", func(w http.ResponseWriter, _ *http.Request) { write(w, http.StatusOK, a.o.Status()) })
	}
	if a.o.Refresh != nil {
		r.Post("/api/v1/credentials/{name}/refresh", a.refresh)
	}
	if a.o.Reload != nil {
		r.Post("/api/v1/reload", a.reload)
	}
	if a.o.Explain != nil {
		r.Post("/api/v1/explain", a.explain)
	}
	r.Get("/debug/pprof/cmdline", func(w http.ResponseWriter, r *http.Request) { answer(w, idOf(r), notFound()) }) // arguments may hold a path or worse
	r.Get("/debug/pprof/profile", pprof.Profile)
	r.Get("/debug/pprof/symbol", pprof.Symbol)
	r.Get("/debug/pprof/trace", pprof.Trace)
	r.Get("/debug/pprof/*", pprof.Index)
	r.Get("/debug/pprof", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/debug/pprof/", http.StatusMovedPermanently)
	})
}

// methodNotAllowed tells which methods there are (RFC 9110, section 15.5.6).
func (a *api) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		if a.routes.Match(chi.NewRouteContext(), method, r.URL.Path) {
			allowed = append(allowed, method)
		}
	}
	if slices.Contains(allowed, http.MethodGet) {
		allowed = append(allowed, http.MethodHead)
	}
	answer(w, idOf(r), &refusal{status: http.StatusMethodNotAllowed, kind: "method-not-allowed", detail: "the method is not allowed here",
		header: [][2]string{{"Allow", strings.Join(allowed, ", ")}}})
}

// refresh renews one credential now.
func (a *api) refresh(w http.ResponseWriter, r *http.Request) {
	name := chi.URLParam(r, "name")
	switch err := a.o.Refresh(r.Context(), name); {
	case errors.Is(err, ErrUnknown):
		answer(w, idOf(r), &refusal{status: http.StatusNotFound, kind: "not-found", detail: "no route uses a credential of this name"})
		return
	case err != nil:
		answer(w, idOf(r), a.refusalOf(r, err))
		return
	}
	write(w, http.StatusOK, struct {
		Credential string `json:"credential"`
		Result     string `json:"result"`
	}{name, "success"})
}

// reload reads the configuration again; a bad one changes nothing.
func (a *api) reload(w http.ResponseWriter, r *http.Request) {
	if err := a.o.Reload(r.Context()); err != nil {
		answer(w, idOf(r), a.refusalOf(r, err))
		return
	}
	write(w, http.StatusOK, struct {
		Result string `json:"result"`
	}{"success"})
}

// explain answers what would become of a request.
func (a *api) explain(w http.ResponseWriter, r *http.Request) {
	var ask Question
	if err := decode(r, &ask); err != nil {
		answer(w, idOf(r), a.refusalOf(r, err))
		return
	}
	told, err := a.o.Explain(r.Context(), ask)
	if err != nil {
		answer(w, idOf(r), a.refusalOf(r, err))
		return
	}
	write(w, http.StatusOK, told)
}

// decode reads the one JSON object of a call's body, with no member unknown.
func decode(r *http.Request, into any) error {
	text, err := io.ReadAll(r.Body)
	if errors.As(err, new(*http.MaxBytesError)) {
		return tooLarge()
	}
	if err != nil {
		return badRequest("the body could not be read")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil || d.More() {
		return badRequest("the body is not the JSON object that is asked for")
	}
	return nil
}
