package secrets

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts the reads, and shows the age of what is in use. It outlives
// the stores, of which a reload makes new ones. A nil *Metrics does nothing.
type Metrics struct {
	reads *prometheus.CounterVec
	age   *prometheus.Desc

	mu     sync.Mutex
	stores map[*Store]bool // those whose Run goes on
}

// NewMetrics returns Metrics, registered with reg, which must not have them
// already. A nil reg registers nothing.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		reads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_secret_reads_total",
			Help: "Reads of the secret backend, by what they ended with.",
		}, []string{"backend", "result"}),
		age: prometheus.NewDesc("gateway_secret_age_seconds",
			"How long ago the value in use that is the oldest was last read.", []string{"backend"}, nil),
		stores: make(map[*Store]bool),
	}
	if reg != nil {
		reg.MustRegister(m.reads, ages{m})
	}
	return m
}

func (m *Metrics) count(backend, result string) {
	if m != nil {
		m.reads.WithLabelValues(backend, result).Inc()
	}
}

func (m *Metrics) add(s *Store) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stores[s] = true
}

func (m *Metrics) remove(s *Store) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.stores, s)
}

// ages collects gateway_secret_age_seconds when it is asked for.
type ages struct{ *Metrics }

// Describe implements [prometheus.Collector].
func (a ages) Describe(to chan<- *prometheus.Desc) { to <- a.age }

// Collect implements [prometheus.Collector].
func (a ages) Collect(to chan<- prometheus.Metric) {
	a.mu.Lock()
	stores := slices.Collect(maps.Keys(a.stores))
	a.mu.Unlock()
	oldest := make(map[string]time.Duration) // a reload has two stores of one backend for a moment
	for _, s := range stores {
		if age, some := s.age(); some {
			oldest[s.backend.Name()] = max(oldest[s.backend.Name()], age)
		}
	}
	for backend, age := range oldest {
		to <- prometheus.MustNewConstMetric(a.age, prometheus.GaugeValue, age.Seconds(), backend)
	}
}
