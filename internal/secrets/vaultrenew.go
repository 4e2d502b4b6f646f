package secrets

import (
	"context"
	"math/rand/v2"
	"time"
)

// Run keeps the login alive until ctx ends; then it returns nil. It renews by
// itself and not by the library's LifetimeWatcher, which renews once before it
// waits, cannot be bounded in time, and takes a failed renewal for a good one.
func (v *Vault) Run(ctx context.Context) error {
	for {
		wait := v.tend(ctx)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-v.wake:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// tend logs in, or renews what is due, and returns when to look again.
func (v *Vault) tend(ctx context.Context) time.Duration {
	s, err := v.token(ctx)
	if err != nil {
		return v.retry()
	}
	due := s.due()
	switch wait := due.Sub(v.now()); {
	case due.IsZero():
		return time.Minute // also to see another token in the file
	case wait > 0:
		return min(wait, time.Minute)
	}
	renewed, err, _ := v.logins.Do("", func() (any, error) { return v.renew(context.WithoutCancel(ctx), s) })
	if err != nil || renewed == s {
		left := s.since.Add(s.life).Sub(v.now())
		return max(min(left/4, lastRetry), firstRetry/4)
	}
	return 0
}

// retry is how long after a failed login the next is due.
func (v *Vault) retry() time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	spread := time.Duration(rand.Int64N(int64(firstRetry)))
	return max(v.failure.next.Sub(v.now()), firstRetry) + spread
}

// renew returns a token that lives on in place of s: with its token renewed
// or, where that cannot be or gives it little, with another. It returns s where
// only the operator can replace the token.
func (v *Vault) renew(ctx context.Context, s *vaultToken) (*vaultToken, error) {
	v.mu.Lock()
	current := v.current
	v.mu.Unlock()
	switch {
	case current != s:
		return current, nil
	case !s.renewable && v.ownToken():
		return s, nil
	case !s.renewable:
		return v.logInOnce(ctx)
	}
	started := v.now()
	next := *s
	grant, err := v.renewSelf(ctx, s)
	switch {
	case isOutage(err):
		return s, err
	case err != nil && v.ownToken():
		next.renewable = false
	case err != nil:
		return v.logInOnce(ctx)
	default:
		// It never loses its end: near the last one, Vault rounds it down to zero.
		next.since, next.life = started, max(grant.life, time.Nanosecond)
		next.renewable = grant.renewable && (!v.ownToken() || next.life >= s.full*2/3)
		v.log.Debug("renewed the token for Vault", "method", v.method.name(), "lifetime", next.life.String())
	}
	v.adopt(&next)
	if next.life < s.full*2/3 && !v.ownToken() { // it nears the end that no renewal moves
		if fresh, err := v.logInOnce(ctx); err == nil {
			return fresh, nil
		}
	}
	if v.ownToken() && !next.renewable {
		v.tellLogin(&next, false)
	}
	return &next, nil
}

func (v *Vault) renewSelf(ctx context.Context, s *vaultToken) (vaultGrant, error) {
	ctx, cancel := context.WithTimeout(ctx, vaultTimeout)
	defer cancel()
	secret, err := s.client.Auth().Token().RenewSelfWithContext(ctx, 0)
	if err == nil {
		var grant vaultGrant
		if grant, err = grantOf(secret, nil); err == nil {
			return grant, nil
		}
	}
	err = explainVault(ctx, err)
	v.log.Warn("token for Vault was not renewed", "method", v.method.name(), "reason", Reason(err), "error", err)
	return vaultGrant{}, err
}
