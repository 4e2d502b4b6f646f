package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/sallyport/sallyport/internal/credentials"
)

// A route whose mode is observe refuses nobody for who he is or what he may not
// do (CONTRACT 3): what would be a 401 or a 403 is counted and logged, and the
// request goes on. What cannot be judged at all, a 400 or a 503, is refused there
// too.

// observed is a refusal that was not made.
type observed struct {
	check   string
	refusal *refusal
}

// decline counts a decision against x, and returns the refusal unless the route
// only observes.
func (p *Proxy) decline(x *exchange, check string, err error) error {
	var r *refusal
	if x.route == nil || !x.route.Observe || !errors.As(err, &r) || r.status != http.StatusUnauthorized && r.status != http.StatusForbidden {
		p.countDeny(x, reasonOf(err))
		return err
	}
	x.count(p.metrics.decisions, x.route.Name, "observed", r.reason)
	x.observed = &observed{check, r}
	return nil
}

// anonymous reports whether x goes on although nobody knows who calls. Nothing
// may then be said or given to the upstream in a caller's name.
func (x *exchange) anonymous() bool { return x.route.Auth != nil && x.principal == nil }

// ifKnown is a RoundTripper that injects only where it is known who calls. From
// anybody else it takes what stands in the credentials' places, as injecting
// would: what a stranger puts there is not the gateway's word.
type ifKnown struct {
	injecting, bare http.RoundTripper
	credentials     []credentials.Credential
}

func (t *ifKnown) RoundTrip(r *http.Request) (*http.Response, error) {
	if !exchangeOf(r.Context()).anonymous() {
		return t.injecting.RoundTrip(r)
	}
	out := r.Clone(r.Context())
	for _, c := range t.credentials {
		unplace(out, c.Placement())
	}
	res, err := t.bare.RoundTrip(out)
	return answerTo(r, res), err
}

// logObserved tells of the refusal that was not made.
func (rec *record) logObserved() {
	x := rec.x
	if x.observed == nil {
		return
	}
	r := x.observed.refusal
	rec.p.log.LogAttrs(context.Background(), slog.LevelInfo, "request would be refused; the route only observes",
		slog.String("request_id", x.id), slog.String("route", x.routeName()), slog.String("check", x.observed.check),
		slog.Int("status", r.status), slog.String("reason", r.reason), slog.String("cause", capped(r.Error(), maxLogged)))
}
