package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// times is how often a long test repeats what it does: n, or what the variable
// says.
func times(t *testing.T, variable string, n int) int {
	t.Helper()
	if text := os.Getenv(variable); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatalf("%s: %v", variable, err)
		}
	}
	return n
}

// callers send requests over kept-alive connections until they are stopped.
type callers struct {
	sent, lost atomic.Int64
	first      atomic.Pointer[string] // what was lost first
	stop       func()
}

func startCallers(t *testing.T, n int, do func(context.Context, *http.Client) error) *callers {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := new(callers)
	var all sync.WaitGroup
	for range n {
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}, Timeout: 30 * time.Second}
		all.Go(func() {
			defer client.CloseIdleConnections()
			for ctx.Err() == nil {
				if err := do(context.WithoutCancel(ctx), client); err != nil {
					c.lost.Add(1)
					text := err.Error()
					c.first.CompareAndSwap(nil, &text)
				}
				c.sent.Add(1)
			}
		})
	}
	c.stop = func() { cancel(); all.Wait() }
	return c
}

// demand is an error unless the request is answered with 200, whole.
func demand(client *http.Client, r *http.Request) error {
	res, err := client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", res.StatusCode, text)
	}
	return err
}

// Reloads under load lose no request, no connection and no WebSocket, and leave
// nothing behind. RELOADS sets how many.
func TestReloadsUnderLoadLoseNothing(t *testing.T) {
	reloads := times(t, "RELOADS", 100)
	peer, up, sockets := startPeers(t), startEcho(t), webSocketEcho(t)
	text := fmt.Sprintf(peersConfig, peer.URL, up.URL) + fmt.Sprintf(`
  - {name: socket, path: /socket, auth: {issuers: [peer]}, inject: key, upstream: %q}
  - {name: changes, path: /changes, auth: {issuers: [peer, local]}, inject: key, rate_limit: {rate: 1000000/s}, upstream: {urls: %q, timeouts: {connect: 5s}}}
`, sockets.URL, up.URL)
	text = strings.Replace(text, "credentials: {", "credentials: {key: {type: static, token: \"${secret:key/0}\"}, ", 1)
	text = strings.Replace(text, "issuers: {", "issuers: {local: {issuer: https://local.test, audiences: [a], keys: [{algorithm: HS256, key: \"${secret:jwt/key}\"}]}, ", 1)
	env := environment{"CLIENT": "s"}
	for i := range 10 {
		env[fmt.Sprintf("KEY_%d", i)] = "upstream-key"
	}
	text += fmt.Sprintf("telemetry: {access_log: %q}\naudit: {path: %q, hmac_key: \"${secret:jwt/key}\"}\n", filepath.Join(t.TempDir(), "access.log"), filepath.Join(t.TempDir(), "audit.jsonl"))
	g := startFile(t, text, env)
	token := demoToken(t, peer.URL)
	files := func() int { list, _ := os.ReadDir("/proc/self/fd"); return len(list) } // none where there is no /proc
	baseline := func() int { runtime.GC(); return runtime.NumGoroutine() }
	if err := g.reload(); err != nil {
		t.Fatal(err)
	}
	before, filesBefore := baseline(), files()

	load := startCallers(t, 4, func(ctx context.Context, client *http.Client) error {
		for _, path := range []string{"/one", "/changes"} {
			r, _ := http.NewRequestWithContext(ctx, "POST", g.URL+path, strings.NewReader("body"))
			r.Header.Set("Authorization", "Bearer "+token)
			if err := demand(client, r); err != nil {
				return err
			}
		}
		return nil
	})
	stopSockets := holdSockets(t, 4, g.URL+"/socket", token)
	for i := range reloads {
		// Half of them change nothing, the others a key, an issuer, a timeout and a limit.
		changed := strings.Replace(text, "key/0", fmt.Sprintf("key/%d", i/2%10), 1)
		changed = strings.Replace(changed, "audiences: [a]", fmt.Sprintf("audiences: [a%d]", i/2), 1)
		changed = strings.Replace(changed, "connect: 5s", fmt.Sprintf("connect: %ds", 5+i/2%7), 1)
		changed = strings.Replace(changed, "listen: 127.0.0.1:0", fmt.Sprintf("listen: 127.0.0.1:0\nlimits: {idle_timeout: %ds}", 60+i/2%5), 1)
		g.rewrite(t, changed)
	}
	for failed := range stopSockets() {
		t.Error(failed)
	}
	load.stop()
	if lost := load.lost.Load(); lost > 0 {
		t.Errorf("%d of %d pairs of requests lost in %d reloads; the first: %s", lost, load.sent.Load(), reloads, *load.first.Load())
	}
	t.Logf("%d reloads, %d pairs of requests, %d fetches of tokens, %d of keys", reloads, load.sent.Load(), peer.tokens.Load(), peer.keys.Load())
	if n := peer.tokens.Load(); n != 1 {
		t.Errorf("%d fetches of the unchanged token", n)
	}
	if n := peer.keys.Load(); n != 1 {
		t.Errorf("%d fetches of the unchanged key set", n)
	}
	up.CloseClientConnections()
	for deadline := time.Now().Add(20 * time.Second); baseline() > before+5 || files() > filesBefore+5; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
			t.Fatalf("%d goroutines and %d files before, %d and %d after %d reloads", before, filesBefore, baseline(), files(), reloads)
		}
	}
}

