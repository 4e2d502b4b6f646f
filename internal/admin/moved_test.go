package admin_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport/internal/admin"
)

// outside is a listener whose connections are to an address that others reach.
type outside struct{ net.Listener }

func (l outside) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return outsideConn{conn}, err
}

type outsideConn struct{ net.Conn }

func (outsideConn) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 9090} }

// Without a token the listener may be moved to this machine alone, while a caller
// from elsewhere holds a connection open: it does not become a local one.
func TestConnectionFromElsewhereOutlivesTheListenerAndGetsNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		wrap func(net.Listener) net.Listener
		want int
	}{
		"from here":      {func(l net.Listener) net.Listener { return l }, 200},
		"from elsewhere": {func(l net.Listener) net.Listener { return outside{l} }, 404},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{ReadHeaderTimeout: time.Second, Handler: admin.New(admin.Options{
			Local: true, Gatherer: prometheus.NewRegistry(), Status: func() admin.Status { return admin.Status{} },
		})}
		go func() { _ = s.Serve(c.wrap(l)) }()
		t.Cleanup(func() { _ = s.Close() })
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprint(conn, "GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || res.StatusCode != c.want {
			t.Errorf("%s: %v, %v, want %d", name, res, err, c.want)
		}
	}
}
