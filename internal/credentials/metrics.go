package credentials

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics count the renewals of the credentials that rotate.
type Metrics struct {
	refreshes *prometheus.CounterVec
	expiry    *prometheus.GaugeVec
}

// NewMetrics registers them with reg, which must not have them already.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		refreshes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_credential_refreshes_total",
			Help: "Attempts to renew a credential, by result: success or failure.",
		}, []string{"credential", "result"}),
		expiry: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gateway_credential_expiry_timestamp_seconds",
			Help: "When the credential in use expires, in seconds since 1970; 0 before the first one.",
		}, []string{"credential"}),
	}
	reg.MustRegister(m.refreshes, m.expiry)
	return m
}

// series are the metrics of one credential; there may be none.
type series struct {
	success, failure prometheus.Counter
	expiry           prometheus.Gauge
}

func (m *Metrics) of(credential string) *series {
	if m == nil {
		return nil
	}
	return &series{
		success: m.refreshes.WithLabelValues(credential, "success"),
		failure: m.refreshes.WithLabelValues(credential, "failure"),
		expiry:  m.expiry.WithLabelValues(credential),
	}
}

func (s *series) renewed(expires time.Time) {
	if s != nil {
		s.success.Inc()
		s.expiry.Set(float64(expires.Unix()))
	}
}

func (s *series) failed() {
	if s != nil {
		s.failure.Inc()
	}
}
