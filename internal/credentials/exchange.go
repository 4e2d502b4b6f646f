package credentials

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"time"

	"github.com/sallyport/sallyport/internal/secrets"
)

// exchange makes one exchange for a caller. It is nobody's request: it goes on
// when all who wait for it have left.
func (x *TokenExchange) exchange(key hash, caller Caller) (*exchanged, error) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	select {
	case x.slots <- struct{}{}:
		defer func() { <-x.slots }()
	case <-ctx.Done():
		return nil, &unavailable{x.name, time.Second, errBusy}
	}
	if err := x.open(); err != nil {
		return nil, err
	}
	form := maps.Clone(x.form)
	form.Set("subject_token", caller.Token.Reveal())
	started := x.now()
	value, lifetime, err := x.endpoint.ask(ctx, form)
	arrived := x.now()
	took := arrived.Sub(started)
	fresh := x.lease(caller, value, started, arrived, lifetime)
	if err == nil && !fresh.good(arrived) {
		err = errTooShort
	}
	switch {
	case err == nil:
		x.answered()
		x.callers.put(key, fresh)
		x.succeeded(fresh, took)
		return fresh, nil
	case forAll(err):
		next, failures := x.down(err)
		x.failed(err, took, next, failures)
		return nil, &unavailable{x.name, next.Sub(arrived), err}
	}
	x.answered()
	x.callers.put(key, &exchanged{lease: lease{until: arrived.Add(refusedFor)}, refused: err})
	x.failed(err, took, arrived.Add(refusedFor), 1)
	return nil, &unavailable{x.name, refusedFor, err}
}

// lease is how long a token is of use for a caller: until it expires, or the
// caller's does. It is renewed before the former, as [renewer] does it.
func (x *TokenExchange) lease(caller Caller, value secrets.Secret, started, arrived time.Time, lifetime time.Duration) *exchanged {
	expires := started.Add(lifetime)
	margin := min(maxMargin, lifetime/10)
	left := expires.Sub(arrived)
	fresh := &exchanged{
		lease: lease{value: value, until: expires.Add(-margin), expires: expires},
		renew: expires.Add(-min(max(x.before, 2*margin), left/2)),
	}
	if !caller.Expires.IsZero() && caller.Expires.Before(fresh.until) {
		fresh.until, fresh.expires = caller.Expires, caller.Expires
	}
	return fresh
}

// forAll reports whether err is about the endpoint or the gateway, and would be
// the same for every caller. A caller for whom the endpoint fails in any other way
// is kept from it alone, or one strange token could lock all others out.
func forAll(err error) bool {
	e, ok := errors.AsType[*endpointError](err)
	if !ok || e.status == 0 || e.status == http.StatusTooManyRequests || e.status == http.StatusServiceUnavailable {
		return !errors.Is(err, errTooShort)
	}
	switch e.code {
	case "invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope":
		return true
	}
	return false
}

// open returns why the endpoint is not asked now. Once it is time to, one asks;
// the others wait for what that comes to.
func (x *TokenExchange) open() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	now := x.now()
	switch {
	case x.failures == 0:
		return nil
	case now.Before(x.next):
		return &unavailable{x.name, x.next.Sub(now), x.failure}
	}
	x.next = now.Add(fetchTimeout)
	return nil
}

// answered notes that the endpoint works.
func (x *TokenExchange) answered() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.failures, x.failure, x.next = 0, nil, time.Time{}
	x.pause.Reset()
}

// down notes that it does not, and returns when to ask again.
func (x *TokenExchange) down(err error) (next time.Time, failures int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.failures++
	x.failure, x.next = err, x.now().Add(x.pause.NextBackOff())
	return x.next, x.failures
}

// retry has the endpoint asked again at once, as there is something else to
// authenticate with.
func (x *TokenExchange) retry() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.next = time.Time{}
}

func (x *TokenExchange) succeeded(fresh *exchanged, took time.Duration) {
	x.series.renewed(took, time.Time{})
	x.log.Info("token exchanged", "valid_until", fresh.expires, "took", took.Round(time.Millisecond))
	x.tell(Event{Result: resultSuccess, ValidUntil: fresh.expires, NextRenewal: fresh.renew, Took: took})
}

func (x *TokenExchange) failed(err error, took time.Duration, next time.Time, failures int) {
	reason := reasonOf(err)
	x.series.failed(took, reason)
	x.log.Warn("token not exchanged", "reason", reason, "error", err, "failures", failures, "took", took.Round(time.Millisecond),
		"retry_in", next.Sub(x.now()).Round(time.Millisecond))
	x.tell(Event{Result: resultFailure, Reason: reason, Error: err.Error(), NextRenewal: next, Took: took, Failures: failures})
}

func (x *TokenExchange) tell(e Event) {
	if x.onEvent != nil {
		e.Credential, e.Type = x.name, "token_exchange"
		x.onEvent(e)
	}
}
