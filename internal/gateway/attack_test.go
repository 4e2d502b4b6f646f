package gateway_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// talk writes raw bytes to a gateway and returns the connection.
func talk(t *testing.T, g *running, raw string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, raw); err != nil {
		t.Fatal(err)
	}
	return conn
}

// A parameter's expression matches the whole segment, every alternative of it.
func TestExpressionsAreAnchored(t *testing.T) {
	t.Parallel()
	up := startEcho(t)
	g := start(t, head+fmt.Sprintf(`
routes:
  - {name: open, path: "/files/{kind:public|docs}", auth: public, upstream: "%[1]s"}
  - {name: shut, path: "/files/*", auth: {issuers: [test]}, upstream: "%[1]s"}
`, up.URL), nil)
	for path, want := range map[string]int{"/files/public": 200, "/files/docs": 200, "/files/public-payroll.xlsx": 401, "/files/secret-docs": 401, "/files/docs/x": 401} {
		if got := send(t, "GET", g.URL+path, ""); got.Status != want {
			t.Errorf("%s: %d, want %d", path, got.Status, want)
		}
	}
}

// resource-02: a caller who announces a body and sends none is answered at once
// and holds nothing.
func TestAnnouncedBodyHoldsNoConnection(t *testing.T) {
	t.Parallel()
	early := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		control := http.NewResponseController(w)
		_ = control.EnableFullDuplex()
		_, _ = io.WriteString(w, "early") // without reading the body
		_ = control.Flush()
	}))
	t.Cleanup(early.Close)
	g := start(t, head+"limits: {body_timeout: 1s}\n"+fmt.Sprintf(`
routes:
  - {name: shut, path: /shut, auth: {issuers: [test]}, upstream: "%[1]s"}
  - {name: get, path: /get, methods: [GET], auth: public, upstream: "%[1]s"}
  - {name: early, path: /early, auth: public, upstream: "%[1]s"}
  - {name: down, path: /down, auth: public, upstream: "http://127.0.0.1:1"}
`, early.URL), nil)
	for path, status := range map[string]int{"/shut": 401, "/nowhere": 404, "/get": 405, "/%2e%2e": 400, "/early": 200, "/down": 502} {
		for _, framing := range []string{"Content-Length: 100", "Transfer-Encoding: chunked"} {
			conn := talk(t, g, "POST "+path+" HTTP/1.1\r\nHost: x\r\n"+framing+"\r\n\r\n")
			in := bufio.NewReader(conn)
			res, err := http.ReadResponse(in, nil)
			if err != nil || res.StatusCode != status {
				t.Errorf("%s, %s: %v, %v, want %d", path, framing, res, err, status)
				continue
			}
			if _, err := io.Copy(io.Discard, res.Body); err != nil {
				t.Errorf("%s, %s: %v", path, framing, err)
			}
			// What comes late must not be taken for a request of its own.
			_, _ = io.WriteString(conn, "GET /get HTTP/1.1\r\nHost: x\r\n\r\n")
			if _, err := http.ReadResponse(in, nil); err == nil {
				t.Errorf("%s, %s: the body's bytes were answered as a request", path, framing)
			}
		}
	}
}

// Upstreams redirect with the query they were sent; the credential in it is not
// the caller's to know.
func TestInjectedQueryDoesNotComeBackInRedirects(t *testing.T) {
	t.Parallel()
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "https://else.test"+r.URL.Path+"/?"+r.URL.RawQuery+"#top")
		w.Header().Set("Refresh", `5; url="/?`+r.URL.RawQuery+`"`)
		w.Header().Set("Link", "</?"+r.URL.RawQuery+">; rel=next")
		w.WriteHeader(http.StatusFound)
	}))
	t.Cleanup(up.Close)
	g := start(t, head+fmt.Sprintf(`
credentials: {up: {type: static, query: api_key, token: "${secret:up}"}}
routes: [{name: up, path: "/*", auth: public, inject: up, upstream: "%s"}]
`, up.URL), environment{"UP": "canary-value"})
	got := send(t, "GET", g.URL+"/dir?a=1&b=2", "")
	if text := fmt.Sprint(got.Header); strings.Contains(text, "canary-value") {
		t.Errorf("the credential came back: %s", text)
	}
	if location := got.Header.Get("Location"); location != "https://else.test/dir/?a=1&b=2#top" {
		t.Errorf("Location is %s", location)
	}
}

