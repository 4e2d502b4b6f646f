package peertest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/peertest"
)

// behindProxy returns a proxy to a server that says what, and a way to ask it.
func behindProxy(t *testing.T, what string, reuse bool) (*peertest.FaultProxy, func() (string, error)) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, what) }))
	t.Cleanup(server.Close)
	proxy := peertest.NewFaultProxy(t, server.URL)
	transport := &http.Transport{DisableKeepAlives: !reuse}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport, Timeout: 500 * time.Millisecond}
	return proxy, func() (string, error) {
		res, err := client.Get("http://" + proxy.Address)
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		return string(body), err
	}
}

func TestFaultProxy(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(*peertest.FaultProxy){
		"cut":       (*peertest.FaultProxy).Cut,
		"hanging":   (*peertest.FaultProxy).Hang,
		"corrupt":   (*peertest.FaultProxy).Corrupt,
		"cut short": func(p *peertest.FaultProxy) { p.CutAfter(100) },
		"too slow":  func(p *peertest.FaultProxy) { p.Delay(time.Second) },
		"elsewhere": func(p *peertest.FaultProxy) { p.Retarget("127.0.0.1:1") },
	} {
		for _, reuse := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, connection kept %v", name, reuse), func(t *testing.T) {
				t.Parallel()
				text := strings.Repeat("good", 100)
				proxy, ask := behindProxy(t, text, reuse)
				for range 2 {
					if got, err := ask(); err != nil || got != text {
						t.Fatalf("without a fault: %q, %v", got, err)
					}
				}
				if got, want := proxy.Connections(), map[bool]int{false: 2, true: 1}[reuse]; got != want {
					t.Errorf("%d connections, want %d", got, want)
				}
				fault(proxy)
				if got, err := ask(); err == nil {
					t.Errorf("with the fault: %q", got)
				}
				if name == "elsewhere" {
					return
				}
				proxy.Normal()
				if got, err := ask(); err != nil || got != text {
					t.Errorf("after the fault: %q, %v", got, err)
				}
			})
		}
	}
}

func TestFaultProxySendsOnWhatHung(t *testing.T) {
	t.Parallel()
	proxy, ask := behindProxy(t, "late", true)
	proxy.Hang()
	time.AfterFunc(50*time.Millisecond, proxy.Normal)
	if got, err := ask(); err != nil || got != "late" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestFaultProxyDelays(t *testing.T) {
	t.Parallel()
	proxy, ask := behindProxy(t, "slow", true)
	proxy.Delay(100 * time.Millisecond)
	began := time.Now()
	if got, err := ask(); err != nil || got != "slow" || time.Since(began) < 100*time.Millisecond {
		t.Errorf("%q, %v after %v", got, err, time.Since(began))
	}
}
