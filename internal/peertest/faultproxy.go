package peertest

import (
	"io"
	"net"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"
)

// A FaultProxy carries TCP connections to a real server, on loopback, and does
// to its answers what networks and failing servers do. A fault holds for the
// connections that are open and those still to come, until the next call.
type FaultProxy struct {
	Address string // host:port to be used in the server's place

	target string
	done   chan struct{} // closed at the end of the test

	mu    sync.Mutex
	fault *fault
	open  map[net.Conn]bool // both ends of each connection
	taken int
}

// fault is what becomes of the answers. It is never changed, only replaced.
type fault struct {
	changed chan struct{} // closed when another fault took its place
	cut     bool
	hang    bool
	corrupt bool
	delay   time.Duration
	limited bool // the connection ends after so many bytes of the answer
	after   int
}

// NewFaultProxy returns a proxy to server, a URL or host:port, that does no harm
// yet. It ends with the test.
func NewFaultProxy(t testing.TB, server string) *FaultProxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("peertest: %v", err)
	}
	p := &FaultProxy{
		Address: listener.Addr().String(),
		target:  hostPort(server),
		done:    make(chan struct{}),
		fault:   &fault{changed: make(chan struct{})},
		open:    make(map[net.Conn]bool),
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() { p.carry(client) })
		}
	})
	t.Cleanup(func() {
		close(p.done)
		listener.Close()
		p.Cut()
		all.Wait()
	})
	return p
}

func hostPort(server string) string {
	if u, err := url.Parse(server); err == nil && u.Host != "" {
		return u.Host
	}
	return server
}

// Normal lets all pass again, and sends on what Hang held back.
func (p *FaultProxy) Normal() { p.set(&fault{}) }

// Cut resets each connection, those that are open at once.
func (p *FaultProxy) Cut() { p.set(&fault{cut: true}) }

// CutAfter resets each connection after so many more bytes of the answer.
func (p *FaultProxy) CutAfter(bytes int) { p.set(&fault{limited: true, after: bytes}) }

// Delay holds each piece of an answer back for d.
func (p *FaultProxy) Delay(d time.Duration) { p.set(&fault{delay: d}) }

// Hang takes connections and requests, and answers nothing.
func (p *FaultProxy) Hang() { p.set(&fault{hang: true}) }

// Corrupt makes each byte of the answers another one.
func (p *FaultProxy) Corrupt() { p.set(&fault{corrupt: true}) }

// Retarget has new connections carried to another server, as when the one
// behind came back elsewhere, and ends the open ones.
func (p *FaultProxy) Retarget(server string) {
	p.mu.Lock()
	p.target = hostPort(server)
	p.mu.Unlock()
	p.reset()
}

// Connections tells how many were taken so far.
func (p *FaultProxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken
}

func (p *FaultProxy) set(f *fault) {
	f.changed = make(chan struct{})
	p.mu.Lock()
	old := p.fault
	p.fault = f
	p.mu.Unlock()
	close(old.changed)
	if f.cut {
		p.reset()
	}
}

// reset ends the open connections, with RST and not FIN.
func (p *FaultProxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		abort(c)
	}
}

func abort(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// keep takes note of c, unless connections are being cut.
func (p *FaultProxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault.cut {
		return false
	}
	p.open[c] = true
	return true
}

// carry is one connection's life.
func (p *FaultProxy) carry(client net.Conn) {
	defer abort(client)
	p.mu.Lock()
	p.taken++
	target := p.target
	p.mu.Unlock()
	if !p.keep(client) {
		return
	}
	defer p.forget(client)
	server, err := net.DialTimeout("tcp", target, 5*time.Second)
	if err != nil {
		return
	}
	defer abort(server)
	if !p.keep(server) {
		return
	}
	defer p.forget(server)
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		_, _ = io.Copy(server, client)
		_ = server.(*net.TCPConn).CloseWrite()
	}()
	if p.answer(client, server) {
		_ = client.(*net.TCPConn).CloseWrite()
		<-asked
		_ = client.Close()
		return
	}
	abort(client)
	<-asked
}

func (p *FaultProxy) forget(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
}

// answer carries what the server sends. It reports whether that ended well.
func (p *FaultProxy) answer(client, server net.Conn) bool {
	buffer := make([]byte, 32<<10)
	var last *fault
	sent := 0
	for {
		n, err := server.Read(buffer)
		if n > 0 {
			f := p.wait()
			if f == nil {
				return false
			}
			if f != last {
				last, sent = f, 0
			}
			piece := buffer[:n]
			if f.limited {
				piece = piece[:min(n, max(f.after-sent, 0))]
			}
			if f.corrupt {
				piece = slices.Clone(piece)
				for i := range piece {
					piece[i] ^= 0x55
				}
			}
			if _, err := client.Write(piece); err != nil || len(piece) < n {
				return false
			}
			sent += n
		}
		if err != nil {
			return err == io.EOF
		}
	}
}

// wait returns the fault that holds once a piece may pass: after the delay, or
// when the hanging is over. It returns nil where nothing may pass any more.
func (p *FaultProxy) wait() *fault {
	for {
		p.mu.Lock()
		f := p.fault
		p.mu.Unlock()
		var due <-chan time.Time
		switch {
		case f.cut:
			return nil
		case f.delay > 0:
			due = time.After(f.delay)
		case !f.hang:
			return f
		}
		select {
		case <-due:
			return f
		case <-f.changed:
		case <-p.done:
			return nil
		}
	}
}