func TestBlankScopesAreASlip(t *testing.T) {
	t.Parallel()
	for _, scopes := range []string{`" "`, `","`, `"${env:SCOPE}"`} {
		_, err := parseOnly(head+fmt.Sprintf(`
routes: [{name: a, path: /a, auth: {issuers: [test], scopes: %s}, upstream: "http://u"}]
`, scopes), environment{"SCOPE": " , "})
		if err == nil || !strings.Contains(err.Error(), "expected a list") {
			t.Errorf("scopes: %s: %v", scopes, err)
		}
	}
}

// What is judged and what is sent are one text, however a prefix is written.
func TestPrefixesAreInNormalForm(t *testing.T) {
	t.Parallel()
	up := startEcho(t)
	g := start(t, head+fmt.Sprintf(`
routes:
  - {name: add, path: "/x/*", encoded_slash: keep, auth: public, upstream: {urls: ["%[1]s"], add_prefix: "/café"}}
  - {name: strip, path: "/é/*", auth: public, upstream: {urls: ["%[1]s"], strip_prefix: "/é"}}
`, up.URL), nil)
	for path, want := range map[string]string{"/x/a%2Fadmin%2Fb": "/caf%C3%A9/x/a%2Fadmin%2Fb", "/%c3%a9/y": "/y"} {
		if got := send(t, "GET", g.URL+path, "").seen(t).Path; got != want {
			t.Errorf("%s went up as %s, want %s", path, got, want)
		}
	}
}

func TestReadinessKnowsKeysThatAreNone(t *testing.T) {
	t.Parallel()
	dir, up := t.TempDir(), startEcho(t)
	g := start(t, fmt.Sprintf(`
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
secrets: {backend: file, file: {dir: %s}, refresh: 1s}
issuers: {test: {issuer: https://issuer.test, audiences: [orders-api], keys: [{algorithm: HS256, key: "${secret:jwt}"}]}}
routes: [{name: shut, path: "/*", auth: {issuers: [test]}, upstream: "%s"}]
`, dir, up.URL), nil)
	if err := os.WriteFile(filepath.Join(dir, "jwt"), []byte("too short"), 0o600); err != nil {
		t.Fatal(err)
	}
	await(t, "the short key to be read", func() bool {
		_, body := ready(t, g, "")
		return strings.Contains(fmt.Sprint(body["components"]), "name:secret/jwt status:ok")
	})
	if status, body := ready(t, g, ""); status != 503 {
		t.Errorf("ready with a key that is none: %d, %v", status, body)
	}
}

func TestWebSocketIsCountedAsOne(t *testing.T) {
	t.Parallel()
	g := start(t, head+fmt.Sprintf(socketRoute, webSocketEcho(t).URL), environment{"UP": "upstream-key"})
	c, _, err := websocket.Dial(t.Context(), g.URL+"/socket", &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + mint(t, nil)}}})
	if err != nil {
		t.Fatal(err)
	}
	_ = c.CloseNow()
	await(t, "the access line", func() bool { return strings.Contains(g.Access.String(), `"status":101`) })
	if got := scrape(t, g, `gateway_requests_total{code="101",method="GET",route="socket"}`); got != "1" {
		t.Errorf("counted %q", got)
	}
}

// A caller who does not read his answer does not hold the upstream for ever.
func TestSlowReaderIsCutOff(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		block := make([]byte, 1<<20)
		for {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}))
	t.Cleanup(up.Close)
	g := start(t, head+"limits: {body_timeout: 300ms}\n"+fmt.Sprintf(openRoute, up.URL), nil)
	talk(t, g, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the upstream still sends to a caller who does not read")
	}
}

