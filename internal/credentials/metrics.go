package credentials

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics count the renewals of the credentials that rotate.
type Metrics struct {
	refreshes *prometheus.CounterVec
	failures  *prometheus.CounterVec
	expiry    *prometheus.GaugeVec
	took      *prometheus.HistogramVec
}

// NewMetrics registers them with reg, which must not have them already.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		refreshes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_credential_refreshes_total",
			Help: "Attempts to renew a credential, by result: success or failure.",
		}, []string{"credential", "result"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_credential_failures_total",
			Help: "Attempts to renew a credential that failed, by reason.",
		}, []string{"credential", "reason"}),
		expiry: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gateway_credential_expiry_timestamp_seconds",
			Help: "When the credential in use expires, in seconds since 1970; 0 before the first one.",
		}, []string{"credential"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "gateway_credential_fetch_duration_seconds",
			Help:    "Time an attempt to renew a credential took, however it ended.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"credential"}),
	}
	reg.MustRegister(m.refreshes, m.failures, m.expiry, m.took)
	return m
}

// Forget takes away the series of a credential that is no more.
func (m *Metrics) Forget(credential string) {
	labels := prometheus.Labels{"credential": credential}
	m.refreshes.DeletePartialMatch(labels)
	m.failures.DeletePartialMatch(labels)
	m.expiry.DeletePartialMatch(labels)
	m.took.DeletePartialMatch(labels)
}

// series are the metrics of one credential; there may be none.
type series struct {
	success, failure prometheus.Counter
	reasons          *prometheus.CounterVec
	expiry           prometheus.Gauge
	took             prometheus.Observer
}

func (m *Metrics) of(credential string) *series {
	if m == nil {
		return nil
	}
	return &series{
		success: m.refreshes.WithLabelValues(credential, resultSuccess),
		failure: m.refreshes.WithLabelValues(credential, resultFailure),
		reasons: m.failures.MustCurryWith(prometheus.Labels{"credential": credential}),
		expiry:  m.expiry.WithLabelValues(credential),
		took:    m.took.WithLabelValues(credential),
	}
}

// renewed counts a success; expires is zero where there is no one value in use.
func (s *series) renewed(took time.Duration, expires time.Time) {
	if s != nil {
		s.success.Inc()
		if !expires.IsZero() {
			s.expiry.Set(float64(expires.Unix()))
		}
		s.took.Observe(took.Seconds())
	}
}

// failed counts a failure; reason is one of the words of event.go.
func (s *series) failed(took time.Duration, reason string) {
	if s != nil {
		s.failure.Inc()
		s.reasons.WithLabelValues(reason).Inc()
		s.took.Observe(took.Seconds())
	}
}
