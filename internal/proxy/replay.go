package proxy

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport/internal/credentials"
	"github.com/sallyport/sallyport/internal/secrets"
)

const (
	// maxReplayed is the largest body that is kept to be sent again, in bytes.
	maxReplayed = 64 << 10
	// renewalWait bounds how long an upstream's 401 is held back while its
	// credential is renewed.
	renewalWait = 5 * time.Second
	// maxDrained and drainWait bound what is read of a 401 nobody will see, to use
	// its connection again.
	maxDrained = 16 << 10
	drainWait  = 100 * time.Millisecond
)

// replay is a RoundTripper that sends a request once more, with another
// credential, where the upstream answers 401 to the one injected (CONTRACT 4.10).
// It stands outside inject.
//
// Only that a credential was refused is known, not why: a request that is truly
// forbidden looks the same. So a renewal is asked for only where the request went
// up with what is still in use, the credential bounds how often that is done, and
// no request goes up more than twice.
type replay struct {
	inject  *inject
	replays prometheus.Counter
}

// RoundTrip sends r, and after a 401 and a renewal a second time if that is no
// other than once. Else the 401 is the answer as it came; the renewal is then for
// the caller's next request.
func (t *replay) RoundTrip(r *http.Request) (*http.Response, error) {
	var body *tape
	again := repeatable(r)
	if again {
		body = newTape(r)
	}
	res, used, err := t.inject.send(body.attempt(r))
	if err != nil || res.StatusCode != http.StatusUnauthorized || !t.renewed(r.Context(), used) || !again || !body.whole(r) {
		return answerTo(r, res), err
	}
	drain(res.Body)
	t.replays.Inc()
	res, _, err = t.inject.send(body.attempt(r))
	return answerTo(r, res), err
}

// answerTo names r as what res answers; the attempts are nobody's concern.
func answerTo(r *http.Request, res *http.Response) *http.Response {
	if res != nil {
		res.Request = r
	}
	return res
}

// repeatable reports whether sending r twice is the same as once: the method is
// idempotent (RFC 9110, section 9.2.2), or the caller says so; and whether its
// body is not known to be too large. What counts is what goes up.
func repeatable(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodOptions:
	default:
		if r.Header.Get("Idempotency-Key") == "" {
			return false
		}
	}
	return r.ContentLength <= maxReplayed
}

// renewed reports whether the request that went up with used would now go up
// with something else. If not it asks for a renewal.
func (t *replay) renewed(ctx context.Context, used []secrets.Secret) bool {
	ctx, cancel := context.WithTimeout(ctx, renewalWait)
	defer cancel()
	if t.changed(ctx, used) {
		return true
	}
	for _, c := range t.inject.credentials {
		if rotating, ok := c.(credentials.Rotating); ok {
			_ = rotating.Refresh(ctx) // the credential logs it, and what it came to is seen below
		}
	}
	return t.changed(ctx, used)
}

// changed reports whether any value is another one than was used, and all are
// there.
func (t *replay) changed(ctx context.Context, used []secrets.Secret) bool {
	other := false
	for i, c := range t.inject.credentials {
		value, err := c.Value(ctx)
		if err != nil {
			return false
		}
		other = other || !value.Equal(used[i])
	}
	return other
}

// drain reads what little there is of a body, in bounded time, and closes it.
func drain(body io.ReadCloser) {
	timer := time.AfterFunc(drainWait, func() { _ = body.Close() })
	defer timer.Stop()
	_, _ = io.CopyN(io.Discard, body, maxDrained)
	_ = body.Close()
}
