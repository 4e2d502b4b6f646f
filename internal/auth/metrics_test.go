package auth

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestJWKSMetrics(t *testing.T) {
	t.Parallel()
	good := signer(t, privatePEM(t, newECKey(t)), "ES256", "1")
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewPedanticRegistry()
		m := NewMetrics(reg)
		s := newKeySetTest(t, KeySetOptions{Metrics: m, Refresh: time.Hour}, serve(setOf(t, jwk(t, good, nil))))
		stop := running(t, s.set)
		synctest.Wait()
		s.idp.set(fail(500))
		if err := s.set.Fetch(t.Context()); err == nil {
			t.Error("no error")
		}
		time.Sleep(time.Minute)
		if got, want := gather(t, reg), "gateway_jwks_age_seconds{corp} 60\ngateway_jwks_keys{corp} 1\n"+
			"gateway_jwks_refreshes_total{corp,failure} 1\ngateway_jwks_refreshes_total{corp,success} 1\n"; got != want {
			t.Errorf("got:\n%swant:\n%s", got, want)
		}
		stop()
		if got := gather(t, reg); strings.Contains(got, "age") || strings.Contains(got, "keys{") {
			t.Errorf("after Run has ended:\n%s", got)
		}
	})
}

func gather(t *testing.T, reg *prometheus.Registry) string {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			fmt.Fprintf(&out, "%s{%s} %v\n", family.GetName(), strings.Join(labels, ","), m.GetGauge().GetValue()+m.GetCounter().GetValue())
		}
	}
	return out.String()
}
