package gateway_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/internal/gateway"
	"github.com/sallyport/sallyport/internal/token"
)

// The benchmark measures proxies that are processes of their own, so that
// neither the client's nor the upstream's CPU time counts. The processes are
// this test binary in another role.
const (
	roleVariable     = "SALLYPORT_BENCH_ROLE"
	upstreamVariable = "SALLYPORT_BENCH_UPSTREAM"
	keyVariable      = "SALLYPORT_BENCH_KEY"
)

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(roleVariable) {
	case "":
		os.Exit(m.Run())
	case "bare":
		err = serveBare()
	case "gateway":
		err = serveWhole()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serveBare is httputil.ReverseProxy and nothing else.
func serveBare() error {
	target, err := url.Parse(os.Getenv(upstreamVariable))
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("http://" + l.Addr().String())
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target); r.SetXForwarded() },
		Transport: &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true},
	}
	return http.Serve(l, proxy) //nolint:gosec // a benchmark's process, which is killed
}

// serveWhole is the gateway: token, scope, limit by subject, injection, log.
func serveWhole() error {
	env := environment{"JWT_KEY": hmacKey, "RSA_KEY": os.Getenv(keyVariable), "UP": "upstream-key"}
	keys := strings.Replace(head, "keys: [", `keys: [{kid: rsa, algorithm: RS256, key: "${secret:rsa/key}"}, `, 1)
	c, err := parseOnly(keys+fmt.Sprintf(`
credentials: {up: {type: static, token: "${secret:up}"}}
routes:
  - name: orders
    path: /*
    auth: {issuers: [test], scopes: ["orders:read"]}
    rate_limit: {rate: 1000000/s, burst: 1000000, key: subject}
    forward: {X-User: sub}
    inject: up
    upstream: "%s"
`, os.Getenv(upstreamVariable)), env)
	if err != nil {
		return err
	}
	g, err := gateway.Build(c, gateway.Options{Log: slog.New(slog.DiscardHandler), Stdout: io.Discard, Stderr: io.Discard, LookupEnv: env.lookup})
	if err != nil {
		return err
	}
	if err := g.Fetch(context.Background()); err != nil {
		return err
	}
	on, err := g.Listen()
	if err != nil {
		return err
	}
	fmt.Println("http://" + on.Clients.Addr().String())
	return g.Run(context.Background(), on)
}

// peer is a proxy in a process of its own.
type peer struct {
	url string
	pid int
}

func startPeer(b *testing.B, role, upstream, key string) peer {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"="+role, upstreamVariable+"="+upstream, keyVariable+"="+key)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return peer{strings.TrimSpace(line), cmd.Process.Pid}
}

// cpu is the CPU time the process has used, user and system, in microseconds.
// The kernel counts in hundredths of a second.
func (p peer) cpu(b *testing.B) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
	if err != nil {
		b.Skipf("no /proc to read CPU time from: %v", err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	ticks := 0.0
	for _, field := range fields[11:13] { // utime, stime (proc(5))
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return ticks * 10_000
}

const (
	benchRounds      = 5
	benchConnections = 16
	benchRequests    = 20_000 // a round
)

// load sends a round of requests and returns the CPU time each took the proxy.
func (p peer) load(b *testing.B, client *http.Client, token string) float64 {
	b.Helper()
	before := p.cpu(b)
	var all sync.WaitGroup
	for range benchConnections {
		all.Go(func() {
			for range benchRequests / benchConnections {
				r, err := http.NewRequest("GET", p.url+"/orders/1", nil)
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
				if res.StatusCode != 200 {
					b.Errorf("status %d", res.StatusCode)
					return
				}
			}
		})
	}
	all.Wait()
	return (p.cpu(b) - before) / benchRequests
}

// BenchmarkProxiedRequest compares a request that is authenticated, authorised,
// limited, injected and logged with one that passes a bare ReverseProxy: CPU
// time a request, medians of interleaved rounds.
func BenchmarkProxiedRequest(b *testing.B) {
	body := strings.Repeat("x", 1024)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
	b.Cleanup(up.Close)
	key, signed := rsaKey(b)
	bare, whole := startPeer(b, "bare", up.URL, key), startPeer(b, "gateway", up.URL, key)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: benchConnections}}
	for algorithm, token := range map[string]string{"HS256": mint(b, nil), "RS256": signed} {
		b.Run(algorithm, func(b *testing.B) {
			var ratios, bares, wholes []float64
			for range benchRounds {
				one, other := bare.load(b, client, token), whole.load(b, client, token)
				bares, wholes, ratios = append(bares, one), append(wholes, other), append(ratios, other/one)
			}
			b.ReportMetric(median(bares), "bare-cpu-µs/req")
			b.ReportMetric(median(wholes), "gateway-cpu-µs/req")
			b.ReportMetric(median(ratios), "ratio")
			b.ReportMetric(0, "ns/op") // wall time says nothing here
		})
	}
}

// rsaKey makes a key: its public half in PEM, and a token it signed.
func rsaKey(b *testing.B) (public, signed string) {
	b.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	half, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		b.Fatal(err)
	}
	whole, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		b.Fatal(err)
	}
	signer, err := token.NewSigner(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: whole}), "RS256", "rsa")
	if err != nil {
		b.Fatal(err)
	}
	if signed, err = signer.Sign(testClaims(), "JWT"); err != nil {
		b.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: half})), signed
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}
