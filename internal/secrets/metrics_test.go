package secrets_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sallyport/sallyport/internal/secrets"
)

func TestReadsAreCountedByBackendAndResult(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	backend := newCounted(t)
	write(t, backend.dir, "good", "x")
	write(t, backend.dir, "empty", "")
	write(t, backend.dir, "doc", "[]")
	store := secrets.NewStore(backend, secrets.Options{Metrics: secrets.NewMetrics(reg)})
	for _, ref := range []secrets.Reference{{Path: "good"}, {Path: "empty"}, {Path: "missing"}, {Path: "doc", Field: "f"}} {
		store.Watch(ref)
	}
	_ = store.Fetch(t.Context()) // the counts say it
	backend.outage(t)
	_ = store.Fetch(t.Context())
	want := `
# HELP gateway_secret_reads_total Reads of the secret backend, by what they ended with.
# TYPE gateway_secret_reads_total counter
gateway_secret_reads_total{backend="file",result="empty"} 1
gateway_secret_reads_total{backend="file",result="invalid"} 1
gateway_secret_reads_total{backend="file",result="not_found"} 1
gateway_secret_reads_total{backend="file",result="ok"} 1
gateway_secret_reads_total{backend="file",result="unavailable"} 4
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "gateway_secret_reads_total"); err != nil {
		t.Error(err)
	}
}

func TestAgeIsThatOfTheOldestValueInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewPedanticRegistry()
		metrics := secrets.NewMetrics(reg)
		age := func() float64 { // -1: there is none
			t.Helper()
			families, err := reg.Gather()
			must(t, err)
			for _, family := range families {
				if family.GetName() == "gateway_secret_age_seconds" {
					return family.GetMetric()[0].GetGauge().GetValue()
				}
			}
			return -1
		}
		backend := newCounted(t)
		write(t, backend.dir, "a", "x")
		write(t, backend.dir, "b", "x")
		store := secrets.NewStore(backend, secrets.Options{Refresh: time.Minute, Metrics: metrics})
		store.Watch(secrets.Reference{Path: "a"})
		store.Watch(secrets.Reference{Path: "b"})
		store.Watch(secrets.Reference{Path: "never there"})
		if got := age(); got != -1 {
			t.Errorf("%v before there is anything", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- store.Run(ctx) }()
		after(0)
		write(t, backend.dir, "b", "") // a goes on, b is the old one
		after(10 * time.Minute)
		if got := age(); got != 600 {
			t.Errorf("%v, want 600", got)
		}
		must(t, os.Remove(filepath.Join(backend.dir, "b")))
		after(67 * time.Second)
		if got := age(); got < 0 || got > 66 {
			t.Errorf("%v of what is read each minute", got)
		}
		cancel()
		must(t, <-done)
		if got := age(); got != -1 {
			t.Errorf("%v after a reload has ended the store", got)
		}
	})
}
