package proxy

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport/internal/telemetry"
)

// Metrics are the proxy's series (CONTRACT 10). Their labels come from the
// configuration or from fixed words: a caller can create no new series.
type Metrics struct {
	requests  *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	upstream  *prometheus.HistogramVec
	decisions *prometheus.CounterVec
	limited   *prometheus.CounterVec
	replays   *prometheus.CounterVec
	inFlight  prometheus.Gauge
}

// NewMetrics makes the series and registers them with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	buckets := []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_requests_total", Help: "Requests answered, by route, method and status."}, []string{"route", "method", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gateway_request_duration_seconds", Help: "Time from a request's arrival to the end of its answer.", Buckets: buckets}, []string{"route"}),
		upstream: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gateway_upstream_duration_seconds", Help: "Time from sending a request up to the header of the upstream's answer.", Buckets: buckets}, []string{"route"}),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_auth_decisions_total", Help: "Decisions on who may pass, by result and reason."}, []string{"route", "result", "reason"}),
		limited: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_rate_limited_total", Help: "Requests refused by a rate limit, by the kind of its key."}, []string{"route", "key"}),
		replays: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_replays_total", Help: "Requests sent again with another credential after the upstream answered 401."}, []string{"route"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gateway_in_flight_requests", Help: "Requests being served at this moment."}),
	}
	reg.MustRegister(m.requests, m.duration, m.upstream, m.decisions, m.limited, m.replays, m.inFlight)
	return m
}

// Forget takes away the series of a route that is no more. A request of it that
// ends later makes some of them anew.
func (m *Metrics) Forget(route string) {
	labels := prometheus.Labels{"route": route}
	for _, vec := range []interface{ DeletePartialMatch(prometheus.Labels) int }{m.requests, m.duration, m.upstream, m.decisions, m.limited, m.replays} {
		vec.DeletePartialMatch(labels)
	}
}

// record watches one answer, so that every request is logged and counted once,
// however it ends. It must be outermost: what it does not wrap, it does not see.
type record struct {
	http.ResponseWriter
	p *Proxy
	x *exchange

	hijacked func(*socket) // told of the connection that an upgrade takes; may be nil

	status int
	bytes  int64
}

func (p *Proxy) observe(w http.ResponseWriter, x *exchange) *record {
	p.metrics.inFlight.Inc()
	p.serving.Add(1)
	return &record{ResponseWriter: w, p: p, x: x}
}

// Unwrap lets http.ResponseController reach the server's own writer.
func (rec *record) Unwrap() http.ResponseWriter { return rec.ResponseWriter }

// WriteHeader notes the final status. Informational ones are cleaned as answers
// are, since they pass no other place.
func (rec *record) WriteHeader(status int) {
	if status < 200 && status != http.StatusSwitchingProtocols {
		h := rec.Header()
		h.Del("X-Request-Id")
		if rec.x.route != nil {
			for _, name := range rec.x.route.RemoveResponse {
				h.Del(name)
			}
		}
	} else if rec.status == 0 {
		rec.status = status
	}
	rec.ResponseWriter.WriteHeader(status)
}

// hurry bounds the next write or flush, so that a caller who does not read holds
// neither connection for ever. HTTP/2 ends a stream whose deadline passes even
// if nothing is written; what hurry returns takes it back there.
func (rec *record) hurry() (done func()) {
	if rec.p.bodyTimeout <= 0 {
		return func() {}
	}
	control := http.NewResponseController(rec.ResponseWriter)
	_ = control.SetWriteDeadline(time.Now().Add(rec.p.bodyTimeout)) // not every test server has deadlines
	if rec.x.proto[0] != 2 {
		return func() {}
	}
	return func() { _ = control.SetWriteDeadline(time.Time{}) }
}

// FlushError flushes in a bounded time.
func (rec *record) FlushError() error {
	defer rec.hurry()()
	return http.NewResponseController(rec.ResponseWriter).Flush()
}

// Write writes in a bounded time.
func (rec *record) Write(b []byte) (int, error) {
	if rec.status == 0 {
		rec.status = http.StatusOK
	}
	defer rec.hurry()()
	n, err := rec.ResponseWriter.Write(b)
	rec.bytes += int64(n)
	return n, err
}

// finish counts and logs the request. A panic that is not ReverseProxy's way to
// end a broken answer is logged with its stack and answered with a plain 500.
func (rec *record) finish() {
	p, x := rec.p, rec.x
	p.metrics.inFlight.Dec()
	panicked, answered := recover(), rec.status != 0
	switch err, _ := panicked.(error); {
	case panicked == nil:
	case errors.Is(err, http.ErrAbortHandler):
		if x.reason == "" {
			x.reason = "aborted"
		}
	default:
		p.log.Error("request panicked", "request_id", x.id, "route", x.routeName(), "panic", panicked, "stack", string(debug.Stack()))
		if !answered {
			p.refuse(rec, x, "internal", errors.New("panic"))
		}
	}
	took := p.now().Sub(x.start)
	rec.hurry() // for the flush that follows the handler
	rec.count(took)
	rec.explainFailure()
	rec.logObserved()
	rec.log(took)
	rec.audit()
	p.serving.Add(-1)
	if panicked != nil && answered {
		panic(http.ErrAbortHandler) // half an answer must not look whole
	}
}

