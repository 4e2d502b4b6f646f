package peertest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A Backend is a server that HAProxy sends requests to while its check says so.
type Backend struct {
	Name  string
	Addr  string // of the requests
	Check string // address of /readyz
}

// A HAProxyPeer is a running HAProxy on loopback. It retries nothing, so that
// what a backend loses is lost.
type HAProxyPeer struct {
	URL   string
	stats string
}

// HAProxy starts one in front of the backends until the test ends. The test ends
// here, skipped or failed, where it is not installed.
func HAProxy(t testing.TB, backends ...Backend) *HAProxyPeer {
	t.Helper()
	path := Installed(t, "haproxy")
	address := unused(t)
	var servers strings.Builder
	for _, b := range backends {
		host, port, err := net.SplitHostPort(b.Check)
		if err != nil {
			t.Fatalf("peertest: %v", err)
		}
		fmt.Fprintf(&servers, "  server %s %s check addr %s port %s\n", b.Name, b.Addr, host, port)
	}
	config := filepath.Join(t.TempDir(), "haproxy.cfg")
	text := fmt.Sprintf(haproxyConfig, address, servers.String())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatalf("peertest: %v", err)
	}
	cmd := exec.Command(path, "-db", "-f", config)
	output := &tail{limit: 16 << 10}
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		t.Fatalf("peertest: start %s: %v", path, err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // always tells of the signal
	})
	p := &HAProxyPeer{URL: "http://" + address, stats: "http://" + address + "/haproxy-stats;csv"}
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if _, err := p.read(); err == nil {
			return p
		}
		if time.Since(began) > 10*time.Second {
			t.Fatalf("peertest: haproxy does not answer: %s", output)
		}
	}
}

const haproxyConfig = `
global
  maxconn 1000
defaults
  mode http
  retries 0
  timeout connect 2s
  timeout client 30s
  timeout server 30s
  timeout tunnel 1h
  timeout check 1s
frontend clients
  bind %s
  stats enable
  stats uri /haproxy-stats
  default_backend gateways
backend gateways
  balance roundrobin
  option httpchk GET /readyz
  http-check expect status 200
  default-server inter 50ms fall 1 rise 1
%s`

func (p *HAProxyPeer) read() (string, error) {
	res, err := http.Get(p.stats)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return string(text), err
}

// Up reports whether HAProxy sends requests to the backend of that name.
func (p *HAProxyPeer) Up(t testing.TB, name string) bool {
	t.Helper()
	text, err := p.read()
	if err != nil {
		t.Fatalf("peertest: haproxy's state: %v", err)
	}
	for line := range strings.Lines(text) {
		fields := strings.Split(line, ",")
		if len(fields) > 17 && fields[0] == "gateways" && fields[1] == name {
			return strings.HasPrefix(fields[17], "UP") && !strings.Contains(fields[17], "/")
		}
	}
	t.Fatalf("peertest: haproxy knows no %s: %s", name, text)
	return false
}

// unused is an address of this machine that nobody listens on.
func unused(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("peertest: %v", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
