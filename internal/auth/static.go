package auth

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/sallyport/sallyport/internal/secrets"
	"github.com/sallyport/sallyport/internal/token"
)

// StaticKey is a key of an issuer in the secret store: HMAC bytes, PEM, a JWK or
// a JWKS (see [token.ParseKeys]).
type StaticKey struct {
	ID        string // kid; empty: that of a JWK or JWKS, or none, which fits any token
	Algorithm string // empty: see IssuerOptions.Algorithms
	Value     *secrets.Value
}

// StaticKeys returns the keys of these entries as a source, which follows the
// rotation of each. Two entries of one kid are an error.
func StaticKeys(entries []StaticKey) (KeySource, error) {
	for n, entry := range entries {
		switch {
		case entry.Value == nil:
			return nil, fmt.Errorf("keys[%d] has no key", n)
		case entry.Algorithm != "" && !token.KnownAlgorithm(entry.Algorithm):
			return nil, fmt.Errorf("keys[%d]: algorithm %.16q is not known, or never safe", n, entry.Algorithm)
		case entry.ID != "" && slices.ContainsFunc(entries[:n], func(e StaticKey) bool { return e.ID == entry.ID }):
			return nil, fmt.Errorf("keys[%d]: the kid %.40q is another entry's too", n, entry.ID)
		}
	}
	return &staticKeys{entries: entries, log: slog.New(slog.DiscardHandler)}, nil
}

type staticKeys struct {
	entries []StaticKey
	accept  []string // the algorithms of the issuer, if it lists some
	log     *slog.Logger

	once    sync.Once
	derived []*secrets.Derived[[]token.Key] // by entry
}

// accepting returns the same keys for an issuer that lists these algorithms. A
// key that can be had already and does not parse is an error.
func (s *staticKeys) accepting(algorithms []string, log *slog.Logger) (*staticKeys, error) {
	s = &staticKeys{entries: s.entries, accept: algorithms, log: log}
	var all error
	for n, entry := range s.entries {
		if secret, err := entry.Value.Get(); err == nil {
			if _, _, err := token.ParseKeys([]byte(secret.Reveal()), s.options(entry)); err != nil {
				all = errors.Join(all, fmt.Errorf("keys[%d]: %w", n, err))
			}
		}
	}
	return s, all
}

func (s *staticKeys) options(entry StaticKey) token.KeyOptions {
	return token.KeyOptions{ID: entry.ID, Algorithm: entry.Algorithm, Accept: s.accept}
}

// servesAny reports whether a key may be for one of the algorithms, as far as
// the entries tell.
func (s *staticKeys) servesAny(algorithms []string) bool {
	return slices.ContainsFunc(s.entries, func(entry StaticKey) bool {
		return entry.Algorithm == "" || len(algorithms) == 0 || slices.Contains(algorithms, entry.Algorithm)
	})
}

// live returns the parsed keys of each entry.
func (s *staticKeys) live() []*secrets.Derived[[]token.Key] {
	s.once.Do(func() {
		for _, entry := range s.entries {
			s.derived = append(s.derived, secrets.Derive(entry.Value, func(secret secrets.Secret) ([]token.Key, error) {
				keys, skipped, err := token.ParseKeys([]byte(secret.Reveal()), s.options(entry))
				if err == nil {
					warnSkipped(s.log.With("secret", entry.Value.Name()), skipped)
				}
				return keys, err
			}))
		}
	})
	return s.derived
}

func warnSkipped(log *slog.Logger, skipped []token.Skipped) {
	for _, s := range skipped {
		log.Warn("key of a key set is not used", "kid", s.ID, "reason", s.Reason)
	}
}

// Lookup implements [KeySource].
func (s *staticKeys) Lookup(kid, alg string) (found []token.Key, unavailable error) {
	for n, live := range s.live() {
		entry := s.entries[n]
		if entry.ID != "" && kid != "" && entry.ID != kid || kid == "" && entry.Algorithm != "" && entry.Algorithm != alg {
			continue // whatever its value is now, the wanted key is not in it
		}
		keys, err := live.Get()
		if err != nil {
			unavailable = fmt.Errorf("%w: %w", ErrUnavailable, err)
			continue
		}
		for _, key := range keys {
			if isCandidate(key, kid, alg) {
				found = append(found, key)
			}
		}
	}
	return found, unavailable
}

// generation implements numbered.
func (s *staticKeys) generation() (n uint64, whole bool) {
	live := s.live()
	for i, entry := range s.entries {
		n += entry.Value.Version()
		if _, err := live[i].Get(); err != nil {
			return 0, false
		}
	}
	return n, true
}

// isCandidate is the rule of [KeySource].
func isCandidate(key token.Key, kid, alg string) bool {
	if kid != "" && key.ID == kid {
		return true
	}
	return (kid == "" || key.ID == "") && key.Fits(alg)
}

// StaticStatus counts the issuer's keys from the secret backend: those that can
// be used, and those that are not there or are no keys.
func (i *Issuer) StaticStatus() (usable, failing int) {
	for _, source := range i.keys {
		static, ok := source.(*staticKeys)
		if !ok {
			continue
		}
		for _, live := range static.live() {
			if _, err := live.Get(); err != nil {
				failing++
			} else {
				usable++
			}
		}
	}
	return usable, failing
}
