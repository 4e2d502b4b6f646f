package api

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/sallyport/sallyport/internal/crypto"
	"github.com/sallyport/sallyport/internal/secrets"
)

// Bounds of the list of clients.
const (
	maxClients   = 10_000
	maxWord      = 256  // bytes of an id, a scope, an audience
	maxSecret    = 1024 // bytes; a password hash takes no more either
	rememberedOf = 1000 // secrets that fit a slow hash
)

// client is one who may ask for tokens, as it is stored.
type client struct {
	ID       string   `json:"id"`
	Hash     string   `json:"hash"` // sha256:HEX of its secret, or a password hash
	Scopes   []string `json:"scopes"`
	Audience []string `json:"audience"`

	digest [sha256.Size]byte
	slow   *crypto.PasswordHash // nil: digest is it
}

// clientList knows the clients of a list in the secret backend, which it follows.
type clientList struct {
	list    *secrets.Derived[*clients] // nil: there are none
	workers *crypto.Workers
	secret  [sha256.Size]byte                       // of this process
	fits    *lru.Cache[[sha256.Size]byte, struct{}] // hashes and secrets that fit, so that each is computed once
}

type clients struct {
	byID  map[string]*client
	order []*client
}

func newClientList(v *secrets.Value, workers *crypto.Workers) *clientList {
	l := &clientList{workers: workers}
	if l.workers == nil {
		l.workers = crypto.NewWorkers(0)
	}
	_, _ = rand.Read(l.secret[:])                                  // never fails
	l.fits, _ = lru.New[[sha256.Size]byte, struct{}](rememberedOf) // fails for a size below one only
	if v != nil {
		l.list = secrets.Derive(v, parseClients)
	}
	return l
}

// CheckClients returns what is wrong with a list of clients. Its text holds
// nothing of it.
func CheckClients(s secrets.Secret) error {
	_, err := parseClients(s)
	return err
}

// parseClients reads the list. A member that is not known is refused: it may be
// meant to keep somebody out.
func parseClients(s secrets.Secret) (*clients, error) {
	var all []*client
	if err := json.UnmarshalRead(bytes.NewBufferString(s.Reveal()), &all, json.RejectUnknownMembers(true)); err != nil {
		return nil, errors.New("clients are not a JSON list of objects with id, hash, scopes and audience")
	}
	if len(all) > maxClients {
		return nil, fmt.Errorf("there are over %d clients", maxClients)
	}
	known := &clients{byID: make(map[string]*client, len(all)), order: all}
	for i, c := range all {
		if c == nil {
			return nil, fmt.Errorf("client %d is null", i+1)
		}
		if err := c.ready(); err != nil {
			return nil, fmt.Errorf("client %d: %w", i+1, err)
		}
		if known.byID[c.ID] != nil {
			return nil, fmt.Errorf("client %d has the id of one before it", i+1)
		}
		known.byID[c.ID] = c
	}
	return known, nil
}

// ready checks a client. Its errors quote nothing of it.
func (c *client) ready() error {
	word := func(s string) bool { // NQCHAR, as scopes are of (RFC 6749, appendix A.4)
		return s != "" && len(s) <= maxWord && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' })
	}
	switch {
	case c.ID == "" || len(c.ID) > maxWord || strings.ContainsFunc(c.ID, func(r rune) bool { return r < ' ' || r > '~' }):
		return fmt.Errorf("id must have 1 to %d visible ASCII characters or spaces", maxWord)
	case !all(c.Scopes, word):
		return errors.New("scopes must be words without spaces")
	case !all(c.Audience, word):
		return errors.New("audience must be words without spaces")
	}
	digits, plain := strings.CutPrefix(c.Hash, "sha256:")
	if !plain {
		var err error
		if c.slow, err = crypto.ParsePasswordHash(c.Hash); err != nil {
			return errors.New("hash is neither sha256: and 64 hex digits nor a password hash")
		}
		return nil
	}
	digest, err := hex.DecodeString(digits)
	if err != nil || len(digest) != sha256.Size || bytes.Equal(digest, emptyDigest()) {
		return errors.New("hash must be sha256: and 64 hex digits, of a secret that is not empty")
	}
	c.digest = [sha256.Size]byte(digest)
	return nil
}

func emptyDigest() []byte { sum := sha256.Sum256(nil); return sum[:] }

func all(list []string, ok func(string) bool) bool {
	return !slices.ContainsFunc(list, func(s string) bool { return !ok(s) })
}

// authenticate returns the client of that id and secret, nil if there is none.
// For an id that is not known the same work is done as for one that is: which of
// the list's hashes it takes depends on the id alone.
func (l *clientList) authenticate(ctx context.Context, id, secret string) (*client, error) {
	if l.list == nil {
		return nil, nil
	}
	known, err := l.list.Get()
	if err != nil {
		return nil, fmt.Errorf("clients: %w", err)
	}
	c, found := known.byID[id]
	if !found {
		if len(known.order) == 0 {
			return nil, nil
		}
		mac := l.mac("decoy", id)
		c = known.order[binary.BigEndian.Uint64(mac[:])%uint64(len(known.order))]
	}
	fits, err := l.fit(ctx, c, secret)
	if err != nil || !fits || !found {
		return nil, err
	}
	return c, nil
}

