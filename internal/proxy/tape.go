package proxy

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// A tape keeps the beginning of a request's body as it streams up, so that it can
// be sent again: at most maxReplayed bytes, none of a longer body. A nil tape is
// that of a request without a body.
//
// An upstream may answer before it has read the body, and the transport then may
// still be reading it. So every attempt reads for itself, from the beginning: what
// is on the tape, then what comes. Whoever reads from the caller holds the lock,
// and what it gets is on the tape for those after it.
type tape struct {
	mu      sync.Mutex
	source  io.Reader
	kept    []byte
	failure error // how the source ended
	long    bool  // more came than is kept; only the attempt under way can read on

	current atomic.Pointer[taped] // the attempt; those before it read no more
}

// taped is one attempt's view of a body.
type taped struct {
	*tape
	at int // bytes read
}

var errOtherAttempt = errors.New("the body is sent again by another attempt")

func newTape(r *http.Request) *tape {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	return &tape{source: r.Body}
}

// attempt returns r to be sent with the body from its beginning.
func (t *tape) attempt(r *http.Request) *http.Request {
	if t == nil {
		return r
	}
	body := &taped{tape: t}
	t.current.Store(body)
	out := r.WithContext(r.Context())
	out.Body = body
	return out
}

// whole reports whether all of r's body can be sent again: it ended on the tape,
// or its length is known to fit.
func (t *tape) whole(r *http.Request) bool {
	if t == nil || r.ContentLength >= 0 {
		return true
	}
	if !t.mu.TryLock() {
		return false // somebody waits for more of it
	}
	defer t.mu.Unlock()
	return !t.long && t.failure == io.EOF
}

// Read reads from the tape, and past its end from the caller.
func (b *taped) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.current.Load() != b:
		return 0, errOtherAttempt
	case b.at < len(b.kept):
		n := copy(p, b.kept[b.at:])
		b.at += n
		return n, nil
	case b.failure != nil:
		return 0, b.failure
	}
	n, err := b.source.Read(p)
	b.keep(p[:n])
	b.at += n
	b.failure = err
	return n, err
}

// keep puts what was read on the tape. Its caller holds the lock.
func (t *tape) keep(p []byte) {
	switch {
	case t.long:
	case len(t.kept)+len(p) > maxReplayed:
		t.kept, t.long = nil, true
	default:
		t.kept = append(t.kept, p...)
	}
}

// Close leaves the caller's body open, for the attempt that may follow. It is
// closed by ReverseProxy, when the exchange ends.
func (b *taped) Close() error { return nil }
