package auth

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/sallyport/sallyport/internal/crypto"
	"github.com/sallyport/sallyport/internal/secrets"
)

// APIKeysOptions are what a list of API keys is made of.
type APIKeysOptions struct {
	Name    string // in the configuration
	Header  string // the keys come in; empty: X-API-Key
	Keys    *secrets.Value
	Workers *crypto.Workers // for records with a password hash; nil: a pool of its own
	Now     func() time.Time
}

// APIKeys is the Kind of the API keys of one list in the secret backend, which
// it follows. A key is found by its SHA-256; where its record has a password
// hash by its first 16 characters, and then it is verified once and remembered.
// A key that is in no record costs no slow hash.
type APIKeys struct {
	name string
	all  []Place
	list *secrets.Derived[*apiKeyList]
	slow *slowKeys
	now  func() time.Time
}

// NewAPIKeys returns the Kind. A list that can be had already and is not good is
// an error; see [APIKeys.Check].
func NewAPIKeys(o APIKeysOptions) (*APIKeys, error) {
	if o.Keys == nil {
		return nil, fmt.Errorf("api_keys %s has no keys", o.Name)
	}
	a := &APIKeys{
		name: o.Name,
		all:  []Place{{InHeader, http.CanonicalHeaderKey(cmp.Or(o.Header, "X-API-Key"))}},
		slow: newSlowKeys(o.Workers), now: o.Now,
	}
	if a.now == nil {
		a.now = time.Now
	}
	if secret, err := o.Keys.Get(); err == nil {
		if err := a.Check(secret); err != nil {
			return nil, fmt.Errorf("api_keys %s: %w", o.Name, err)
		}
	}
	a.list = secrets.Derive(o.Keys, func(s secrets.Secret) (*apiKeyList, error) { return parseAPIKeys([]byte(s.Reveal())) })
	return a, nil
}

// Check returns what is wrong with a list of keys, as it stands in the secret
// backend. Its text holds nothing of the list.
func (a *APIKeys) Check(list secrets.Secret) error {
	_, err := parseAPIKeys([]byte(list.Reveal()))
	return err
}

// Status returns how many keys there are, or why none can be had.
func (a *APIKeys) Status() (keys int, err error) {
	list, err := a.list.Get()
	if err != nil {
		return 0, err
	}
	keys = len(list.byDigest)
	for _, same := range list.byPrefix {
		keys += len(same)
	}
	return keys, nil
}

// Header is the header field the keys come in.
func (a *APIKeys) Header() string { return a.all[0].Name }

func (a *APIKeys) places() []Place { return a.all }

func (a *APIKeys) scheme() string { return "ApiKey" }

// authenticate waits for nothing but the turn of a slow hash, and never twice for
// one key.
func (a *APIKeys) authenticate(ctx context.Context, c credential) (*Principal, error) {
	if !isAPIKey(c.value) {
		return nil, ErrMalformed
	}
	list, err := a.list.Get()
	if err != nil {
		return nil, fmt.Errorf("api_keys %s: %w: %w", a.name, ErrUnavailable, err)
	}
	k, err := a.find(list, c.value)
	if err != nil {
		return nil, fmt.Errorf("api_keys %s: %w: %w", a.name, ErrUnavailable, err)
	}
	if k == nil {
		return nil, refuse(reasonUnknownKey, "api_keys %s has no such key", a.name)
	}
	principal, err := a.principal(k)
	if err == nil && !explaining(ctx) {
		k.accepted.Store(true)
	}
	return principal, err
}

// isAPIKey says what may be a key at all, before anything is computed of it.
func isAPIKey(s string) bool { return s != "" && len(s) <= maxAPIKey && isVisible(s) }

// find returns the record of a key, or nil; an error where that cannot be told
// now.
func (a *APIKeys) find(list *apiKeyList, key string) (*apiKey, error) {
	if k := list.exact(key); k != nil {
		return k, nil
	}
	var unsure error
	for _, k := range list.candidates(key) {
		is, err := a.slow.matches(k.slow, key)
		if is {
			return k, nil
		}
		if err != nil {
			unsure = err
		}
	}
	return nil, unsure
}

// principal is the caller that a key stands for, if it still does.
func (a *APIKeys) principal(k *apiKey) (*Principal, error) {
	switch r := k.record; {
	case r.Disabled:
		return nil, refuse(reasonDisabled, "key %s of api_keys %s is disabled", r.ID, a.name)
	case r.Expires != nil && !a.now().Before(*r.Expires):
		return nil, refuse(reasonExpired, "key %s of api_keys %s has expired", r.ID, a.name)
	}
	p := &Principal{Subject: k.subject, Issuer: a.name, KeyID: k.record.ID, Scopes: k.scopes, Claims: k.claims}
	if k.record.Expires != nil {
		p.Expires = *k.record.Expires
	}
	return p, nil
}

// remembered knows the keys again that have been accepted since the list was
// read.
func (a *APIKeys) remembered(c credential) *Principal {
	list, err := a.list.Get()
	if err != nil || !isAPIKey(c.value) {
		return nil
	}
	k := list.exact(c.value)
	for _, candidate := range list.candidates(c.value) {
		if k == nil && a.slow.known(candidate.slow, c.value) {
			k = candidate
		}
	}
	if k == nil || !k.accepted.Load() {
		return nil
	}
	principal, err := a.principal(k)
	if err != nil {
		return nil
	}
	return principal
}
