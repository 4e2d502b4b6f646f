package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/sallyport/sallyport/internal/peertest"
)

const replicaConfig = `
listen: %s
admin: {listen: %s}
limits: {drain_delay: 500ms, drain: 10s}
telemetry: {access_log: ""}
routes:
  - {name: all, path: "/*", auth: public, upstream: %q}
`

// Two gateways behind a load balancer that watches /readyz and retries nothing
// are ended by SIGTERM and started again in turn, under load: no request is lost,
// and every WebSocket ends with a close frame. RESTARTS sets how often.
func TestRollingRestartLosesNothing(t *testing.T) {
	restarts := 6
	if text := os.Getenv("RESTARTS"); text != "" {
		var err error
		if restarts, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	up := httptest.NewServer(http.HandlerFunc(slowEcho))
	t.Cleanup(up.Close)
	type replica struct {
		peertest.Backend
		config string
		*process
	}
	replicas := make([]*replica, 2)
	var backends []peertest.Backend
	for i := range replicas {
		r := &replica{Backend: peertest.Backend{Name: fmt.Sprintf("gateway%d", i), Addr: freePort(t), Check: freePort(t)}}
		r.config = write(t, "gateway.yaml", fmt.Sprintf(replicaConfig, r.Addr, r.Check, up.URL))
		r.process = startProcess(t, r.config)
		replicas[i], backends = r, append(backends, r.Backend)
	}
	balancer := peertest.HAProxy(t, backends...)
	awaitUp := func(r *replica) {
		t.Helper()
		for began := time.Now(); !balancer.Up(t, r.Name); time.Sleep(10 * time.Millisecond) {
			if time.Since(began) > 20*time.Second {
				t.Fatalf("%s does not come up: %s", r.Name, r.log)
			}
		}
	}
	awaitUp(replicas[0])
	awaitUp(replicas[1])

	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var sent, sockets atomic.Int64
	lost := make(chan error, 1000)
	for range 4 {
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}, Timeout: 20 * time.Second}
		all.Go(func() {
			defer client.CloseIdleConnections()
			for ctx.Err() == nil {
				if err := post(client, balancer.URL+"/x"); err != nil {
					lost <- err
				}
				sent.Add(1)
			}
		})
		all.Go(func() {
			for ctx.Err() == nil {
				if err := socketToTheEnd(ctx, balancer.URL+"/socket"); err != nil && ctx.Err() == nil {
					lost <- err
				}
				sockets.Add(1)
			}
		})
	}
	for i := range restarts {
		r := replicas[i%2]
		r.signal(t, syscall.SIGTERM)
		select {
		case err := <-r.ended:
			if err != nil {
				t.Errorf("restart %d: ended with %v: %s", i, err, r.log)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("restart %d: not ended: %s", i, r.log)
		}
		r.process = startProcess(t, r.config)
		awaitUp(r)
	}
	cancel()
	all.Wait()
	close(lost)
	for err := range lost {
		t.Errorf("lost: %v", err)
	}
	t.Logf("%d restarts, %d requests, %d WebSockets", restarts, sent.Load(), sockets.Load())
	if sockets.Load() <= int64(restarts/2) {
		t.Errorf("only %d WebSockets lived through %d restarts", sockets.Load(), restarts)
	}
}

// slowEcho answers a body with itself after a moment, and messages at once.
func slowEcho(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/socket" {
		body, _ := io.ReadAll(r.Body)
		time.Sleep(10 * time.Millisecond)
		_, _ = w.Write(body)
		return
	}
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = c.CloseNow() }()
	for {
		kind, message, err := c.Read(r.Context())
		if err != nil || c.Write(r.Context(), kind, message) != nil {
			return
		}
	}
}

func post(client *http.Client, url string) error {
	res, err := client.Post(url, "text/plain", strings.NewReader("body"))
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err == nil && (res.StatusCode != http.StatusOK || string(text) != "body") {
		err = fmt.Errorf("status %d: %s", res.StatusCode, text)
	}
	return err
}

// socketToTheEnd keeps a WebSocket busy until it is closed. It is an error if
// that happens without a close frame, or with one that does not say that the
// server goes away.
func socketToTheEnd(ctx context.Context, url string) error {
	c, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		return fmt.Errorf("open a WebSocket: %w", err)
	}
	defer func() { _ = c.CloseNow() }()
	for {
		err := c.Write(ctx, websocket.MessageText, []byte("message"))
		if err == nil {
			_, _, err = c.Read(ctx)
		}
		if closed := new(websocket.CloseError); errors.As(err, closed) && closed.Code == websocket.StatusGoingAway {
			return nil
		}
		if err != nil {
			return fmt.Errorf("WebSocket: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(5 * time.Millisecond):
		}
	}
}
