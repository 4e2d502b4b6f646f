package secrets

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/hashicorp/vault/api"
)

// vaultToken is one token. It is never changed, only replaced.
type vaultToken struct {
	client    *api.Client
	proof     Secret // what it was given for
	since     time.Time
	life      time.Duration // zero: no end
	full      time.Duration // the life it had at the login: a renewed one that is much shorter nears its last end
	renewable bool
	login     time.Time
}

// over reports whether the token has died of age.
func (s *vaultToken) over(now time.Time) bool {
	return s.life > 0 && now.Sub(s.since) >= s.life
}

// due is when the token is to be renewed; the zero Time: never.
func (s *vaultToken) due() time.Time {
	if s.life == 0 {
		return time.Time{}
	}
	return s.since.Add(s.life * 2 / 3)
}

// vaultFailure is a login that failed, and is not tried again before next
// unless it has something else to show.
type vaultFailure struct {
	err   error
	proof Secret
	times int
	next  time.Time
}

// afterDeath bounds how often tokens are taken for dead.
const afterDeath = 2 * time.Second

// with has do done with a token. A token that Vault no longer knows is replaced
// and do done once more. Errors have their kind; path is the API's.
func (v *Vault) with(ctx context.Context, capability, path string, do func(*api.Client) error) error {
	s, err := v.token(ctx)
	if err != nil {
		return err
	}
	if err = do(s.client); vaultStatus(err) != http.StatusForbidden {
		return explainState(ctx, s.client, err)
	}
	next, err := v.instead(ctx, s, path)
	if err != nil {
		return err
	}
	if next != nil {
		err = do(next.client)
		denied := vaultStatus(err) == http.StatusForbidden
		v.learn(path, denied)
		if !denied {
			return explainState(ctx, next.client, err)
		}
	}
	return fmt.Errorf("%w: no policy of the token allows it (403): give one the capability %s on path %q", ErrDenied, capability, path)
}

// instead returns the token to go on with after Vault denied path to s, or
// nil if the token is not to blame. One that can look itself up is alive, and a
// new one would be denied the same, so no login is spent on it. Whether one that
// cannot is dead, or only has no right to, a login tells: unless the last did.
func (v *Vault) instead(ctx context.Context, s *vaultToken, path string) (*vaultToken, error) {
	_, err := s.client.Auth().Token().LookupSelfWithContext(ctx)
	if err == nil {
		return nil, nil
	}
	if vaultStatus(err) != http.StatusForbidden {
		return nil, explainVault(ctx, err)
	}
	v.mu.Lock()
	known, recent := v.denied[path], v.current == s && v.now().Sub(s.login) < afterDeath
	v.mu.Unlock()
	switch {
	case v.ownToken() && !v.moved(s):
		return nil, fmt.Errorf("%w: the token has expired or was revoked, or no policy allows path %q (403): put a new one in VAULT_TOKEN or token_file", ErrDenied, path)
	case v.ownToken():
	case known:
		return nil, nil
	case recent:
		return nil, fmt.Errorf("%w: Vault does not know the token it gave a moment ago (403)", ErrUnavailable)
	}
	return v.logIn(ctx, s)
}

// ownToken reports whether the operator gave the token, so that no login can
// replace it.
func (v *Vault) ownToken() bool {
	_, own := v.method.(*tokenLogin)
	return own
}

// learn takes note of what a token fresh from its login is denied.
func (v *Vault) learn(path string, denied bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if denied {
		v.denied[path] = true
	} else {
		delete(v.denied, path)
	}
}

// token returns the token to use, after a login if there is none that lives, or
// if there is another token now.
func (v *Vault) token(ctx context.Context) (*vaultToken, error) {
	v.mu.Lock()
	s := v.current
	v.mu.Unlock()
	alive := s != nil && !s.over(v.now())
	if alive && !v.moved(s) {
		return s, nil
	}
	next, err := v.logIn(ctx, s)
	if err != nil && alive {
		return s, nil
	}
	return next, err
}

