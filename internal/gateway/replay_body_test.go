package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestHugeRefusalIsHandedOnWholeOrLeft(t *testing.T) {
	t.Parallel()
	rot := startRotation(t)
	const size = 8 << 20
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rot.takes(r) {
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
		chunk := make([]byte, 1<<20)
		for range size / len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	t.Cleanup(up.Close)
	g := rot.gateway(t, up.URL)
	rot.revoke()
	if got := exchange(t, "GET", g.URL, nil); got.Status != 200 {
		t.Errorf("answer %d, want the replay's", got.Status)
	}
	rot.revoke()
	if got := exchange(t, "GET", g.URL, nil); got.Status != 401 || len(got.Body) != size {
		t.Errorf("answer %d of %d bytes, want the whole 401", got.Status, len(got.Body))
	}
}

// A refusal whose body never ends holds no request up.
func TestRefusalThatDoesNotEndIsLeft(t *testing.T) {
	t.Parallel()
	rot := startRotation(t)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rot.takes(r) {
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, "more to co")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(up.Close)
	g := rot.gateway(t, up.URL)
	rot.revoke()
	began := time.Now()
	if got := exchange(t, "GET", g.URL, nil); got.Status != 200 || time.Since(began) > 5*time.Second {
		t.Errorf("answer %d after %s", got.Status, time.Since(began))
	}
}

// An upstream that refuses before it has read the body: what of it came goes up
// again from its beginning, what comes follows.
func TestRefusalBeforeTheBodyEndsIsReplayedWithAllOfIt(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		framing, first, rest string
		want                 string
	}{
		"known length":   {"Content-Length: 10\r\n", "01234", "56789", "200"},
		"nothing came":   {"Content-Length: 10\r\n", "", "0123456789", "200"},
		"Expect":         {"Content-Length: 10\r\nExpect: 100-continue\r\n", "", "0123456789", "200"},
		"unknown length": {"Transfer-Encoding: chunked\r\n", "5\r\n01234\r\n", "5\r\n56789\r\n0\r\n\r\n", "401"}, // it could be any
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rot := startRotation(t)
			refused := make(chan struct{})
			up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !rot.takes(r) {
					conn, _, err := w.(http.Hijacker).Hijack() // net/http's server would first wait for the body
					if err != nil {
						return
					}
					fmt.Fprintf(conn, "HTTP/1.1 401 Unauthorized\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(refusal), refusal)
					close(refused)
					_, _ = io.Copy(io.Discard, conn)
					_ = conn.Close()
					return
				}
				body, _ := io.ReadAll(r.Body)
				_, _ = w.Write(body)
			}))
			t.Cleanup(up.Close)
			g := rot.gateway(t, up.URL)
			rot.revoke()
			conn, err := net.Dial("tcp", strings.TrimPrefix(g.URL, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
			fmt.Fprintf(conn, "PUT / HTTP/1.1\r\nHost: x\r\n%s\r\n%s", tt.framing, tt.first)
			<-refused
			from := bufio.NewReader(conn)
			if name == "Expect" { // the body is asked for by the second attempt
				if line, err := from.ReadString('\n'); err != nil || !strings.Contains(line, " 100 ") {
					t.Fatalf("%q, %v; want 100", line, err)
				}
				_, _ = from.ReadString('\n')
			}
			if tt.want == "200" {
				fmt.Fprint(conn, tt.rest)
			}
			res, err := http.ReadResponse(from, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			if !strings.HasPrefix(res.Status, tt.want) || tt.want == "200" && string(body) != "0123456789" {
				t.Errorf("%s %q, want %s", res.Status, body, tt.want)
			}
		})
	}
}

func TestWebSocketThatIsRefusedIsOpenedByTheReplay(t *testing.T) {
	t.Parallel()
	rot := startRotation(t)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !rot.takes(r) {
			rot.refuse(w)
			return
		}
		conn, both, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
		_, _ = io.Copy(conn, both)
	}))
	t.Cleanup(up.Close)
	g := rot.gateway(t, up.URL)
	rot.revoke()
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	from := bufio.NewReader(conn)
	res, err := http.ReadResponse(from, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v; want 101", res, err)
	}
	fmt.Fprint(conn, "hello\n")
	if line, err := from.ReadString('\n'); line != "hello\n" {
		t.Errorf("%q, %v", line, err)
	}
}
