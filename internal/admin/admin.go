// Package admin answers how the gateway is doing, on the operators' listener,
// and takes the few things an operator may ask of it.
//
// [New] makes the one handler: the probes and /metrics for everybody, the API
// behind a guard. Read [api.ServeHTTP] first.
//
// # Security
//
// The probes and /metrics ask for no token and tell no secret, path or inner
// answer: components by name, states by fixed words. Everything else asks for
// the token where one is set, whatever the path and method; where none is set it
// is served to this machine alone, and else is 404. A token that cannot be read
// is no open door: 503.
//
// Browsers are kept out: a request that a page of another origin caused is 403,
// and so is one by a foreign name where no token is asked for (DNS rebinding). A
// body must be JSON and small. No call is answered that the audit log could not
// take.
package admin

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sallyport/sallyport/internal/secrets"
	"github.com/sallyport/sallyport/internal/telemetry"
)

// Options are what the admin listener tells of, and what it may do. What is nil
// is not there.
type Options struct {
	Health   func() Health
	Gatherer prometheus.Gatherer

	Token *secrets.Value // nil: none is set, see Local
	Local bool           // without a token the API is served: only this machine reaches the listener

	Status  func() Status
	Refresh func(ctx context.Context, credential string) error // renews it now; ErrUnknown if there is none
	Reload  func(ctx context.Context) error                    // reads the configuration again
	Explain func(ctx context.Context, ask Question) (any, error)

	Record func(ctx context.Context, call Call) error // in the audit log; an error refuses the call
	Log    *slog.Logger
	Now    func() time.Time // nil means time.Now
}

// Call is one call of the API, for the audit log.
type Call struct {
	RequestID, Method, Path, IP string
	Refused                     int    // the status it was refused with; zero: it is let through
	Reason                      string // why, in a word
}

// Question is a request whose fate is asked for (CONTRACT 9).
type Question struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
	IP      string            `json:"ip"` // where it comes from; empty: this machine
}

// What the functions of Options may end with, beside what went wrong here.
var (
	ErrUnknown    = errors.New("there is no such thing")        // 404
	ErrBadRequest = errors.New("the question makes no sense")   // 400; its text is told
	ErrRefused    = errors.New("that cannot be done")           // 422; its text is told
	ErrBusy       = errors.New("the same is already under way") // 409
	ErrTooSoon    = errors.New("that was done a moment ago")    // 429
	ErrPeer       = errors.New("another server failed")         // 502; its text is told
)

// New returns the admin listener's handler.
func New(o Options) http.Handler {
	probes := chi.NewRouter()
	probes.Use(middleware.GetHead)
	probes.Get("/livez", live)
	probes.Get("/healthz", live)
	probes.Get("/readyz", ready(o.Health))
	probes.Method(http.MethodGet, "/metrics", promhttp.HandlerFor(o.Gatherer, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second}))
	guarded := newAPI(o)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secure(w.Header())
		switch r.URL.Path {
		case "/livez", "/healthz", "/readyz", "/metrics":
			probes.ServeHTTP(w, r)
		default:
			guarded.ServeHTTP(w, r)
		}
	})
}

// secure sets what keeps an answer out of caches and other pages.
func secure(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
}

func newAPI(o Options) *api {
	a := &api{o: o, log: telemetry.Discard(o.Log), now: o.Now, routes: chi.NewRouter()}
	if a.now == nil {
		a.now = time.Now
	}
	a.routes.Use(middleware.GetHead)
	a.mount()
	return a
}