// holdSockets keeps n WebSockets busy. What it returns ends them, and tells what
// each was lost of.
func holdSockets(t *testing.T, n int, url, token string) (stop func() map[string]bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var mu sync.Mutex
	failed := make(map[string]bool)
	for i := range n {
		c, _, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + token}}})
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			defer func() { _ = c.CloseNow() }()
			for k := 0; ctx.Err() == nil; k++ {
				message := fmt.Sprintf("%d of socket %d", k, i)
				err := c.Write(t.Context(), websocket.MessageText, []byte(message))
				var got []byte
				if err == nil {
					_, got, err = c.Read(t.Context())
				}
				if err == nil && string(got) != message {
					err = errors.New("another message came back")
				}
				if err != nil {
					mu.Lock()
					failed[fmt.Sprintf("socket %d, message %d: %v", i, k, err)] = true
					mu.Unlock()
					return
				}
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	return func() map[string]bool { cancel(); all.Wait(); return failed }
}

// A request in flight ends on the configuration it began with, also where that
// took its route away.
func TestReloadLeavesRequestsInFlightAlone(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	up := startUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-release
		_, _ = io.WriteString(w, "from the old route")
	})
	text := head + "routes:\n" + fmt.Sprintf(publicRoute, "slow", "/slow", up) + fmt.Sprintf(publicRoute, "other", "/other", up)
	g := startFile(t, text, nil)
	answered := make(chan answer, 1)
	go func() { answered <- send(t, "GET", g.URL+"/slow", "") }()
	<-arrived
	g.rewrite(t, head+"routes:\n"+fmt.Sprintf(publicRoute, "other", "/other", up))
	close(release)
	if got := <-answered; got.Status != 200 || got.Body != "from the old route" {
		t.Errorf("%d: %s", got.Status, got.Body)
	}
}

// The end comes in the middle of a reload: nothing hangs, nothing is swapped.
func TestShutdownDuringAReload(t *testing.T) {
	t.Parallel()
	up := startEcho(t)
	asked, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	hanging := startUpstream(t, func(http.ResponseWriter, *http.Request) {
		once.Do(func() { close(asked) })
		<-release
	})
	t.Cleanup(func() { close(release) })
	g := startFile(t, head+"routes:\n"+fmt.Sprintf(publicRoute, "one", "/one", up.URL), nil)
	g.write(t, head+fmt.Sprintf("  slow: {issuer: https://slow.test, jwks_url: %q, audiences: [a]}\nroutes:\n  - {name: one, path: /one, auth: {issuers: [slow]}, upstream: %q}\n", hanging, up.URL))
	reloaded := make(chan error, 1)
	go func() { reloaded <- g.reload() }()
	<-asked
	begun := time.Now()
	if err := g.stop(); err != nil {
		t.Error(err)
	}
	if err := <-reloaded; err == nil {
		t.Error("the reload succeeded")
	}
	if took := time.Since(begun); took > 4*time.Second {
		t.Errorf("the end took %v", took)
	}
	if err := g.reload(); err == nil {
		t.Error("a reload after the end succeeded")
	}
}

func startUpstream(t *testing.T, serve http.HandlerFunc) (url string) {
	t.Helper()
	s := httptest.NewServer(serve)
	t.Cleanup(s.Close)
	return s.URL
}
