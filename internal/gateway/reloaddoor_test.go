package gateway_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TLS comes and goes by reload: open connections stay as they are, new ones get
// what the configuration says.
func TestReloadChangesTLS(t *testing.T) {
	t.Parallel()
	up, dir := startEcho(t), t.TempDir()
	pool := certificate(t, dir)
	text := head + "routes:\n" + fmt.Sprintf(publicRoute, "one", "/one", up.URL)
	secured := text + fmt.Sprintf("tls: {cert_file: %q, key_file: %q}\n", filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	g := startFile(t, text, nil)
	address := strings.TrimPrefix(g.URL, "http://")
	plain := openConnection(t, address)
	askOn(t, plain, 200)

	g.rewrite(t, secured)
	askOn(t, plain, 200)
	over := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}, Timeout: 10 * time.Second}
	t.Cleanup(over.CloseIdleConnections)
	get := func() error {
		r, _ := http.NewRequestWithContext(t.Context(), "GET", "https://"+address+"/one", nil)
		return demand(over, r)
	}
	if err := get(); err != nil {
		t.Errorf("over TLS: %v", err)
	}
	g.write(t, strings.Replace(secured, "tls.key", "tls.crt", 1))
	if err := g.reload(); err == nil || !strings.Contains(err.Error(), "tls.cert_file") {
		t.Errorf("a certificate without its key: %v", err)
	}

	g.rewrite(t, text)
	if err := get(); err != nil {
		t.Errorf("on the TLS connection from before: %v", err)
	}
	askOn(t, plain, 200)
	askOn(t, openConnection(t, address), 200)
}

// A connection that came before the bound was lowered stays; no more are taken
// until there is room.
func TestReloadChangesMaxConnections(t *testing.T) {
	t.Parallel()
	up := startEcho(t)
	text := func(most int) string {
		return head + fmt.Sprintf("limits: {max_connections: %d}\nroutes:\n", most) + fmt.Sprintf(publicRoute, "one", "/one", up.URL)
	}
	g := startFile(t, text(3), nil)
	address := strings.TrimPrefix(g.URL, "http://")
	first, second := openConnection(t, address), openConnection(t, address)
	askOn(t, first, 200)
	askOn(t, second, 200)
	g.rewrite(t, text(2))
	_ = openConnection(t, address) // takes the accept that was under way
	waiting := openConnection(t, address)
	_, _ = io.WriteString(waiting, "GET /one HTTP/1.1\r\nHost: x\r\n\r\n")
	_ = waiting.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := waiting.Read(make([]byte, 1)); err == nil {
		t.Error("a connection too many was served")
	}
	askOn(t, first, 200)
	g.rewrite(t, text(10))
	_ = waiting.SetReadDeadline(time.Now().Add(10 * time.Second))
	if res, err := http.ReadResponse(bufio.NewReader(waiting), nil); err != nil || res.StatusCode != 200 {
		t.Errorf("after the bound was raised: %v, %v", res, err)
	}
	askOn(t, second, 200)
}

