package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/peertest"
)

// process is a gateway in a process of its own.
type process struct {
	*exec.Cmd
	log   *peertest.Buffer
	ended chan error
}

func startProcess(t *testing.T, config string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(os.Args[0], "run", "-c", config), log: new(peertest.Buffer), ended: make(chan error, 1)}
	p.Env = append(os.Environ(), asGateway+"=1")
	p.Stdout, p.Stderr = p.log, p.log
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.Wait() }()
	t.Cleanup(func() { _ = p.Process.Kill() })
	return p
}

func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// freePort is an address of this machine that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// SIGHUP, also one that comes before anything is served, reloads and ends
// nothing.
func TestSIGHUPReloads(t *testing.T) {
	t.Parallel()
	up := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(up.Close)
	clients, operators := freePort(t), freePort(t)
	text := func(path string) string {
		return fmt.Sprintf("listen: %s\nadmin: {listen: %s}\nroutes:\n  - {name: one, path: %q, auth: public, upstream: %q}\n", clients, operators, path, up.URL)
	}
	config := write(t, "gateway.yaml", text("/one"))
	p := startProcess(t, config)
	status := func(path string) int {
		res, err := http.Get("http://" + clients + path)
		if err != nil {
			return 0
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	await := func(what string, ok func() bool) {
		t.Helper()
		for !ok() {
			select {
			case err := <-p.ended:
				t.Fatalf("the gateway has ended: %v\n%s", err, p.log)
			case <-ctx.Done():
				t.Fatalf("waited in vain for %s\n%s", what, p.log)
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
	await("the gateway", func() bool { return status("/one") == 200 })
	for range 20 {
		p.signal(t, syscall.SIGHUP)
	}
	await("a reload", func() bool { return strings.Contains(p.log.String(), "configuration reloaded") })
	if err := os.WriteFile(config, []byte(text("/two")), 0o600); err != nil {
		t.Fatal(err)
	}
	p.signal(t, syscall.SIGHUP)
	await("the new route", func() bool { return status("/two") == 200 && status("/one") == 404 })
	if err := os.WriteFile(config, []byte(text("two")), 0o600); err != nil {
		t.Fatal(err)
	}
	p.signal(t, syscall.SIGHUP)
	await("the refusal", func() bool { return strings.Contains(p.log.String(), config+":4:") })
	if got := status("/two"); got != 200 {
		t.Errorf("after a bad configuration: %d", got)
	}
	p.signal(t, syscall.SIGTERM)
	select {
	case err := <-p.ended:
		if err != nil {
			t.Errorf("ended with %v", err)
		}
	case <-ctx.Done():
		t.Error("SIGTERM ended nothing")
	}
}
