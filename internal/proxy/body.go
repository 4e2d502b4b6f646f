package proxy

import (
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// requestBody is a caller's body on its way up: bounded in size and in the time
// between two reads. It remembers how reading failed, since a transport's error
// does not tell a caller's fault from an upstream's.
type requestBody struct {
	io.ReadCloser
	control *http.ResponseController
	wait    time.Duration
	left    int64 // bytes to come; negative: not known
	stream  bool  // of HTTP/2, which ends a body whose deadline passes although nobody reads
	failure atomic.Pointer[error]
	whole   atomic.Bool // all of it was read
}

// newRequestBody wraps the body of r, of at most limit bytes (0: any number).
func newRequestBody(w http.ResponseWriter, r *http.Request, limit int64, wait time.Duration) *requestBody {
	body := r.Body
	if limit > 0 {
		body = http.MaxBytesReader(w, body, limit)
	}
	return &requestBody{ReadCloser: body, control: http.NewResponseController(w), wait: wait, left: r.ContentLength, stream: r.ProtoMajor == 2}
}

// Read reads with a deadline of its own. The deadline is taken back at the end
// of the body, since it is the connection's.
func (b *requestBody) Read(p []byte) (int, error) {
	if b.wait > 0 {
		_ = b.control.SetReadDeadline(time.Now().Add(b.wait)) // not every test server has deadlines
	}
	n, err := b.ReadCloser.Read(p)
	if b.stream && b.wait > 0 {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	if b.left > 0 {
		b.left -= int64(n)
	}
	switch {
	case err == io.EOF || b.left == 0:
		b.whole.Store(true)
		if b.wait > 0 {
			_ = b.control.SetReadDeadline(time.Time{})
		}
	case err != nil:
		b.failure.CompareAndSwap(nil, &err)
	}
	return n, err
}

// unfinished reports whether bytes of the body may still be on the connection.
func (b *requestBody) unfinished() bool { return b != nil && !b.whole.Load() }

// lingering is how long the rest of a body that nobody wants is waited for. It
// is read so that the caller can read the answer before the connection ends.
const lingering = 500 * time.Millisecond

// leaveBody prepares an answer to a request whose body was not read to its end:
// the answer goes out at once, and the connection ends soon after it, whatever
// the caller does. Otherwise net/http would wait for the body without a bound,
// and what is left of it could be taken for another request.
func leaveBody(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor != 1 || r.Body == nil || r.Body == http.NoBody {
		return
	}
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex() // both fail only where w is not net/http's
	_ = control.SetReadDeadline(time.Now().Add(lingering))
	w.Header().Set("Connection", "close")
}

// err is why reading failed, or nil.
func (b *requestBody) err() error {
	if b == nil {
		return nil
	}
	if failure := b.failure.Load(); failure != nil {
		return *failure
	}
	return nil
}
