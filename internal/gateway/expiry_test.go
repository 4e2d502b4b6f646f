package gateway_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// exactHead is head with an issuer that allows no leeway.
var exactHead = strings.Replace(head, "audiences:", "leeway: 0s\n    audiences:", 1)

const pushRoute = `
routes:
  - {name: push, path: "/*", auth: {issuers: [test]}, upstream: "%s"}
`

// expiring is a header with a token that expires at the full second after d.
func expiring(t *testing.T, d time.Duration) (http.Header, time.Time) {
	t.Helper()
	at := time.Now().Add(d).Truncate(time.Second).Add(time.Second)
	return http.Header{"Authorization": {"Bearer " + mint(t, map[string]any{"exp": at.Unix()})}}, at
}

// webSocketPush sends messages of a size as fast as they go, and reads what comes.
func webSocketPush(t *testing.T, size int) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = c.CloseNow() }()
		c.SetReadLimit(1 << 21)
		go func() {
			for {
				if _, _, err := c.Read(context.Background()); err != nil {
					return
				}
			}
		}()
		message := bytes.Repeat([]byte("0123456789abcdef"), size/16)
		for c.Write(context.Background(), websocket.MessageBinary, message) == nil {
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func dial(t *testing.T, g *running, h http.Header) *websocket.Conn {
	t.Helper()
	c, res, err := websocket.Dial(t.Context(), g.URL+"/socket", &websocket.DialOptions{HTTPHeader: h})
	if err != nil {
		t.Fatalf("%v, %v", err, res)
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	c.SetReadLimit(1 << 21)
	return c
}

// readToClose reads whole messages until the socket ends, and returns how it did.
func readToClose(t *testing.T, c *websocket.Conn, size int) (messages int, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	for {
		_, message, err := c.Read(ctx)
		if err != nil {
			return messages, err
		}
		if size > 0 && !bytes.Equal(message, bytes.Repeat([]byte("0123456789abcdef"), size/16)) {
			t.Fatalf("message %d of %d bytes is damaged", messages, len(message))
		}
		messages++
	}
}

// A close frame goes out between frames, while megabytes flow in both directions.
func TestWebSocketIsClosedWhenItsTokenExpires(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	g := start(t, exactHead+fmt.Sprintf(pushRoute, webSocketPush(t, size).URL), nil)
	header, at := expiring(t, time.Second)
	c := dial(t, g, header)
	go func() {
		for c.Write(t.Context(), websocket.MessageBinary, make([]byte, size)) == nil {
		}
	}()
	messages, err := readToClose(t, c, size)
	var closed websocket.CloseError
	if !errors.As(err, &closed) || closed.Code != websocket.StatusPolicyViolation || closed.Reason != "token expired" {
		t.Errorf("after %d messages: %v, want code 1008", messages, err)
	}
	if late := time.Since(at); late < 0 || late > 3*time.Second {
		t.Errorf("closed %v after the token expired", late)
	}
	await(t, "the access line", func() bool { return strings.Contains(g.Access.String(), `"reason":"token_expired"`) })
	t.Logf("%d messages of 1 MiB, closed %v after exp", messages, time.Since(at))
}

func TestSilentWebSocketIsClosedWhenItsTokenExpires(t *testing.T) {
	t.Parallel()
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, err := websocket.Accept(w, r, nil); err == nil {
			_, _, _ = c.Read(context.Background())
			_ = c.CloseNow()
		}
	}))
	t.Cleanup(up.Close)
	g := start(t, exactHead+fmt.Sprintf(pushRoute, up.URL), nil)
	header, _ := expiring(t, 500*time.Millisecond)
	if _, err := readToClose(t, dial(t, g, header), 0); websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
		t.Errorf("ended with %v, want code 1008", err)
	}
}

// A frame that never ends, and a client who never reads, are cut without one.
func TestWebSocketThatCannotBeClosedIsCut(t *testing.T) {
	t.Parallel()
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = buffered.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x82\x7fhalf a frame")
		_ = buffered.Flush()
		_, _ = io.Copy(io.Discard, conn)
	}))
	t.Cleanup(up.Close)
	flood := webSocketPush(t, 1<<20)
	for name, c := range map[string]struct {
		url  string
		read bool
	}{"half a frame": {up.URL, true}, "a client who does not read": {flood.URL, false}} {
		g := start(t, exactHead+fmt.Sprintf(pushRoute, c.url), nil)
		header, at := expiring(t, 500*time.Millisecond)
		conn := talk(t, g, "GET /socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nAuthorization: "+header.Get("Authorization")+"\r\n\r\n")
		if c.read {
			_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
			all, err := io.ReadAll(conn)
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() || !bytes.HasSuffix(all, []byte("half a frame")) {
				t.Errorf("%s: %q, %v", name, all, err)
			}
		}
		await(t, name+": the access line", func() bool { return strings.Contains(g.Access.String(), `"reason":"token_expired"`) })
		if late := time.Since(at); late > 4*time.Second {
			t.Errorf("%s: cut %v after the token expired", name, late)
		}
	}
}

