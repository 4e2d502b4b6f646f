package demo

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/token"
)

// How long fetched keys serve, how soon after a fetch another one may follow
// (for a key that is not among them, or after a failure), how long a fetch may
// take, and how many bytes a set may have.
const (
	keysServe    = 5 * time.Minute
	keysCooldown = time.Second
	fetchTimeout = 5 * time.Second
	maxJWKS      = 1 << 20
)

// remoteKeys verify tokens against a key set at a URL, which is fetched when
// the first token asks for it. It is simpler than the gateway's own key sets,
// and on purpose shares nothing with them: it plays somebody else's server.
type remoteKeys struct {
	url, issuer, audience string
	client                *http.Client
	now                   func() time.Time

	mu      sync.Mutex // held while fetching: one fetch serves all who wait
	keys    []token.Key
	fetched time.Time // zero while there are no keys
	tried   time.Time
}

func newRemoteKeys(o LegacyOptions) *remoteKeys {
	k := &remoteKeys{
		url: o.JWKSURL, issuer: o.TokenIssuer, audience: o.TokenAudience, now: o.Now,
		client: cmp.Or(o.Client, http.DefaultClient), // fetch bounds the time
	}
	if k.now == nil {
		k.now = time.Now
	}
	return k
}

// verify refuses with errRefused what is wrong with the token, and with
// errUnavailable what it cannot decide for want of keys.
func (k *remoteKeys) verify(ctx context.Context, raw string) error {
	p, err := token.Parse(raw)
	if err != nil {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	now, c := k.now(), p.Claims
	if c.Issuer != k.issuer || !slices.Contains(c.Audience, k.audience) ||
		!now.Before(c.Expiry) || now.Before(c.NotBefore) { // no exp: the zero time, long past
		return fmt.Errorf("%w: claims", errRefused)
	}
	keys, err := k.find(ctx, p.Header.KeyID)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if p.Verify(key) == nil {
			return nil
		}
	}
	return fmt.Errorf("%w: signature", errRefused)
}

// find returns the keys with that id, fetching the set where it is old or has none.
func (k *remoteKeys) find(ctx context.Context, kid string) ([]token.Key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	found := k.withID(kid)
	stale := k.fetched.IsZero() || now.Sub(k.fetched) >= keysServe
	if (stale || len(found) == 0) && now.Sub(k.tried) >= keysCooldown {
		k.tried = now
		keys, err := k.fetch(ctx)
		if err == nil {
			k.keys, k.fetched, stale = keys, now, false
			found = k.withID(kid)
		}
	}
	if stale {
		return nil, errUnavailable
	}
	return found, nil
}

func (k *remoteKeys) withID(kid string) []token.Key {
	var found []token.Key
	for _, key := range k.keys {
		if key.ID == kid {
			found = append(found, key)
		}
	}
	return found
}

// fetch goes on when the caller that caused it is gone, for others wait for it.
func (k *remoteKeys) fetch(ctx context.Context) ([]token.Key, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return nil, err
	}
	res, err := k.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", res.StatusCode)
	}
	doc, err := io.ReadAll(io.LimitReader(res.Body, maxJWKS))
	if err != nil {
		return nil, err
	}
	keys, _, err := token.ParseJWKS(doc)
	return keys, err
}
