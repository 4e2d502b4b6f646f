package gateway_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
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
	curveVariable    = "SALLYPORT_BENCH_CURVE"
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
	case "crypto":
		err = serveCrypto()
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
	env := environment{"JWT_KEY": hmacKey, "RSA_KEY": os.Getenv(keyVariable), "EC_KEY": os.Getenv(curveVariable), "UP": "upstream-key"}
	keys := strings.Replace(head, "keys: [", `keys: [{kid: rsa, algorithm: RS256, key: "${secret:rsa/key}"}, {kid: ec, algorithm: ES256, key: "${secret:ec/key}"}, `, 1)
	return serveText(keys+fmt.Sprintf(`
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
}

// serveText serves with a configuration until the process is killed.
func serveText(text string, env environment) error {
	c, err := parseOnly(text, env)
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

func startPeer(b *testing.B, role, upstream string, keys benchKeys) peer {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"="+role, upstreamVariable+"="+upstream, keyVariable+"="+keys.rsa.public, curveVariable+"="+keys.ec.public)
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

// load sends a round of requests, each with the next of the tokens, and returns
// the CPU time each took the proxy.
func (p peer) load(b *testing.B, client *http.Client, tokens []string) float64 {
	b.Helper()
	before := p.cpu(b)
	var all sync.WaitGroup
	for c := range benchConnections {
		all.Go(func() {
			for i := range benchRequests / benchConnections {
				r, err := http.NewRequest("GET", p.url+"/orders/1", nil)
				if err != nil {
					b.Error(err)
					return
				}
				r.Header.Set("Authorization", "Bearer "+tokens[(i*benchConnections+c)%len(tokens)])
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
	keys := newBenchKeys(b)
	bare, whole := startPeer(b, "bare", up.URL, keys), startPeer(b, "gateway", up.URL, keys)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: benchConnections}}
	for _, c := range []struct {
		name   string
		tokens func() []string // of a round
	}{
		{"HS256", func() []string { return []string{mint(b, nil)} }},
		{"RS256", func() []string { return keys.rsa.sign(b, 1) }},
		{"ES256", func() []string { return keys.ec.sign(b, 1) }},
		{"ES256-cold", func() []string { return keys.ec.sign(b, benchRequests) }}, // no token twice
	} {
		b.Run(c.name, func(b *testing.B) {
			var ratios, bares, wholes []float64
			for range benchRounds {
				tokens := c.tokens()
				one, other := bare.load(b, client, tokens), whole.load(b, client, tokens)
				bares, wholes, ratios = append(bares, one), append(wholes, other), append(ratios, other/one)
			}
			b.ReportMetric(median(bares), "bare-cpu-µs/req")
			b.ReportMetric(median(wholes), "gateway-cpu-µs/req")
			b.ReportMetric(median(ratios), "ratio")
			b.ReportMetric(0, "ns/op") // wall time says nothing here
		})
	}
}

// benchKeys are the issuer's keys beside the shared one.
type benchKeys struct{ rsa, ec benchKey }

// benchKey is a pair: its public half in PEM, and what signs with the other.
type benchKey struct {
	public string
	signer *token.Signer
}

func newBenchKeys(b *testing.B) benchKeys {
	b.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	return benchKeys{newBenchKey(b, rsaKey, &rsaKey.PublicKey, "RS256", "rsa"), newBenchKey(b, ecKey, &ecKey.PublicKey, "ES256", "ec")}
}

func newBenchKey(b *testing.B, whole, half any, algorithm, kid string) benchKey {
	b.Helper()
	public, err := x509.MarshalPKIXPublicKey(half)
	if err != nil {
		b.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(whole)
	if err != nil {
		b.Fatal(err)
	}
	signer, err := token.NewSigner(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), algorithm, kid)
	if err != nil {
		b.Fatal(err)
	}
	return benchKey{string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})), signer}
}

// sign returns tokens of which no two are the same.
func (k benchKey) sign(b *testing.B, n int) []string {
	b.Helper()
	tokens := make([]string, n)
	for i := range tokens {
		claims := testClaims()
		claims["jti"] = strconv.Itoa(i)
		var err error
		if tokens[i], err = k.signer.Sign(claims, "JWT"); err != nil {
			b.Fatal(err)
		}
	}
	return tokens
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}