func (rec *record) count(took time.Duration) {
	if rec.x.route == nil {
		rec.p.unrouted.requests.inc(rec.x.method, rec.status)
		rec.p.unrouted.duration.Observe(took.Seconds())
		return
	}
	rec.x.route.series.requests.inc(rec.x.method, rec.status)
	rec.x.route.series.duration.Observe(took.Seconds())
	if rec.x.upstream > 0 {
		rec.x.route.series.upstream.Observe(rec.x.upstream.Seconds())
	}
}

// inc counts, unless the request is only explained.
func (x *exchange) inc(c prometheus.Counter) {
	if !x.explaining {
		c.Inc()
	}
}

// count is inc for a series that is not there before it counts.
func (x *exchange) count(c *prometheus.CounterVec, labels ...string) {
	if !x.explaining {
		c.WithLabelValues(labels...).Inc()
	}
}

func (p *Proxy) countDeny(x *exchange, reason string) {
	x.count(p.metrics.decisions, x.route.Name, "deny", reason)
}

// accessLine is one line of the access log. Each has every field of CONTRACT 10,
// so that a reader need not ask which are there.
type accessLine struct {
	Time       time.Time `json:"time"`
	RequestID  string    `json:"request_id"`
	Route      string    `json:"route"`
	Method     string    `json:"method"`
	Path       string    `json:"path"`
	Status     int       `json:"status"`
	Bytes      int64     `json:"bytes"`
	DurationMS float64   `json:"duration_ms"`
	Upstream   string    `json:"upstream"`
	UpstreamMS float64   `json:"upstream_ms"`
	Subject    string    `json:"subject"`
	Issuer     string    `json:"issuer"`
	Decision   string    `json:"decision"`
	Reason     string    `json:"reason"`
	Observed   bool      `json:"observed,omitempty"` // the route only observes: the request went on
	IP         string    `json:"ip"`
}

// maxLogged bounds a field of the access log that a caller chooses, in bytes.
const maxLogged = 2048

func (rec *record) log(took time.Duration) {
	x := rec.x
	if rec.p.access == nil {
		return
	}
	line := accessLine{
		Time: x.start.UTC(), RequestID: x.id, Route: x.routeName(), Method: capped(x.method, 32), Path: capped(x.loggedPath(), maxLogged),
		Status: rec.status, Bytes: rec.bytes, DurationMS: milliseconds(took), Upstream: x.server, UpstreamMS: milliseconds(x.upstream),
		Decision: x.decision(), Reason: x.reason, IP: x.client.String(),
	}
	if x.observed != nil {
		line.Observed, line.Reason = true, cmp.Or(x.reason, x.observed.refusal.reason)
	}
	if x.principal != nil {
		line.Subject, line.Issuer = capped(x.principal.Subject, maxLogged), x.principal.Issuer
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(line); err != nil {
		rec.p.log.Error("access line not encoded", "request_id", x.id, "error", err)
		return
	}
	rec.p.access.Add(b.Bytes())
}

// explainFailure logs what the caller is not told. Refusals of callers are for
// debugging; failures behind the gateway are the operator's.
func (rec *record) explainFailure() {
	x := rec.x
	if x.cause == nil {
		return
	}
	level := slog.LevelDebug
	if rec.status >= 500 {
		level = slog.LevelWarn
	}
	rec.p.log.LogAttrs(context.Background(), level, "request refused",
		slog.String("request_id", x.id), slog.String("route", x.routeName()), slog.String("check", x.failed),
		slog.Int("status", rec.status), slog.String("reason", x.reason), slog.String("cause", capped(x.cause.Error(), maxLogged)))
}

// loggedPath is the path without its query: the normal form, or where there is
// none the target's path with every byte that is not plain escaped. A target's
// authority may hold a password.
func (x *exchange) loggedPath() string {
	if x.at.path != "" {
		return x.at.path
	}
	quoted := strconv.QuoteToASCII(telemetry.WithoutQuery(originForm(capped(x.target, maxLogged))))
	return quoted[1 : len(quoted)-1]
}

// decision is what the checks said: an upstream that failed does not make a
// request denied. Of a request that a route only observed it is what they would
// have said.
func (x *exchange) decision() string {
	if x.observed != nil {
		return "deny"
	}
	switch x.failed {
	case "", "upstream":
		return "allow"
	}
	return "deny"
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// capped cuts s to n bytes, at a rune's boundary.
func capped(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
