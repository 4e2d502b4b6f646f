package auth

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics count the fetches of the key sets, and show how many keys there are
// and how old they are. A nil *Metrics does nothing.
type Metrics struct {
	refreshes *prometheus.CounterVec
	keys, age *prometheus.Desc

	mu   sync.Mutex
	sets map[*KeySet]bool // those whose Run goes on
}

// NewMetrics registers them with reg, which must not have them already. A nil
// reg registers nothing.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		refreshes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_jwks_refreshes_total",
			Help: "Fetches of an issuer's key set, by result: success or failure.",
		}, []string{"issuer", "result"}),
		keys: prometheus.NewDesc("gateway_jwks_keys", "Keys of the issuer's key set that can be used.", []string{"issuer"}, nil),
		age:  prometheus.NewDesc("gateway_jwks_age_seconds", "How long ago the issuer's key set was last fetched.", []string{"issuer"}, nil),
		sets: make(map[*KeySet]bool),
	}
	if reg != nil {
		reg.MustRegister(m.refreshes, gauges{m})
	}
	return m
}

func (m *Metrics) count(issuer string, err error) {
	switch {
	case m == nil:
	case err == nil:
		m.refreshes.WithLabelValues(issuer, "success").Inc()
	default:
		m.refreshes.WithLabelValues(issuer, "failure").Inc()
	}
}

// Forget takes away the counts of an issuer that is no more.
func (m *Metrics) Forget(issuer string) {
	m.refreshes.DeletePartialMatch(prometheus.Labels{"issuer": issuer})
}

func (m *Metrics) add(k *KeySet) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sets[k] = true
}

func (m *Metrics) remove(k *KeySet) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sets, k)
}

// gauges collects what is read off the key sets when it is asked for.
type gauges struct{ *Metrics }

// Describe implements [prometheus.Collector].
func (g gauges) Describe(to chan<- *prometheus.Desc) { to <- g.keys; to <- g.age }

// Collect implements [prometheus.Collector]. A reload has two sets of one issuer
// and URL for a moment: the younger one counts. Of an issuer with two URLs the
// keys are added up, and the older set's age is told.
func (g gauges) Collect(to chan<- prometheus.Metric) {
	g.mu.Lock()
	sets := slices.Collect(maps.Keys(g.sets))
	g.mu.Unlock()
	type gauge struct {
		keys int
		age  time.Duration
	}
	byURL := make(map[[2]string]gauge) // issuer, URL
	for _, k := range sets {
		f := k.current.Load()
		if f == nil {
			continue
		}
		for _, issuer := range k.issuers() {
			at, age := [2]string{issuer, k.shown}, k.now().Sub(f.at)
			if known, ok := byURL[at]; !ok || age < known.age {
				byURL[at] = gauge{len(f.all), age}
			}
		}
	}
	byIssuer := make(map[string]gauge)
	for at, one := range byURL {
		all := byIssuer[at[0]]
		byIssuer[at[0]] = gauge{all.keys + one.keys, max(all.age, one.age)}
	}
	for issuer, v := range byIssuer {
		to <- prometheus.MustNewConstMetric(g.keys, prometheus.GaugeValue, float64(v.keys), issuer)
		to <- prometheus.MustNewConstMetric(g.age, prometheus.GaugeValue, v.age.Seconds(), issuer)
	}
}
