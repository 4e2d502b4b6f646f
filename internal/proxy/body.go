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
	failure atomic.Pointer[error]
}

// newRequestBody wraps body, of at most limit bytes (0: any number).
func newRequestBody(w http.ResponseWriter, body io.ReadCloser, limit int64, wait time.Duration) *requestBody {
	if limit > 0 {
		body = http.MaxBytesReader(w, body, limit)
	}
	return &requestBody{ReadCloser: body, control: http.NewResponseController(w), wait: wait}
}

// Read reads with a deadline of its own. The deadline is taken back at the end,
// since it is the connection's, not the body's.
func (b *requestBody) Read(p []byte) (int, error) {
	if b.wait > 0 {
		_ = b.control.SetReadDeadline(time.Now().Add(b.wait)) // not every test server has deadlines
	}
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		if b.wait > 0 {
			_ = b.control.SetReadDeadline(time.Time{})
		}
		if err != io.EOF {
			b.failure.CompareAndSwap(nil, &err)
		}
	}
	return n, err
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
