package auth

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/singleflight"

	"github.com/sallyport/sallyport/internal/secrets"
	"github.com/sallyport/sallyport/internal/telemetry"
	"github.com/sallyport/sallyport/internal/token"
)

// Bounds of asking an issuer about tokens.
const (
	maxAnswer    = 64 << 10         // bytes of one answer
	maxAtOnce    = 32               // calls to one issuer
	maxWaiting   = 1024             // requests that wait for answers of one issuer
	maxInactive  = 30 * time.Second // how long "not active" is remembered at most
	pauseAfter   = 3                // calls in a row the network failed before the issuer is left alone for a while
	longestPause = 10 * time.Second // of leaving it alone
)

// IntrospectionOptions say where an issuer is asked about tokens (RFC 7662).
type IntrospectionOptions struct {
	Issuer       string // its name in the configuration
	URL          string // http or https
	ClientID     string
	ClientSecret *secrets.Value // read anew for each call
	Cache        time.Duration  // how long an answer is remembered; zero: not at all
	Client       *http.Client   // nil means the standard one; redirects are refused, whatever it says
	Now          func() time.Time
	Log          *slog.Logger
}

// Introspection asks one issuer about tokens it alone can read. A request waits
// for the answer about its token, which nothing can bring before: there is one
// call a token however many requests hold it, a bounded number of calls at once,
// and each is bounded in time.
//
// Answers are remembered under a keyed hash of the token, those that say no
// apart from those that say yes, so that a flood of guesses pushes out no caller.
type Introspection struct {
	url, shown string
	id         string
	secret     *secrets.Value
	cache      time.Duration
	client     *http.Client
	now        func() time.Time
	log        *slog.Logger

	key     [sha256.Size]byte
	known   answers
	calls   singleflight.Group
	waiting atomic.Int32
	slots   chan struct{}

	mu     sync.Mutex
	failed int       // calls in a row
	until  time.Time // the issuer is left alone
	pause  *backoff.ExponentialBackOff
}

// NewIntrospection asks nobody yet.
func NewIntrospection(o IntrospectionOptions) (*Introspection, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("the introspection URL is not an http or https URL")
	}
	if o.ClientID == "" || o.ClientSecret == nil || o.Cache < 0 {
		return nil, errors.New("introspection needs a client id, a client secret, and a cache that is not negative")
	}
	n := &Introspection{
		url: o.URL, shown: withoutQuery(u), id: o.ClientID, secret: o.ClientSecret, cache: o.Cache, now: o.Now, log: o.Log,
		known: newAnswers(), slots: make(chan struct{}, maxAtOnce),
		pause: &backoff.ExponentialBackOff{InitialInterval: 250 * time.Millisecond, Multiplier: 2, RandomizationFactor: 0.2, MaxInterval: longestPause},
	}
	if n.now == nil {
		n.now = time.Now
	}
	n.log = telemetry.Discard(n.log)
	n.log = n.log.With("issuer", o.Issuer, "url", n.shown)
	n.client = new(http.Client)
	if o.Client != nil {
		*n.client = *o.Client
	}
	n.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if _, err := rand.Read(n.key[:]); err != nil {
		return nil, err
	}
	return n, nil
}

// Status reports whether the issuer can be asked at all, which takes the client
// secret, and whether the last call failed.
func (n *Introspection) Status() (can, failing bool) {
	_, err := n.secret.Get()
	n.mu.Lock()
	defer n.mu.Unlock()
	return err == nil, n.failed > 0
}

// ask returns what the issuer says of a token; nil claims say that it is not
// active. Its error wraps ErrUnavailable. It waits until ctx ends at most; the
// call goes on for the next who asks.
func (n *Introspection) ask(ctx context.Context, raw string) (*token.Claims, error) {
	key, trace := n.keyOf(raw), !explaining(ctx)
	if claims, ok := n.known.get(key, n.now()); ok {
		return claims, nil
	}
	if n.waiting.Add(1) > maxWaiting {
		n.waiting.Add(-1)
		return nil, fmt.Errorf("%w: too many requests wait for introspection at %s", ErrUnavailable, n.shown)
	}
	defer n.waiting.Add(-1)
	done := n.calls.DoChan(string(key[:]), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
		defer cancel()
		return n.call(ctx, key, raw, trace)
	})
	select {
	case result := <-done:
		if result.Err != nil {
			return nil, fmt.Errorf("%w: introspection at %s: %w", ErrUnavailable, n.shown, result.Err)
		}
		return result.Val.(*token.Claims), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: before the answer of %s: %w", ErrUnavailable, n.shown, ctx.Err())
	}
}

// keyOf is what a token is remembered by. It is of no use outside this process.
func (n *Introspection) keyOf(raw string) answerKey {
	mac := hmac.New(sha256.New, n.key[:])
	mac.Write([]byte(raw))
	return answerKey(mac.Sum(nil))
}

