package gateway_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// serveCrypto is a gateway with the crypto API, and a route beside it.
func serveCrypto() error {
	return serveText(head+fmt.Sprintf(`
crypto: {path: /crypto/v1, auth: {issuers: [test]}}
routes:
  - {name: orders, path: /orders/*, auth: {issuers: [test], scopes: ["orders:read"]}, upstream: %q}
`, os.Getenv(upstreamVariable)), environment{"JWT_KEY": hmacKey})
}

const (
	floodRounds  = 3
	floodCallers = 500                  // who ask for a hash at the same time
	floodPace    = 5 * time.Millisecond // between two proxied requests
	floodSamples = 1000                 // proxied requests a round
)

// BenchmarkPasswordFlood tells the p99 of proxied requests, 200 a second, without
// and with 500 callers who all want a password of 600,000 iterations hashed, and
// who come again when they are told to, or up to as long after it, so that they
// don't march in step: medians of interleaved rounds. A request counts from when it was due. None may fail, and what is not
// hashed must be a 503.
func BenchmarkPasswordFlood(b *testing.B) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	b.Cleanup(up.Close)
	gateway := startPeer(b, "crypto", up.URL, benchKeys{})
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * floodCallers}, Timeout: time.Minute}
	token := mint(b, map[string]any{"scope": "orders:read crypto:password"})
	var idle, under, ratios []float64
	var f flood
	for range floodRounds {
		one := pacedP99(b, client, gateway.url, token)
		stop := f.begin(b, client, gateway.url, token)
		other := pacedP99(b, client, gateway.url, token)
		stop()
		idle, under, ratios = append(idle, one), append(under, other), append(ratios, other/one)
	}
	b.ReportMetric(median(idle), "idle-p99-ms")
	b.ReportMetric(median(under), "flood-p99-ms")
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(float64(f.hashed.Load()), "hashed")
	b.ReportMetric(float64(f.turned.Load()), "turned-away")
	b.ReportMetric(0, "ns/op")
	if f.hashed.Load() == 0 || f.turned.Load() == 0 {
		b.Errorf("%d hashed, %d turned away: that is no flood", f.hashed.Load(), f.turned.Load())
	}
}

// pacedP99 sends requests at their pace, and returns the 99th percentile of how
// long each took from when it was due, in milliseconds.
func pacedP99(b *testing.B, client *http.Client, url, token string) float64 {
	b.Helper()
	took := make([]float64, floodSamples)
	var all sync.WaitGroup
	began := time.Now()
	for i := range took {
		due := began.Add(time.Duration(i) * floodPace)
		time.Sleep(time.Until(due))
		all.Go(func() {
			r, err := http.NewRequest(http.MethodGet, url+"/orders/1", nil)
			if err != nil {
				b.Error(err)
				return
			}
			r.Header.Set("Authorization", "Bearer "+token)
			res, err := client.Do(r)
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			if res.StatusCode != http.StatusOK {
				b.Errorf("a proxied request: %d", res.StatusCode)
			}
			took[i] = float64(time.Since(due).Microseconds()) / 1000
		})
	}
	all.Wait()
	slices.Sort(took)
	return took[len(took)*99/100]
}

// flood is callers who want passwords hashed.
type flood struct{ hashed, turned atomic.Int64 }

// begin lets them loose until what it returns is called.
func (f *flood) begin(b *testing.B, client *http.Client, url, token string) (stop func()) {
	end := make(chan struct{})
	var all sync.WaitGroup
	for i := range floodCallers {
		all.Go(func() {
			time.Sleep(time.Duration(i) * time.Millisecond)
			for {
				wait, err := f.call(client, url, token)
				if err != nil {
					b.Error(err)
					return
				}
				select {
				case <-end:
					return
				case <-time.After(wait):
				}
			}
		})
	}
	return func() { close(end); all.Wait() }
}

// call asks for one hash, and returns how long to wait before the next.
func (f *flood) call(client *http.Client, url, token string) (time.Duration, error) {
	a, err := postJSON(client, url+"/crypto/v1/passwords/hash", `{"password": "correct horse battery staple"}`, []string{bearer(token)})
	switch {
	case err != nil:
		return 0, err
	case a.Status == http.StatusOK && strings.Contains(a.Body, "i=600000"):
		f.hashed.Add(1)
		return 0, nil
	case a.Status != http.StatusServiceUnavailable:
		return 0, fmt.Errorf("a hash: %d %s", a.Status, a.Body)
	}
	f.turned.Add(1)
	seconds, err := strconv.Atoi(a.Header.Get("Retry-After"))
	return time.Duration((1 + rand.Float64()) * float64(seconds) * float64(time.Second)), err
}
