package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// flooded is a configuration with the crypto API and a route that anybody's
// token passes.
func flooded(dir, upstream string) string {
	text := cryptoHead(dir)
	return text[:strings.Index(text, "routes:")] + fmt.Sprintf("routes: [{name: orders, path: /orders/*, auth: {issuers: [test], scopes: [\"orders:read\"]}, upstream: %q}]\n", upstream)
}

// crypto-09: a flood of password hashes takes no core that requests need. All of
// it is hashed or turned away at once, and nothing that is proxied fails.
func TestCrypto09PasswordFlood(t *testing.T) {
	t.Parallel()
	g := start(t, flooded(keyFiles(t), startEcho(t).URL), nil)
	const calls, proxied = 300, 100
	headers := []string{bearer(mint(t, map[string]any{"scope": "crypto:password"}))}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: calls}, Timeout: time.Minute}
	t.Cleanup(client.CloseIdleConnections)
	var hashed, turned, longest atomic.Int64
	var flood sync.WaitGroup
	for range calls {
		flood.Go(func() {
			began := time.Now()
			a, err := postJSON(client, g.URL+"/crypto/v1/passwords/hash", `{"password": "correct horse", "iterations": 600000}`, headers)
			switch {
			case err != nil:
				t.Error(err)
			case a.Status == http.StatusOK:
				hashed.Add(1)
			case a.Status == http.StatusServiceUnavailable && a.Header.Get("Retry-After") == "1":
				turned.Add(1)
			default:
				t.Errorf("%d %s", a.Status, a.Body)
			}
			longest.Store(max(longest.Load(), int64(time.Since(began))))
		})
	}
	for range proxied {
		if a := get(t, g.URL+"/orders/1"); a.Status != http.StatusOK {
			t.Errorf("a proxied request: %d %s", a.Status, a.Body)
		}
	}
	flood.Wait()
	if hashed.Load() == 0 || turned.Load() == 0 || hashed.Load()+turned.Load() != calls {
		t.Errorf("%d hashed and %d turned away of %d", hashed.Load(), turned.Load(), calls)
	}
	t.Logf("%d hashed, %d turned away, none took longer than %v; %d proxied meanwhile", hashed.Load(), turned.Load(), time.Duration(longest.Load()).Round(time.Millisecond), proxied)
	if got := scrape(t, g, `gateway_crypto_operations_total{keyring="",operation="hash_password",result="busy"}`); got != fmt.Sprint(turned.Load()) {
		t.Errorf("%s are counted as busy, %d were turned away", got, turned.Load())
	}
}

func postJSON(client *http.Client, url, body string, headers []string) (answer, error) {
	r, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	res, err := client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(text)}, err
}
