package proxy

import (
	"strconv"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// series are a route's own, looked up once.
type series struct {
	duration, upstream prometheus.Observer
	allowed, public    prometheus.Counter
	requests           *answered
}

func (m *Metrics) of(route string) series {
	return series{
		duration: m.duration.WithLabelValues(route), upstream: m.upstream.WithLabelValues(route),
		allowed: m.decisions.WithLabelValues(route, "allow", "ok"), public: m.decisions.WithLabelValues(route, "allow", "public"),
		requests: &answered{vec: m.requests, route: route},
	}
}

// unrouted are the series of requests that no route matched.
type unrouted struct {
	duration prometheus.Observer
	requests *answered
}

func (m *Metrics) without() unrouted {
	return unrouted{m.duration.WithLabelValues(noRoute), &answered{vec: m.requests, route: noRoute}}
}

// answered counts a route's requests by method and status. A series is made when
// it first counts, and is then at hand.
type answered struct {
	vec      *prometheus.CounterVec
	route    string
	byMethod [10]atomic.Pointer[statuses]
}

// statuses are counters by status.
type statuses [600]atomic.Pointer[prometheus.Counter]

func (a *answered) inc(method string, status int) {
	n, label := methodLabel(method)
	if status < 0 || status >= len(statuses{}) {
		a.vec.WithLabelValues(a.route, label, strconv.Itoa(status)).Inc()
		return
	}
	of := a.byMethod[n].Load()
	if of == nil {
		of = new(statuses)
		if !a.byMethod[n].CompareAndSwap(nil, of) {
			of = a.byMethod[n].Load()
		}
	}
	counter := of[status].Load()
	if counter == nil {
		made := a.vec.WithLabelValues(a.route, label, strconv.Itoa(status))
		counter = &made
		of[status].Store(counter)
	}
	(*counter).Inc()
}

// methodLabel bounds the method label, of which it also gives the number: a
// caller may send any word.
func methodLabel(method string) (n int, label string) {
	switch method {
	case "GET":
		n = 1
	case "HEAD":
		n = 2
	case "POST":
		n = 3
	case "PUT":
		n = 4
	case "PATCH":
		n = 5
	case "DELETE":
		n = 6
	case "OPTIONS":
		n = 7
	case "CONNECT":
		n = 8
	case "TRACE":
		n = 9
	default:
		return 0, "other"
	}
	return n, method
}
