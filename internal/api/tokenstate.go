package api

import (
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/token"
)

// maxRevoked bounds the tokens that are revoked and have not expired.
const maxRevoked = 100_000

// Revocations are the tokens that were revoked, by jti, until they expire. They
// are of this process: another replica does not know of them.
type Revocations struct {
	most int

	mu     sync.Mutex
	until  map[string]time.Time
	pruned time.Time
}

// NewRevocations returns an empty list of at most so many, or 100 000 if most is
// not positive.
func NewRevocations(most int) *Revocations {
	if most <= 0 {
		most = maxRevoked
	}
	return &Revocations{most: most, until: make(map[string]time.Time)}
}

// errFull says that no token can be revoked: forgetting another one would make
// that one valid again.
var errFull = errors.New("too many tokens are revoked")

// add revokes a token until it expires.
func (v *Revocations) add(id string, expires, now time.Time) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.until) >= v.most && now.Sub(v.pruned) >= time.Second {
		v.pruned = now
		for known, until := range v.until {
			if !now.Before(until) {
				delete(v.until, known)
			}
		}
	}
	if _, known := v.until[id]; !known && len(v.until) >= v.most {
		return errFull
	}
	v.until[id] = expires
	return nil
}

// Has reports whether the token of that jti was revoked.
func (v *Revocations) Has(id string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, revoked := v.until[id]
	return revoked
}

// own returns a token of this service that is valid now, nil if it is none, or a
// refusal if that cannot be told.
func (s *TokenService) own(f form) (*token.Parsed, *oauthRefusal) {
	raw := f.one("token")
	if raw == "" {
		return nil, invalidRequest("token is missing")
	}
	keys, err := s.keys.Get()
	if err != nil {
		return nil, unavailable(err)
	}
	p, err := token.Judge{Issuer: s.issuer, Keys: keys.verifiers}.Verify(raw, s.now())
	if err != nil {
		return nil, nil
	}
	if id := textClaim(p, "jti"); id == "" || s.revoked.Has(id) {
		return nil, nil
	}
	return p, nil
}

func textClaim(p *token.Parsed, name string) string {
	text, _ := p.Claims.All[name].(string)
	return text
}

// introspect tells a client of a token (RFC 7662). Of one that is not valid, or
// not of this service, it tells that alone.
func (s *TokenService) introspect(w http.ResponseWriter, r *http.Request, from TokenCaller) {
	f, c, refused := s.authenticate(w, r, from)
	var p *token.Parsed
	if refused == nil {
		p, refused = s.own(f)
	}
	switch {
	case refused != nil:
		s.refuse(w, r, c, refused, from)
	case p == nil:
		writeAnswer(w, http.StatusOK, map[string]any{"active": false})
	default:
		answer := make(map[string]any, len(p.Claims.All)+2)
		for name, value := range p.Claims.All {
			answer[name] = value
		}
		answer["active"], answer["token_type"] = true, "Bearer"
		writeAnswer(w, http.StatusOK, answer)
	}
}

// revoke ends a token before its time (RFC 7009). Only the client it was given to
// may; a token that is not valid any more is no error.
func (s *TokenService) revoke(w http.ResponseWriter, r *http.Request, from TokenCaller) {
	f, c, refused := s.authenticate(w, r, from)
	var p *token.Parsed
	if refused == nil {
		p, refused = s.own(f)
	}
	if refused == nil && p != nil {
		refused = s.end(r, p, c, from)
	}
	if refused != nil {
		s.refuse(w, r, c, refused, from)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
}

func (s *TokenService) end(r *http.Request, p *token.Parsed, c *client, from TokenCaller) *oauthRefusal {
	if textClaim(p, "client_id") != c.ID {
		return &oauthRefusal{status: http.StatusBadRequest, code: "unauthorized_client", description: "the token was given to another client"}
	}
	if err := s.audit(r.Context(), TokenEvent{Action: "revoke", Client: c.ID, Path: r.URL.Path, From: from}); err != nil {
		return unavailable(err)
	}
	id := textClaim(p, "jti")
	if err := s.revoked.add(id, p.Claims.Expiry, s.now()); err != nil {
		return unavailable(err)
	}
	s.log.Info("token revoked", "client", c.ID, "jti", id, "request_id", from.RequestID)
	return nil
}
