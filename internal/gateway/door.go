package gateway

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sallyport/sallyport/internal/config"
)

// door is where connections come in: one socket, and the server that new
// connections are handed to. A reload may change both. A connection stays with
// the server it came to, and the limits of that, until it ends.
type door struct {
	failed chan<- error // when the socket does
	seats  seats

	mu      sync.Mutex
	address string // as the configuration has it
	socket  net.Listener
	current *served
	all     map[*served]bool // with connections left, or the current one
}

// served is a server with what is handed to it.
type served struct {
	*http.Server
	door  *door
	conns chan net.Conn
	done  chan struct{} // closed when it takes no more
	once  sync.Once
	open  int  // connections, guarded by the door's lock
	gone  bool // another has taken its place
}

// serve hands the connections from now on to s.
func (d *door) serve(s *http.Server, tls bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := &served{Server: s, door: d, conns: make(chan net.Conn), done: make(chan struct{})}
	s.ConnState = next.watch
	go func() { // until it is closed
		if tls {
			_ = s.ServeTLS(next, "", "")
		} else {
			_ = s.Serve(next)
		}
	}()
	if d.all == nil {
		d.all = make(map[*served]bool)
	}
	d.all[next] = true
	if old := d.current; old != nil {
		old.gone = true
		old.endIfUnused()
	}
	d.current = next
}

// watch counts the connections, so that a server is let go of after its last.
func (s *served) watch(_ net.Conn, state http.ConnState) {
	if state == http.StateClosed || state == http.StateHijacked {
		s.door.mu.Lock()
		defer s.door.mu.Unlock()
		s.open--
		s.endIfUnused()
	}
}

// endIfUnused ends a server that has no connection and gets no other. The door
// is locked.
func (s *served) endIfUnused() {
	if s.gone && s.open == 0 {
		delete(s.door.all, s)
		go func() { _ = s.Server.Close() }()
	}
}

// Accept implements [net.Listener] for the server.
func (s *served) Accept() (net.Conn, error) {
	select {
	case conn := <-s.conns:
		return conn, nil
	case <-s.done:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener]: the socket is the door's.
func (s *served) Close() error {
	s.once.Do(func() { close(s.done) })
	return nil
}

// Addr implements [net.Listener]. Connections know their own.
func (s *served) Addr() net.Addr { return new(net.TCPAddr) }

// lastAccepts is how long a socket that is to be closed goes on, for callers who
// are connected already and wait to be accepted: closing it resets them.
const lastAccepts = 100 * time.Millisecond

// open has connections come in by socket, and by the one before no more.
func (d *door) open(address string, socket net.Listener) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closeSocket()
	d.address, d.socket = address, socket
	go d.accept(socket)
}

// reopen returns a socket on address, which the key of c says, or nil where there
// is nothing to open: it is the present one, or none is wanted.
func (d *door) reopen(key string, c *generation, address string) (net.Listener, error) {
	d.mu.Lock()
	present := d.address
	d.mu.Unlock()
	if address == present || address == "" {
		return nil, nil
	}
	l, err := listen(key, address)
	if err != nil {
		return nil, config.Errors{c.place(key, err)}
	}
	return l, nil
}

// listener is the present socket, nil if there is none.
func (d *door) listener() net.Listener {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.socket
}

// retire lets no more in. Who is in may stay.
func (d *door) retire() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closeSocket()
	if d.address = ""; d.current != nil {
		d.current.gone = true
		d.current.endIfUnused()
		d.current = nil
	}
}

// closeSocket ends the present socket after the last accepts.
func (d *door) closeSocket() {
	if d.socket == nil {
		return
	}
	if s, ok := d.socket.(interface{ SetDeadline(time.Time) error }); !ok || s.SetDeadline(time.Now().Add(lastAccepts)) != nil {
		_ = d.socket.Close()
	}
	d.socket = nil
}

// accept hands on what comes in by socket, until that ends.
func (d *door) accept(socket net.Listener) {
	defer func() { _ = socket.Close() }()
	for pause := time.Duration(0); ; {
		leave, ok := d.seats.take()
		if !ok {
			return
		}
		conn, err := socket.Accept()
		if err == nil {
			pause = 0
			d.hand(conn, leave)
			continue
		}
		leave()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed):
			return
		case isTemporary(err): // out of file descriptors, say
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			time.Sleep(pause)
		default:
			select {
			case d.failed <- err:
			default: // one is enough to end the gateway
			}
			return
		}
	}
}

// isTemporary reports whether accepting may succeed later, as net/http asks.
func isTemporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

// hand gives the connection to the current server.
func (d *door) hand(conn net.Conn, leave func()) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(writeBuffer) // the kernel's own size serves too
	}
	if leave = sync.OnceFunc(leave); d.seats.bounded() {
		conn = &seated{conn, leave}
	} else {
		leave()
	}
	d.mu.Lock()
	s := d.current
	if s == nil { // retired, a moment ago
		d.mu.Unlock()
		_ = conn.Close()
		return
	}
	s.open++
	d.mu.Unlock()
	select {
	case s.conns <- conn:
	case <-s.done:
		_ = conn.Close()
		s.watch(conn, http.StateClosed)
	}
}

// shutdown lets no more in and waits until all requests have ended, or until ctx
// has.
func (d *door) shutdown(ctx context.Context) error {
	d.mu.Lock()
	waiting := d.socket != nil
	d.closeSocket()
	d.mu.Unlock()
	d.seats.stop()
	if waiting {
		time.Sleep(lastAccepts)
	}
	var all errgroup.Group
	for _, s := range d.servers() {
		all.Go(func() error { return s.Shutdown(ctx) })
	}
	return all.Wait()
}

// close ends everything at once.
func (d *door) close() {
	d.mu.Lock()
	d.closeSocket()
	d.mu.Unlock()
	d.seats.stop()
	for _, s := range d.servers() {
		_ = s.Server.Close()
	}
}

func (d *door) servers() []*served {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := make([]*served, 0, len(d.all))
	for s := range d.all {
		list = append(list, s)
	}
	return list
}