// Where the route says so a WebSocket outlives its token.
func TestCloseAtExpiryCanBeOff(t *testing.T) {
	t.Parallel()
	g := start(t, exactHead+strings.Replace(fmt.Sprintf(socketRoute, webSocketEcho(t).URL), "issuers: [test]", "issuers: [test], close_at_expiry: false", 1), environment{"UP": "upstream-key"})
	header, at := expiring(t, 0)
	c := dial(t, g, header)
	time.Sleep(time.Until(at.Add(300 * time.Millisecond))) // past exp
	if err := c.Write(t.Context(), websocket.MessageText, []byte("still here")); err != nil {
		t.Fatal(err)
	}
	if _, got, err := c.Read(t.Context()); err != nil || string(got) != "still here" {
		t.Errorf("%q, %v", got, err)
	}
}

// At the drain's end WebSockets get a close frame (CONTRACT 11).
func TestWebSocketsAreClosedAtTheDrainsEnd(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	g := start(t, head+fmt.Sprintf(pushRoute, webSocketPush(t, size).URL), nil)
	header := http.Header{"Authorization": {"Bearer " + mint(t, nil)}}
	c, silent := dial(t, g, header), dial(t, g, header)
	ended := make(chan error, 1)
	go func() {
		if _, _, err := c.Read(t.Context()); err != nil {
			t.Error(err)
		}
		go func() { ended <- g.stop() }()
		_, err := readToClose(t, c, size)
		if websocket.CloseStatus(err) != websocket.StatusGoingAway {
			t.Errorf("ended with %v, want code 1001", err)
		}
	}()
	_, err := readToClose(t, silent, size)
	if websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("ended with %v, want code 1001", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := strings.Count(g.Access.String(), `"reason":"shutdown"`); n != 2 {
		t.Errorf("%d of 2 sockets are logged as ended by the shutdown: %s", n, g.Access)
	}
}

// Streams end with their token, in HTTP/1.1 as a body that breaks off, in HTTP/2
// as a reset; a download whose end is known may finish.
func TestAnswersEndWithTheirToken(t *testing.T) {
	t.Parallel()
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.URL.Query().Get("type"))
		if r.URL.Path == "/known" {
			w.Header().Set("Content-Length", "40")
		}
		for i := range 40 {
			if _, err := io.WriteString(w, "x"); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			if i == 39 && r.URL.Path == "/known" {
				return
			}
			select {
			case <-time.After(50 * time.Millisecond):
			case <-r.Context().Done():
				return
			}
		}
		if r.URL.Path != "/known" {
			<-r.Context().Done()
		}
	}))
	t.Cleanup(up.Close)
	g := start(t, exactHead+fmt.Sprintf(pushRoute, up.URL), nil)
	http1 := clientOf(nil, func(p *http.Protocols) { p.SetHTTP1(true) })
	http2 := clientOf(nil, func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) })
	for _, c := range []struct {
		name, path string
		client     *http.Client
		whole      bool
		within     time.Duration // after exp
	}{
		{"events", "/stream?type=text/event-stream", http1, false, 500 * time.Millisecond},
		{"events over HTTP/2", "/stream?type=text/event-stream", http2, false, 500 * time.Millisecond},
		{"an answer without an end", "/stream?type=text/plain", http1, false, 1500 * time.Millisecond},
		{"the same over HTTP/2", "/stream?type=text/plain", http2, false, 1500 * time.Millisecond},
		{"a download whose end is known", "/known?type=text/plain", http1, true, 10 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			header, at := expiring(t, 200*time.Millisecond)
			r, err := http.NewRequestWithContext(t.Context(), "GET", g.URL+c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header = header
			res, err := c.client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			_, err = io.ReadAll(res.Body)
			if (err == nil) != c.whole {
				t.Errorf("ended with %v", err)
			}
			if late := time.Since(at); !c.whole && (late < 0 || late > c.within+2*time.Second) {
				t.Errorf("ended %v after the token expired", late)
			}
		})
	}
}

// The same over TLS, where a connection is ended by an alert too.
func TestWebSocketOverTLSIsClosedWhenItsTokenExpires(t *testing.T) {
	t.Parallel()
	const size = 1 << 16
	dir := t.TempDir()
	pool := certificate(t, dir)
	g := start(t, exactHead+fmt.Sprintf("tls: {cert_file: %[1]s/tls.crt, key_file: %[1]s/tls.key}\n", dir)+fmt.Sprintf(pushRoute, webSocketPush(t, size).URL), nil)
	header, _ := expiring(t, 500*time.Millisecond)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	c, res, err := websocket.Dial(t.Context(), strings.Replace(g.URL, "http:", "https:", 1)+"/socket", &websocket.DialOptions{HTTPHeader: header, HTTPClient: client})
	if err != nil {
		t.Fatalf("%v, %v", err, res)
	}
	defer func() { _ = c.CloseNow() }()
	c.SetReadLimit(1 << 21)
	go func() {
		for c.Write(t.Context(), websocket.MessageBinary, make([]byte, size)) == nil {
		}
	}()
	if messages, err := readToClose(t, c, size); websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
		t.Errorf("after %d messages: %v, want code 1008", messages, err)
	}
}
