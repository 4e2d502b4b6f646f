package proxy

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// errExpired is the cause with which an answer ends that has outlived its token.
var errExpired = errors.New("the token has expired")

// sending is an exchange on its way through the full lane.
type sending struct {
	x      *exchange
	rec    *record
	body   *requestBody // nil: none
	ctx    context.Context
	cancel context.CancelCauseFunc
	socket atomic.Pointer[socket] // of an upgrade
	forget func() bool            // the end of the server's context; nil: it ends ctx
	expiry *time.Timer
}

type sendingKey struct{}

func sendingOf(ctx context.Context) *sending { return ctx.Value(sendingKey{}).(*sending) }

// newSending returns the exchange's, and the context that its request goes up
// with. That of a WebSocket does not end with the server's: it is ended here, so
// that a close frame goes out before the upstream's connection is cut.
func newSending(r *http.Request, rec *record) *sending {
	s := &sending{x: exchangeOf(r.Context()), rec: rec}
	base := r.Context()
	if webSocket(r) {
		base = context.WithoutCancel(base)
	}
	base, s.cancel = context.WithCancelCause(base)
	s.ctx = context.WithValue(base, sendingKey{}, s)
	if webSocket(r) {
		rec.hijacked = func(c *socket) { s.socket.Store(c) }
		s.forget = context.AfterFunc(r.Context(), func() { s.end(context.Cause(r.Context())) })
	}
	return s
}

// end ends the exchange because of cause, a WebSocket with a close frame.
func (s *sending) end(cause error) {
	if c := s.socket.Load(); c != nil {
		switch {
		case errors.Is(cause, errExpired):
			c.end(closeFrame(codePolicy, "token expired"))
		case errors.Is(cause, ErrShutdown):
			c.end(closeFrame(codeGoingAway, "going away"))
		}
	}
	s.cancel(cause)
}

// done ends what was started for the exchange. A body that is not at its end
// is waited for no longer than a moment.
func (s *sending) done() {
	if s.expiry != nil {
		s.expiry.Stop()
	}
	switch cause := context.Cause(s.ctx); {
	case s.x.reason != "":
	case errors.Is(cause, errExpired):
		s.x.reason = "token_expired"
	case errors.Is(cause, ErrShutdown):
		s.x.reason = "shutdown"
	}
	if s.forget != nil {
		s.forget()
	}
	s.cancel(nil)
	if s.body.unfinished() && s.x.proto[0] == 1 {
		_ = s.body.control.SetReadDeadline(time.Now().Add(lingering))
	}
}

// endAtExpiry has res end when the token expires that it was asked for with.
func (s *sending) endAtExpiry(res *http.Response, now time.Time) {
	pr := s.x.principal
	if pr == nil || pr.Expires.IsZero() {
		return
	}
	at := pr.Expires
	if grace := graceOf(res); grace > 0 {
		at = latest(at, now).Add(grace)
	}
	s.expiry = time.AfterFunc(at.Sub(now), func() { s.end(errExpired) })
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// streams are the media types of answers that go on until somebody ends them.
var streams = []string{"text/event-stream", "application/x-ndjson", "application/jsonl", "application/json-seq", "application/stream+json", "multipart/x-mixed-replace", "application/grpc"}

// graceOf is how long an answer may go on after its token has expired. What lasts
// by its nature ends with it: an upgraded connection, a stream. Any other answer
// was asked for in time and may finish what it has to say: one of unknown length,
// which could be a stream too, in a moment, and one whose end is known in a
// while.
func graceOf(res *http.Response) time.Duration {
	if res.StatusCode == http.StatusSwitchingProtocols {
		return 0
	}
	media := strings.ToLower(res.Header.Get("Content-Type"))
	switch {
	case slices.ContainsFunc(streams, func(kind string) bool { return strings.HasPrefix(media, kind) }):
		return 0
	case res.ContentLength < 0:
		return time.Second
	}
	return 30 * time.Second
}