func openConnection(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// askOn sends a request on conn, which stays open.
func askOn(t *testing.T, conn net.Conn, want int) {
	t.Helper()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(conn, "GET /one HTTP/1.1\r\nHost: x\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Errorf("on an open connection: %v", err)
		return
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != want {
		t.Errorf("on an open connection: %d, %v", res.StatusCode, err)
	}
}

// A route that goes and comes back is counted again, whenever what it left
// behind is cleared away.
func TestReloadedRouteIsCounted(t *testing.T) {
	t.Parallel()
	up := startEcho(t)
	with := head + "routes:\n" + fmt.Sprintf(publicRoute, "one", "/one", up.URL) + fmt.Sprintf(publicRoute, "two", "/two", up.URL)
	without := head + "routes:\n" + fmt.Sprintf(publicRoute, "two", "/two", up.URL)
	g := startFile(t, with, nil)
	for i := range 20 {
		_ = send(t, "GET", g.URL+"/one", "")
		g.rewrite(t, without)
		g.rewrite(t, with)
		_ = send(t, "GET", g.URL+"/one", "")
		if n := scrape(t, g.running, `gateway_request_duration_seconds_count{route="one"}`); n == "" || n == "0" {
			t.Fatalf("reload %d: %q requests are counted", i, n)
		}
	}
}

// What a server has for its life changes too: sockets, TLS, limits.
func TestReloadChangesSocketsAndLimits(t *testing.T) {
	t.Parallel()
	up := startEcho(t)
	routes := "routes:\n" + fmt.Sprintf(publicRoute, "one", "/one", up.URL)
	g := startFile(t, head+routes, nil)
	before := &http.Client{Transport: new(http.Transport), Timeout: 10 * time.Second}
	t.Cleanup(before.CloseIdleConnections)
	status := func(c *http.Client, url string, headers ...string) int {
		t.Helper()
		r, _ := http.NewRequestWithContext(t.Context(), "GET", url, nil)
		for _, h := range headers {
			r.Header.Set("X-Long", h)
		}
		res, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		return res.StatusCode
	}
	if got := status(before, g.URL+"/one"); got != 200 {
		t.Fatalf("before: %d", got)
	}
	free := freeAddress(t)
	freeAdmin := freeAddress(t)
	moved := strings.Replace(head, "listen: 127.0.0.1:0\nadmin: {listen: 127.0.0.1:0}", "listen: "+free+"\nadmin: {listen: "+freeAdmin+"}\nlimits: {max_header: 8KiB, idle_timeout: 1m}", 1)
	g.rewrite(t, moved+routes)
	if got := status(before, g.URL+"/one"); got != 200 {
		t.Errorf("on the connection from before: %d", got)
	}
	if got := send(t, "GET", "http://"+free+"/one", ""); got.Status != 200 {
		t.Errorf("on the new socket: %d", got.Status)
	}
	if got := send(t, "GET", "http://"+free+"/one", "", "X-Long: "+strings.Repeat("x", 10<<10)); got.Status != 431 {
		t.Errorf("a long header: %d", got.Status)
	}
	if got := send(t, "GET", "http://"+freeAdmin+"/readyz", ""); got.Status != 200 {
		t.Errorf("/readyz on the new socket: %d", got.Status)
	}
	await(t, "the old sockets to close", func() bool {
		for _, url := range []string{g.URL, g.Admin} {
			if conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://")); err == nil {
				_ = conn.Close()
				return false
			}
		}
		return true
	})
	g.rewrite(t, strings.Replace(moved, "admin: {listen: "+freeAdmin+"}", `admin: {listen: ""}`, 1)+routes)
	await(t, "the admin socket to close", func() bool {
		conn, err := net.Dial("tcp", freeAdmin)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	g.rewrite(t, moved+routes)
	if got := send(t, "GET", "http://"+freeAdmin+"/readyz", ""); got.Status != 200 {
		t.Errorf("/readyz on the reopened socket: %d", got.Status)
	}
}

// freeAddress is an address of this machine that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func TestReloadChangesLogLevelAndAccessLog(t *testing.T) {
	t.Parallel()
	up := startEcho(t)
	text := head + "routes:\n" + fmt.Sprintf(publicRoute, "one", "/one", up.URL)
	g := startFile(t, text, nil)
	_ = send(t, "GET", g.URL+"/one", "")
	await(t, "a line", func() bool { return strings.Contains(g.Access.String(), "\n") })
	file := filepath.Join(t.TempDir(), "access.log")
	g.rewrite(t, text+"telemetry: {log_level: error, access_log: "+file+"}\n")
	_ = send(t, "GET", g.URL+"/one", "")
	lines := func(name string) int { text, _ := os.ReadFile(name); return strings.Count(string(text), "\n") }
	await(t, "a line in the file", func() bool { return lines(file) == 1 })
	if err := os.Rename(file, file+".1"); err != nil { // as logrotate does
		t.Fatal(err)
	}
	if err := g.reload(); err != nil {
		t.Fatal(err)
	}
	_ = send(t, "GET", g.URL+"/one", "")
	await(t, "a line in the new file", func() bool { return lines(file) == 1 && lines(file+".1") == 1 })
	if n := strings.Count(g.Access.String(), "\n"); n != 1 {
		t.Errorf("%d lines where the log was before, want 1", n)
	}
	if strings.Contains(g.Log.String(), "level=INFO msg=\"configuration reloaded\"") {
		t.Error("information is logged at level error")
	}
}