// call asks about one token, when its turn comes, and with trace remembers the
// answer.
func (n *Introspection) call(ctx context.Context, key answerKey, raw string, trace bool) (*token.Claims, error) {
	select {
	case n.slots <- struct{}{}:
		defer func() { <-n.slots }()
	case <-ctx.Done():
		return nil, errors.New("other calls take too long")
	}
	if ctx.Err() != nil {
		return nil, errors.New("other calls take too long")
	}
	if n.leftAlone() {
		return nil, errors.New("is left alone for a while, since it did not answer")
	}
	claims, size, err := n.post(ctx, raw)
	if !trace {
		return claims, err
	}
	n.tell(err)
	if err != nil {
		return nil, err
	}
	now := n.now()
	switch {
	case n.cache == 0 || size > maxRemembered:
	case claims == nil:
		n.known.put(key, nil, now.Add(min(n.cache, maxInactive)))
	default:
		until := now.Add(n.cache)
		if !claims.Expiry.IsZero() && claims.Expiry.Before(until) {
			until = claims.Expiry
		}
		n.known.put(key, claims, until)
	}
	return claims, nil
}

func (n *Introspection) leftAlone() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.now().Before(n.until)
}

// tell keeps count of calls that fail, and logs the first and the end of them.
// Only a network that fails pauses the calls: an answer is about one token, and
// whoever finds one that the issuer chokes on must not lock out the others.
func (n *Introspection) tell(err error) {
	n.mu.Lock()
	before := n.failed
	_, answered := errors.AsType[answerError](err)
	switch {
	case err == nil:
		n.failed = 0
		n.pause.Reset()
	default:
		if n.failed++; !answered && n.failed >= pauseAfter {
			n.until = n.now().Add(n.pause.NextBackOff())
		}
	}
	n.mu.Unlock()
	switch {
	case err != nil && before == 0:
		n.log.Warn("introspection fails: tokens that need it are answered 503", "error", err)
	case err == nil && before > 0:
		n.log.Info("introspection works again")
	}
}

// answerError is an answer that is none: the issuer is there, and says nothing
// of use.
type answerError struct{ cause error }

func (e answerError) Error() string { return e.cause.Error() }
func (e answerError) Unwrap() error { return e.cause }

// post makes one call (RFC 7662, section 2.1). Client id and secret are
// form-encoded before Basic (RFC 6749, section 2.3.1). Its errors quote nothing
// the peer sent.
func (n *Introspection) post(ctx context.Context, raw string) (claims *token.Claims, size int, err error) {
	secret, err := n.secret.Get()
	if err != nil {
		return nil, 0, answerError{fmt.Errorf("client secret: %w", err)}
	}
	form := url.Values{"token": {raw}, "token_type_hint": {"access_token"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.url, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, 0, answerError{errors.New("its URL cannot be asked")}
	}
	req.SetBasicAuth(url.QueryEscape(n.id), url.QueryEscape(secret.Reveal()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	res, err := n.client.Do(req)
	if err != nil {
		return nil, 0, explain(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, 0, answerError{statusError(res.StatusCode)}
	}
	doc, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, 0, explain(err)
	}
	if len(doc) > maxAnswer {
		return nil, 0, answerError{fmt.Errorf("answers more than %d bytes", maxAnswer)}
	}
	if claims, err = readAnswer(doc); err != nil {
		return nil, 0, answerError{err}
	}
	return claims, len(doc), nil
}

// readAnswer reads an introspection response (RFC 7662, section 2.2): nil claims
// for a token that is not active. An answer that two readers could take in two
// ways is none.
func readAnswer(doc []byte) (*token.Claims, error) {
	object, err := token.ReadObject(doc)
	if err != nil {
		return nil, fmt.Errorf("answer %w", err)
	}
	for name := range object {
		if name != "active" && strings.EqualFold(name, "active") {
			return nil, errors.New(`answer has "active" in another case`)
		}
	}
	switch active, ok := object["active"].(bool); {
	case !ok:
		return nil, errors.New(`answer has no "active" that is true or false`)
	case !active:
		return nil, nil
	}
	claims, err := token.ReadClaims(object)
	if err != nil {
		return nil, fmt.Errorf("answer %w", err)
	}
	return &claims, nil
}

// introspect judges a token by what this issuer says of it.
func (i *Issuer) introspect(ctx context.Context, raw string) (*Principal, error) {
	claims, err := i.asks.ask(ctx, raw)
	switch {
	case err != nil:
		return nil, fmt.Errorf("issuer %s: %w", i.name, err)
	case claims == nil:
		return nil, refuse(reasonInactive, "issuer %s says that the token is not active", i.name)
	case i.issuer != "" && claims.Issuer != "" && claims.Issuer != i.issuer:
		return nil, refuse(reasonIssuer, "issuer %s says that the token is of %.80q", i.name, claims.Issuer)
	}
	if err := accessToken(claims); err != nil {
		return nil, err
	}
	// The issuer may leave out exp: that the token is active is said of this moment.
	scopes, err := i.checkClaims(claims, claims.Expiry.IsZero() && i.maxLifetime == 0)
	if err != nil {
		return nil, err
	}
	return &Principal{
		Subject: claims.Subject, Issuer: i.name, IssuerURL: cmp.Or(claims.Issuer, i.issuer),
		Scopes: scopes, Claims: claims.All, Expires: claims.Expiry,
	}, nil
}

// accessToken refuses what is active and no bearer token: issuers also answer
// for refresh tokens, which open more than this API, and for tokens that prove
// nothing without a key (RFC 9449).
func accessToken(claims *token.Claims) error {
	for _, name := range []string{"token_type", "token_use"} {
		value, present := claims.All[name]
		if !present {
			continue
		}
		switch kind, _ := value.(string); strings.ToLower(kind) {
		case "bearer", "access_token", "access":
		default:
			return refuse(reasonType, "%s is %.40q", name, kind)
		}
	}
	return nil
}