func TestStreamEndsWithItsToken(t *testing.T) {
	t.Parallel()
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		_, _ = io.WriteString(w, "{}\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(up.Close)
	g := start(t, strings.Replace(head, "audiences:", "leeway: 0s\n    audiences:", 1)+fmt.Sprintf(openRouteWithAuth, up.URL), nil)
	r, err := http.NewRequestWithContext(t.Context(), "GET", g.URL+"/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+mint(t, map[string]any{"exp": time.Now().Add(2 * time.Second).Unix()}))
	res, err := (&http.Client{Timeout: 10 * time.Second}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	begun := time.Now()
	if _, err := io.ReadAll(res.Body); err == nil || time.Since(begun) > 9*time.Second {
		t.Errorf("the stream outlived its token: %v after %v", err, time.Since(begun))
	}
}

func TestUserinfoOfATargetIsNotLogged(t *testing.T) {
	t.Parallel()
	up := startEcho(t)
	g := start(t, head+fmt.Sprintf(openRoute, up.URL), nil)
	for _, target := range []string{"http://user:hunter2@host/x", "/\u009b31m\\x"} {
		conn := talk(t, g, "GET "+target+" HTTP/1.1\r\nHost: h\r\n\r\n")
		if res, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || res.StatusCode != 400 {
			t.Errorf("%q: %v, %v", target, res, err)
		}
	}
	await(t, "two access lines", func() bool { return strings.Count(g.Access.String(), "\n") == 2 })
	if text := g.Access.String() + g.Log.String(); strings.Contains(text, "hunter2") || strings.Contains(text, "\u009b") {
		t.Errorf("logged: %s", text)
	}
}

func TestOneCanonicalHost(t *testing.T) {
	t.Parallel()
	up := startEcho(t)
	g := start(t, head+fmt.Sprintf(`
routes: [{name: host, hosts: [orders.example.com], path: "/*", auth: public, upstream: {urls: ["%s"], host: preserve}}]
`, up.URL), nil)
	conn := talk(t, g, "GET /x HTTP/1.1\r\nHost: ORDERS.Example.com.:8080\r\nContent_Length: 5\r\nConnection: close\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	seen := answer{res.StatusCode, res.Header, string(text)}.seen(t)
	if seen.Host != "orders.example.com:8080" || seen.Header.Get("X-Forwarded-Host") != "orders.example.com:8080" {
		t.Errorf("upstream saw %s and %s", seen.Host, seen.Header.Get("X-Forwarded-Host"))
	}
	if len(seen.Header["Content_length"]) > 0 {
		t.Error("a twin of Content-Length went up")
	}
}

func TestHeaderBounds(t *testing.T) {
	t.Parallel()
	up := startEcho(t)
	g := start(t, head+fmt.Sprintf(openRoute, up.URL), nil)
	for name, c := range map[string]struct {
		raw    string
		status int
	}{
		"200 lines":       {"GET /x HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("X-A: b\r\n", 199) + "\r\n", 200},
		"201 lines":       {"GET /x HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("X-A: b\r\n", 201) + "\r\n", 431},
		"31 KiB":          {"GET /x HTTP/1.1\r\nHost: h\r\nX-A: " + strings.Repeat("a", 31<<10) + "\r\n\r\n", 200},
		"33 KiB":          {"GET /x HTTP/1.1\r\nHost: h\r\nX-A: " + strings.Repeat("a", 33<<10) + "\r\n\r\n", 431},
		"64 KiB":          {"GET /x HTTP/1.1\r\nHost: h\r\nX-A: " + strings.Repeat("a", 64<<10) + "\r\n\r\n", 431},
		"16 KiB of path":  {"GET /" + strings.Repeat("a", 16<<10) + " HTTP/1.1\r\nHost: h\r\n\r\n", 414},
		"HTTP/1.2":        {"GET /x HTTP/1.2\r\nHost: h\r\n\r\n", 505},
		"slash on a post": {"POST /x%2Fy HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", 400},
	} {
		res, err := http.ReadResponse(bufio.NewReader(talk(t, g, c.raw)), nil)
		if err != nil || res.StatusCode != c.status {
			t.Errorf("%s: %v, %v, want %d", name, res, err, c.status)
		}
	}
}

// A log nobody reads holds up neither requests nor the end.
func TestBlockedLogHoldsUpNothing(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(); _ = w.Close() })
	up := startEcho(t)
	g := startLogging(t, head+fmt.Sprintf(openRoute, up.URL), nil, w)
	for range 2000 { // more than a pipe holds
		if got := sendKept(t, g.URL+"/x"); got != 200 {
			t.Fatalf("status %d", got)
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- g.stop() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the gateway does not end while its log is blocked")
	}
}

// sendKept sends a GET over kept-alive connections and returns the status.
func sendKept(t *testing.T, url string) int {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

// Who reads steadily is served, however slowly, and a stream may be silent for
// longer than a write may take.
func TestSteadyReaderAndSilentStreamAreServed(t *testing.T) {
	t.Parallel()
	const size = 6 << 20
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/large" {
			_, _ = w.Write(make([]byte, size))
			return
		}
		_, _ = io.WriteString(w, "one")
		_ = http.NewResponseController(w).Flush()
		time.Sleep(1500 * time.Millisecond) // the silence is what is tested
		_, _ = io.WriteString(w, "two")
	}))
	t.Cleanup(up.Close)
	g := start(t, head+"limits: {body_timeout: 1s}\n"+fmt.Sprintf(openRoute, up.URL), nil)
	for name, c := range map[string]*http.Client{
		"HTTP/1.1": clientOf(nil, func(p *http.Protocols) { p.SetHTTP1(true) }),
		"h2c":      clientOf(nil, func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }),
	} {
		res, err := c.Get(g.URL + "/silent")
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(res.Body); err != nil || string(text) != "onetwo" {
			t.Errorf("%s: silent stream: %q, %v", name, text, err)
		}
		_ = res.Body.Close()
		if res, err = c.Get(g.URL + "/large"); err != nil {
			t.Fatal(err)
		}
		total, block := 0, make([]byte, 200<<10)
		for err == nil {
			var n int
			n, err = io.ReadFull(res.Body, block)
			total += n
			time.Sleep(100 * time.Millisecond) // a slow reader, 2 MB/s at most
		}
		_ = res.Body.Close()
		if total != size {
			t.Errorf("%s: a steady reader got %d of %d bytes: %v", name, total, size, err)
		}
	}
}

// A caller who opens no window holds no stream (HTTP/2), and one who reads
// nothing is cut at answers without a body too.
func TestAnswersNobodyReadsEnd(t *testing.T) {
	t.Parallel()
	up := startEcho(t)
	g := start(t, head+"limits: {body_timeout: 500ms}\n"+fmt.Sprintf(openRoute, up.URL), nil)
	conn := talk(t, g, http2.ClientPreface)
	framer := http2.NewFramer(conn, conn)
	if err := framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}); err != nil {
		t.Fatal(err)
	}
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range [][2]string{{":method", "GET"}, {":path", "/x"}, {":scheme", "http"}, {":authority", "h"}} {
		if err := encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			t.Fatal(err)
		}
	}
	if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}); err != nil {
		t.Fatal(err)
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatalf("the stream was not reset: %v", err)
		}
		if _, reset := frame.(*http2.RSTStreamFrame); reset {
			break
		}
	}
}

// A slow upstream is not the caller's fault, on HTTP/2 neither.
func TestUploadToASlowUpstreamPasses(t *testing.T) {
	t.Parallel()
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Second) // the slowness is what is tested
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	}))
	t.Cleanup(up.Close)
	g := start(t, head+"limits: {body_timeout: 300ms, max_body: 0}\n"+fmt.Sprintf(openRoute, up.URL), nil)
	for name, c := range map[string]*http.Client{
		"HTTP/1.1": clientOf(nil, func(p *http.Protocols) { p.SetHTTP1(true) }),
		"h2c":      clientOf(nil, func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }),
	} {
		res, err := c.Post(g.URL+"/x", "text/plain", bytes.NewReader(make([]byte, 20<<20)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if text, _ := io.ReadAll(res.Body); res.StatusCode != 200 || string(text) != fmt.Sprint(20<<20) {
			t.Errorf("%s: %d %s", name, res.StatusCode, text)
		}
		_ = res.Body.Close()
	}
}
