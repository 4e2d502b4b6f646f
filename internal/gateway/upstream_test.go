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
)

// An upstream that answers 101 unasked opens no tunnel (protocol-08), and a
// broken answer is the upstream's failure, not the caller's.
func TestUpstreamFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer string
		hang   bool
		status int
	}{
		"unsolicited 101":        {answer: "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", status: 502},
		"two lengths":            {answer: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", status: 502},
		"malformed":              {answer: "nonsense\r\n\r\n", status: 502},
		"closed mid-header":      {answer: "HTTP/1.1 200 OK\r\nContent-", status: 502},
		"hangs":                  {hang: true, status: 504},
		"endless header":         {answer: "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-A: "+strings.Repeat("a", 1000)+"\r\n", 1100) + "\r\n", status: 502},
		"its own 401 is its own": {answer: "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", status: 401},
		"good":                   {answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", status: 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						defer func() { _ = conn.Close() }()
						if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
							return
						}
						if c.hang {
							_, _ = io.Copy(io.Discard, conn)
						}
						_, _ = io.WriteString(conn, c.answer)
					}()
				}
			}()
			g := start(t, head+fmt.Sprintf(`
routes:
  - name: up
    path: /*
    auth: public
    upstream: {urls: ["http://%s"], timeouts: {response_header: 300ms}}
`, l.Addr()), nil)
			if got := send(t, "GET", g.URL+"/x", ""); got.Status != c.status {
				t.Errorf("%d, want %d: %s", got.Status, c.status, got.Body)
			}
		})
	}
}

// resource-05: a body that broke off must not look whole, whatever its status.
func TestBrokenOffAnswerIsBrokenOff(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 500, 502} {
		for _, framing := range []string{"100", ""} {
			up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if framing != "" {
					w.Header().Set("Content-Length", framing)
				}
				w.WriteHeader(status)
				fmt.Fprint(w, "half")
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}))
			t.Cleanup(up.Close)
			g := start(t, head+fmt.Sprintf(openRoute, up.URL), nil)
			res, err := http.Get(g.URL + "/x")
			if err == nil {
				_, err = io.ReadAll(res.Body)
				_ = res.Body.Close()
			}
			if err == nil {
				t.Errorf("%d, length %q: half an answer came as a whole one", status, framing)
			}
			await(t, "the access line", func() bool { return strings.Contains(g.Access.String(), `"reason":"aborted"`) })
		}
	}
}

func TestSlowBodyIsTimedOut(t *testing.T) {
	t.Parallel()
	up := startEcho(t)
	g := start(t, head+"limits: {body_timeout: 200ms}\n"+fmt.Sprintf(openRoute, up.URL), nil)
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	fmt.Fprint(conn, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nsome")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || res.StatusCode != http.StatusRequestTimeout {
		t.Fatalf("%v, %v, want 408", res, err)
	}
}

func TestChunkedBodyOverTheLimitIsRefused(t *testing.T) {
	t.Parallel()
	up := startEcho(t)
	g := start(t, head+"limits: {max_body: 10}\n"+fmt.Sprintf(openRoute, up.URL), nil)
	for body, want := range map[string]int{"1234567890": 200, "12345678901": 413} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", g.URL+"/x", io.MultiReader(strings.NewReader(body))) // no length
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%d bytes: %d, want %d", len(body), res.StatusCode, want)
		}
	}
}

func TestTotalTimeoutBoundsTheCall(t *testing.T) {
	t.Parallel()
	up := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(up.Close)
	g := start(t, head+fmt.Sprintf(`
routes: [{name: up, path: "/*", auth: public, upstream: {urls: ["%s"], timeouts: {total: 200ms}}}]
`, up.URL), nil)
	if got := send(t, "GET", g.URL+"/x", ""); got.Status != 504 {
		t.Errorf("%d, want 504", got.Status)
	}
}

func TestUpstreamsTakeTurns(t *testing.T) {
	t.Parallel()
	one, other := startEcho(t), startEcho(t)
	g := start(t, head+fmt.Sprintf(`
routes: [{name: up, path: "/*", auth: public, upstream: {urls: ["%s", "%s"]}}]
`, one.URL, other.URL), nil)
	hosts := make(map[string]int)
	for range 10 {
		hosts[send(t, "GET", g.URL+"/x", "").seen(t).Host]++
	}
	if len(hosts) != 2 || hosts[strings.TrimPrefix(one.URL, "http://")] != 5 {
		t.Errorf("turns: %v", hosts)
	}
}