// moved reports whether there is another token now than that of s. A file that
// cannot be read changes nothing.
func (v *Vault) moved(s *vaultToken) bool {
	if !v.ownToken() {
		return false
	}
	proof, err := v.method.proof()
	return err == nil && !proof.Equal(s.proof)
}

// logIn returns a token other than old, or joins the login that goes on. When
// ctx ends it leaves, and the login goes on for the others.
func (v *Vault) logIn(ctx context.Context, old *vaultToken) (*vaultToken, error) {
	for {
		flight := v.logins.DoChan("", func() (any, error) {
			v.mu.Lock()
			s := v.current
			v.mu.Unlock()
			if s != old && !s.over(v.now()) { // somebody was faster
				return s, nil
			}
			return v.logInOnce(context.WithoutCancel(ctx))
		})
		select {
		case landed := <-flight:
			if landed.Err != nil {
				return nil, landed.Err
			}
			if s := landed.Val.(*vaultToken); s != old { // else a renewal was joined
				return s, nil
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("log in by %s: %w", v.method.name(), explainVault(ctx, ctx.Err()))
		}
	}
}

func (v *Vault) logInOnce(ctx context.Context) (*vaultToken, error) {
	ctx, cancel := context.WithTimeout(ctx, vaultTimeout)
	defer cancel()
	started := v.now()
	proof, err := v.method.proof()
	if err != nil {
		return nil, v.failed(proof, err)
	}
	v.mu.Lock()
	failure := v.failure
	v.mu.Unlock()
	if failure.err != nil && failure.proof.Equal(proof) && started.Before(failure.next) {
		return nil, failure.err
	}
	c, err := v.client("")
	if err != nil {
		return nil, v.failed(proof, err)
	}
	grant, err := v.method.logIn(ctx, c, proof)
	if err != nil {
		return nil, v.failed(proof, explainState(ctx, c, err))
	}
	s := &vaultToken{proof: proof, since: started, login: started, life: grant.life, full: grant.life, renewable: grant.renewable}
	if s.client, err = v.client(grant.token.Reveal()); err != nil {
		return nil, v.failed(proof, err)
	}
	v.mu.Lock()
	v.failure = vaultFailure{}
	v.mu.Unlock()
	v.adopt(s)
	v.tellLogin(s, grant.unsure)
	return s, nil
}

// adopt makes s the token to use, and has Run see to it.
func (v *Vault) adopt(s *vaultToken) {
	v.mu.Lock()
	v.current = s
	v.mu.Unlock()
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

func (v *Vault) tellLogin(s *vaultToken, unsure bool) {
	log := v.log.With("method", v.method.name(), "lifetime", s.life.String(), "renewable", s.renewable)
	switch {
	case unsure:
		log.Warn("Vault does not tell about its token, which is dead or has not the policy default: it is used as it is, and not renewed")
	case v.ownToken() && s.life > 0 && !s.renewable:
		log.Warn("token for Vault will expire and cannot be renewed: put another in its place by then")
	default:
		log.Info("logged in to Vault")
	}
}

// failed takes note of a login that failed, and says when the next may be: soon
// after an outage, later each time after a refusal, and more so if Vault counts
// those: it locks a role for everybody after five in a quarter of an hour.
func (v *Vault) failed(proof Secret, err error) error {
	err = fmt.Errorf("log in by %s: %w", v.method.name(), err)
	v.mu.Lock()
	defer v.mu.Unlock()
	if Reason(err) != Reason(v.failure.err) || !v.failure.proof.Equal(proof) {
		v.failure.times = 0
		v.log.Warn("no login to Vault", "method", v.method.name(), "reason", Reason(err), "error", err)
	}
	v.failure.times++
	pause := firstRetry / 2
	var counted *vaultRefusal
	switch {
	case errors.As(err, &counted):
		pause = min(10*time.Second<<(3*min(v.failure.times-1, 3)), 10*time.Minute) // 10 s, 80 s, 10 m
	case !isOutage(err):
		pause = min(5*time.Second<<min(v.failure.times-1, 5), time.Minute)
	}
	v.failure.err, v.failure.proof, v.failure.next = err, proof, v.now().Add(pause)
	return err
}
