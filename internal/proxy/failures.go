package proxy

import (
	"errors"
	"net/http"

	"github.com/sallyport/sallyport/internal/auth"
	"github.com/sallyport/sallyport/internal/ratelimit"
)

// identify finds out who calls. Once the caller's address has failed too often
// (limits.auth_failures), only a credential that was verified before passes:
// whatever would take work, or tell a guesser something, is a 429.
func (p *Proxy) identify(x *exchange) (*auth.Principal, error) {
	if p.failures == nil {
		return x.route.Auth.Authenticate(x.ctx, x)
	}
	key := network(x.client)
	if left := p.failures.Peek(key); !left.Allowed {
		principal, err := x.route.Auth.Remembered(x)
		if principal == nil && err == nil {
			err = p.failedTooOften(x, left)
		}
		return principal, err
	}
	principal, err := x.route.Auth.Authenticate(x.ctx, x)
	if isGuess(err) && !x.explaining {
		p.failures.Allow(key)
	}
	return principal, err
}

// isGuess reports whether err says that a credential was judged and is wrong. A
// request without one, or with several, tells its sender nothing.
func isGuess(err error) bool {
	return errors.Is(err, auth.ErrInvalidToken) || errors.Is(err, auth.ErrMalformed)
}

// labelFailures is the limit's kind in metrics and log lines.
const labelFailures = "auth_failures"

func (p *Proxy) failedTooOften(x *exchange, left ratelimit.Decision) error {
	if !x.explaining {
		p.metrics.limited.WithLabelValues(x.route.Name, labelFailures).Inc()
	}
	return &refusal{status: http.StatusTooManyRequests, kind: "rate-limited", reason: labelFailures,
		detail: "too many failed authentications", header: []field{{"Retry-After", left.RetryAfterHeader()}}}
}
