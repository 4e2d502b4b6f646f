package gateway

import (
	"net"
	"sync"
)

// seats bound the connections that are open at once. Those that came while there
// was no bound are not counted.
type seats struct {
	mu      sync.Mutex
	freed   *sync.Cond
	taken   int
	most    int // zero: no bound
	stopped bool
}

func (s *seats) set(most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.most = most
	s.cond().Broadcast()
}

// stop ends the waiting for seats.
func (s *seats) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	s.cond().Broadcast()
}

func (s *seats) bounded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.most > 0
}

// take waits for a seat; leave gives it back. It is not ok where one was waited
// for until the end.
func (s *seats) take() (leave func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.most > 0 && s.taken >= s.most {
		if s.stopped {
			return nil, false
		}
		s.cond().Wait()
	}
	s.taken++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.taken--
		s.cond().Broadcast()
	}, true
}

// cond is made on first use. The seats are locked.
func (s *seats) cond() *sync.Cond {
	if s.freed == nil {
		s.freed = sync.NewCond(&s.mu)
	}
	return s.freed
}

// seated is a connection that leaves its seat when it is closed.
type seated struct {
	net.Conn
	leave func()
}

func (c *seated) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
