package admin

import (
	"encoding/json"
	"net/http"
	"time"
)

// State is how a component, or the whole, is.
type State string

// The states, from good to bad.
const (
	OK          State = "ok"
	Degraded    State = "degraded"    // works, on old values or in part
	Starting    State = "starting"    // its first fetch has not ended
	Unavailable State = "unavailable" // what needs it answers 503
	Draining    State = "draining"    // about to end
)

// Component is one thing the gateway depends on.
type Component struct {
	Name   string        // kind and name: issuer/corp
	State  State         //
	Detail string        // why, in fixed words; empty if ok
	Age    time.Duration // of the value in use; negative if there is none
}

// Health is how the gateway is at one moment.
type Health struct {
	Draining   bool
	Routes     []Component // whether each route can serve
	Components []Component
}

// Overall is the one state /readyz answers with: ready (ok or degraded) as
// long as one route can serve and no first fetch is under way.
func (h Health) Overall() State {
	if h.Draining {
		return Draining
	}
	serving, worst := len(h.Routes) == 0, OK
	for _, c := range h.Components {
		switch c.State {
		case Starting:
			return Starting
		case Degraded, Unavailable:
			worst = Degraded
		}
	}
	for _, r := range h.Routes {
		serving = serving || r.State != Unavailable
		if r.State != OK {
			worst = Degraded
		}
	}
	if !serving {
		return Unavailable
	}
	return worst
}

func live(w http.ResponseWriter, _ *http.Request) { write(w, http.StatusOK, report{Status: OK}) }

// report is the body of a probe's answer.
type report struct {
	Status     State    `json:"status"`
	Components []detail `json:"components,omitempty"`
	Routes     []detail `json:"routes,omitempty"`
}

type detail struct {
	Name   string   `json:"name"`
	Status State    `json:"status"`
	Detail string   `json:"detail,omitempty"`
	Age    *float64 `json:"age_seconds,omitempty"`
}

// ready answers 200 while the gateway can serve (CONTRACT 9): ?strict asks for
// every component to be well, ?verbose for ages too.
func ready(health func() Health) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h, query := health(), r.URL.Query()
		state, status := h.Overall(), http.StatusOK
		if state != OK && (state != Degraded || query.Has("strict")) {
			status = http.StatusServiceUnavailable
		}
		verbose := query.Has("verbose")
		write(w, status, report{Status: state, Components: details(h.Components, verbose), Routes: details(h.Routes, verbose)})
	}
}

func details(components []Component, verbose bool) []detail {
	list := make([]detail, len(components))
	for i, c := range components {
		list[i] = detail{Name: c.Name, Status: c.State, Detail: c.Detail}
		if verbose && c.Age >= 0 {
			age := c.Age.Seconds()
			list[i].Age = &age
		}
	}
	return list
}

// write answers with body as JSON.
func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the asker is gone if this fails
}
