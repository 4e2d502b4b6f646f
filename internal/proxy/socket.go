package proxy

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// frameWait bounds how long the frame under way may take once a socket is to
// end. With lingering it stays below the time that the gateway's end waits for.
const frameWait = time.Second

var errSocketEnded = errors.New("the WebSocket was ended")

// socket is the client's connection of a WebSocket, whose end the gateway may
// have to bring about. Its close frame goes out between two frames of the
// upstream's, never within one.
type socket struct {
	net.Conn
	ending atomic.Bool // what the client sends no longer counts

	mu       sync.Mutex // held while writing
	frames   frames
	farewell []byte        // the frame to send at the next boundary; nil: none
	over     bool          // nothing more is written
	told     chan struct{} // closed once over
}

// Hijack gives the connection to who upgrades it. It takes the place of the
// server's own method, since the answer's header is written here too.
func (rec *record) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(rec.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	s := &socket{Conn: conn, told: make(chan struct{})}
	if rec.hijacked != nil {
		rec.hijacked(s)
	}
	return s, bufio.NewReadWriter(buffered.Reader, bufio.NewWriter(s)), nil
}

// Write sends what the upstream sent, and where the socket is to end no more than
// the rest of the frame.
func (s *socket) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return 0, errSocketEnded
	}
	if s.farewell != nil {
		ahead := s.frames
		p = p[:ahead.next(p)]
	}
	n, err := s.Conn.Write(p)
	s.frames.advance(p[:n])
	if err != nil {
		s.finish()
		return n, err
	}
	if s.farewell != nil && s.frames.boundary() {
		s.sendClose()
		return n, errSocketEnded
	}
	return n, nil
}

// Read reads what the client sends. Once the socket is to end it goes nowhere.
func (s *socket) Read(p []byte) (int, error) {
	for {
		n, err := s.Conn.Read(p)
		if !s.ending.Load() {
			return n, err
		}
		if err != nil {
			return 0, err
		}
	}
}

// sendClose sends the close frame, unless the upstream has sent one. The caller
// holds mu, and the stream is at a boundary.
func (s *socket) sendClose() {
	if !s.frames.closed {
		_, _ = s.Conn.Write(s.farewell) // if it cannot be sent, the connection ends without
	}
	s.finish()
}

func (s *socket) finish() {
	if !s.over {
		s.over = true
		close(s.told)
	}
}

// end sends frame once the frame under way is through, and returns when that is
// done; after frameWait it gives up. The connection is still to be closed.
func (s *socket) end(frame []byte) {
	s.ending.Store(true)
	_ = s.SetWriteDeadline(time.Now().Add(frameWait)) // for one who does not read, too
	s.mu.Lock()
	if s.farewell == nil && !s.over {
		if s.farewell = frame; s.frames.boundary() {
			s.sendClose()
		}
	}
	s.mu.Unlock()
	timer := time.NewTimer(frameWait)
	defer timer.Stop()
	select {
	case <-s.told:
	case <-timer.C:
	}
}

// CloseWrite tells the client that the upstream has no more to say.
func (s *socket) CloseWrite() error {
	if half, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close closes the connection. After a close frame it first reads on for a
// moment: to close while data of the client's is unread would be a reset, which
// can overtake the frame.
func (s *socket) Close() error {
	if s.ending.Load() {
		_ = s.CloseWrite()
		_ = s.SetReadDeadline(time.Now().Add(lingering))
		_, _ = io.Copy(io.Discard, s.Conn)
	}
	return s.Conn.Close()
}
