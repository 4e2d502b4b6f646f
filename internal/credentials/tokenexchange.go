package credentials

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/singleflight"

	"github.com/sallyport/sallyport/internal/secrets"
	"github.com/sallyport/sallyport/internal/telemetry"
)

const (
	// maxCallers bounds the callers whose tokens are kept.
	maxCallers = 10_000
	// maxExchanges bounds the exchanges that go on at once.
	maxExchanges = 64
	// refusedFor is how long it is remembered that the endpoint refused a caller.
	refusedFor = 10 * time.Second
)

// The fields of RFC 8693, section 2.1.
const (
	grantExchange   = "urn:ietf:params:oauth:grant-type:token-exchange"
	typeAccessToken = "urn:ietf:params:oauth:token-type:access_token"
	typeJWT         = "urn:ietf:params:oauth:token-type:jwt"
)

var (
	errNoCaller      = errors.New("the caller has no token to exchange")
	errCallerExpired = errors.New("the caller's token has expired")
	errBusy          = errors.New("too many exchanges at once")
)

// A TokenExchange is a credential that is another one for each caller: the token
// endpoint gives it for the caller's own token (RFC 8693).
//
// What was exchanged is kept for the caller until either token expires, and
// renewed before that, in the background, by the caller's next request. All
// requests of one caller share one exchange. Where the endpoint refuses a caller,
// that caller is refused for a while without asking again; where it fails, all
// who have no token yet are, until it is time to try again. As elsewhere a caller
// who leaves takes no one's exchange along.
//
// Callers are told apart by a keyed hash of their token, with a key of this
// process; the token itself is not kept.
type TokenExchange struct {
	name      string
	placement Placement
	endpoint  *tokenEndpoint
	form      url.Values // beside the subject token
	before    time.Duration
	now       func() time.Time
	log       *slog.Logger
	series    *series
	onEvent   func(Event)

	flights singleflight.Group
	slots   chan struct{}
	callers *callers

	mu       sync.Mutex // of what is known of the endpoint
	failures int        // since it last answered
	failure  error      // the last of them
	next     time.Time  // when to ask again; nobody does before
	pause    *backoff.ExponentialBackOff
	counted  time.Time // when all were last forgotten
}

// NewTokenExchange returns a credential of these options, which are those of
// OAuth2 for another grant. Their Parameters may name subject_token_type (an
// access token's otherwise) and requested_token_type.
func NewTokenExchange(o OAuth2Options) (*TokenExchange, error) {
	at, err := newEndpoint(o, []string{"subject_token", "actor_token"})
	if err != nil {
		return nil, fmt.Errorf("credential %s: %w", o.Name, err)
	}
	x := &TokenExchange{
		name: o.Name, placement: o.Placement, endpoint: at,
		form:   url.Values{"grant_type": {grantExchange}},
		before: cmp.Or(o.RefreshBefore, defaultRefreshBefore), now: orTimeNow(o.Now), series: o.Metrics.of(o.Name), onEvent: o.OnEvent,
		slots: make(chan struct{}, maxExchanges), callers: newCallers(maxCallers),
		pause: &backoff.ExponentialBackOff{InitialInterval: 1250 * time.Millisecond, RandomizationFactor: 0.2, Multiplier: 2, MaxInterval: 50 * time.Second},
	}
	if at.grant.EndpointParams.Get("subject_token_type") == "" {
		x.form.Set("subject_token_type", typeAccessToken)
	}
	x.log = telemetry.Discard(withURL(o.Log, o.TokenURL)).With("credential", o.Name, "type", "token_exchange")
	at.changed(x.retry)
	return x, nil
}

// Name is the credential's name in the configuration.
func (x *TokenExchange) Name() string { return x.name }

// Placement is where the token goes.
func (x *TokenExchange) Placement() Placement { return x.placement }

// Value is a token for the caller of ctx that is valid now.
func (x *TokenExchange) Value(ctx context.Context) (secrets.Secret, error) {
	caller, now := callerOf(ctx), x.now()
	switch {
	case caller.Token.Empty():
		return secrets.Secret{}, &unavailable{x.name, recheck, errNoCaller}
	case !caller.Expires.IsZero() && !now.Before(caller.Expires):
		return secrets.Secret{}, &unavailable{x.name, time.Second, errCallerExpired}
	}
	key := x.callers.key(caller)
	kept, due, seen := x.callers.get(key, now)
	switch {
	case kept == nil:
	case kept.refused != nil:
		return secrets.Secret{}, &unavailable{x.name, kept.until.Sub(now), kept.refused}
	default:
		if due {
			x.begin(key, caller, seen)
		}
		return kept.value, nil
	}
	return x.wait(ctx, key, caller, seen)
}

// wait waits for the caller's exchange.
func (x *TokenExchange) wait(ctx context.Context, key hash, caller Caller, seen uint64) (secrets.Secret, error) {
	ctx, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	select {
	case done := <-x.begin(key, caller, seen):
		if done.Err != nil {
			return secrets.Secret{}, done.Err
		}
		return done.Val.(*exchanged).value, nil
	case <-ctx.Done():
		return secrets.Secret{}, &unavailable{x.name, time.Second, fmt.Errorf("%w: %w", errNotYet, ctx.Err())}
	}
}

// begin starts an exchange, or joins the one of this caller. One that has ended
// since the caller looked at what is kept, and saw that, serves as well.
func (x *TokenExchange) begin(key hash, caller Caller, seen uint64) <-chan singleflight.Result {
	return x.flights.DoChan(string(key[:]), func() (any, error) {
		kept := x.callers.newer(key, seen, x.now())
		switch {
		case kept == nil:
			return x.exchange(key, caller)
		case kept.refused != nil:
			return nil, &unavailable{x.name, refusedFor, kept.refused}
		}
		return kept, nil
	})
}

// Refresh exchanges the token of the caller of ctx anew, as [Rotating] says, with
// the pause of each caller. Without a caller it forgets all, so that each one's
// next request exchanges anew.
func (x *TokenExchange) Refresh(ctx context.Context) error {
	caller := callerOf(ctx)
	if caller.Token.Empty() {
		x.mu.Lock()
		defer x.mu.Unlock()
		if !x.counted.IsZero() && x.now().Sub(x.counted) < refreshPause {
			return fmt.Errorf("credential %s: %w", x.name, ErrTooSoon)
		}
		x.counted = x.now()
		x.callers.forget()
		return nil
	}
	key := x.callers.key(caller)
	seen, ok := x.callers.demand(key, x.now())
	if !ok {
		return fmt.Errorf("credential %s: %w", x.name, ErrTooSoon)
	}
	_, err := x.wait(ctx, key, caller, seen)
	return err
}

// Status tells how the endpoint is. A failing one leaves the credential ready:
// who has a token goes on, and only a request can find out that it is back.
func (x *TokenExchange) Status() Status {
	x.mu.Lock()
	defer x.mu.Unlock()
	s := Status{Name: x.name, Type: "token_exchange", Ready: true, ConsecutiveFailures: x.failures}
	if x.failure != nil {
		s.LastError, s.NextRenewal = x.failure.Error(), x.next
	}
	if err := x.endpoint.ready(); err != nil {
		s.Ready, s.LastError = false, err.Error()
	}
	return s
}