// fit tells whether secret is the one that was hashed. The error is a
// [crypto.ErrBusy].
func (l *clientList) fit(ctx context.Context, c *client, secret string) (fits bool, err error) {
	if secret == "" || len(secret) > maxSecret {
		return false, nil
	}
	if c.slow == nil {
		sum := sha256.Sum256([]byte(secret))
		return subtle.ConstantTimeCompare(sum[:], c.digest[:]) == 1, nil
	}
	question := l.mac(c.Hash, secret)
	if l.fits.Contains(question) {
		return true, nil
	}
	if err := l.workers.Do(ctx, func() { fits, err = c.slow.Verify(secret) }); err != nil {
		return false, err
	}
	if err != nil { // a secret that this kind of hash never takes
		return false, nil
	}
	if fits {
		l.fits.Add(question, struct{}{})
	}
	return fits, nil
}

func (l *clientList) mac(parts ...string) (sum [sha256.Size]byte) {
	mac := hmac.New(sha256.New, l.secret[:])
	for _, part := range parts {
		_ = binary.Write(mac, binary.BigEndian, uint64(len(part))) // never fails
		mac.Write([]byte(part))
	}
	mac.Sum(sum[:0])
	return sum
}

// authenticate reads the form and finds the client by HTTP Basic or by the body,
// not by both (RFC 6749, section 2.3). Who has failed too often is not looked at.
func (s *TokenService) authenticate(w http.ResponseWriter, r *http.Request, from TokenCaller) (form, *client, *oauthRefusal) {
	if s.failures != nil && from.Network != "" {
		if left := s.failures.Peek(from.Network); !left.Allowed {
			return nil, nil, &oauthRefusal{status: http.StatusTooManyRequests, code: "temporarily_unavailable", description: "too many failed attempts", retryAfter: left.RetryAfterHeader()}
		}
	}
	f, refused := readForm(w, r)
	if refused != nil {
		return nil, nil, refused
	}
	id, secret, refused := presented(r, f)
	if refused != nil {
		return nil, nil, refused
	}
	c, err := s.clients.authenticate(r.Context(), id, secret)
	switch {
	case errors.Is(err, crypto.ErrBusy):
		return nil, nil, busy()
	case err != nil:
		return nil, nil, unavailable(err)
	case c == nil:
		if s.failures != nil && from.Network != "" {
			s.failures.Allow(from.Network)
		}
		return nil, nil, invalidClient()
	}
	return f, c, nil
}

// presented returns what a client authenticates with. Both are form-encoded
// before Basic (RFC 6749, section 2.3.1).
func presented(r *http.Request, f form) (id, secret string, refused *oauthRefusal) {
	id, secret = f.one("client_id"), f.one("client_secret")
	if f.one("client_assertion") != "" {
		return "", "", invalidRequest("clients authenticate with their secret here")
	}
	if len(r.Header["Authorization"]) == 0 {
		if secret == "" {
			return "", "", invalidClient()
		}
		return id, secret, nil
	}
	user, password, ok := r.BasicAuth()
	name, err1 := url.QueryUnescape(user)
	plain, err2 := url.QueryUnescape(password)
	switch {
	case !ok || err1 != nil || err2 != nil:
		return "", "", invalidClient()
	case secret != "" || id != "" && id != name:
		return "", "", invalidRequest("the client authenticates in two ways")
	}
	return name, plain, nil
}

// scopesFor returns the scopes of a token: those asked for, which must all be the
// client's, or without any all of the client's (RFC 6749, section 3.3).
func (c *client) scopesFor(asked string) ([]string, *oauthRefusal) {
	scopes := chosen(strings.Fields(asked), c.Scopes)
	if scopes == nil {
		return nil, &oauthRefusal{status: http.StatusBadRequest, code: "invalid_scope", description: "a scope asked for is not the client's"}
	}
	return scopes, nil
}

// audienceFor returns for whom a token is, in the same way (RFC 8707, section 2).
func (c *client) audienceFor(asked []string) ([]string, *oauthRefusal) {
	audience := chosen(asked, c.Audience)
	if audience == nil {
		return nil, &oauthRefusal{status: http.StatusBadRequest, code: "invalid_target", description: "an audience asked for is not the client's"}
	}
	return audience, nil
}

// chosen returns what was asked for, each once; all there is if nothing was; nil
// if it may not be had.
func chosen(asked, may []string) []string {
	list := []string{}
	for _, word := range asked {
		if !slices.Contains(may, word) {
			return nil
		}
		if !slices.Contains(list, word) {
			list = append(list, word)
		}
	}
	if len(list) == 0 {
		return append(list, may...)
	}
	return list
}
