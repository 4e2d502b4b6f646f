package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/crypto"
	"github.com/sallyport/sallyport/internal/problem"
	"github.com/sallyport/sallyport/internal/ratelimit"
	"github.com/sallyport/sallyport/internal/secrets"
	"github.com/sallyport/sallyport/internal/telemetry"
	"github.com/sallyport/sallyport/internal/token"
)

// TokenOptions are what a TokenService is made of.
type TokenOptions struct {
	Path        string // without a slash at its end
	Issuer      string // iss of its tokens
	SigningKeys *secrets.Value
	Clients     *secrets.Value // nil: there are none
	Expiry      time.Duration  // of its tokens, whole seconds
	Workers     *crypto.Workers
	Failures    *ratelimit.Limiter                      // of client authentications that fail, by address; nil: no limit
	Revoked     *Revocations                            // nil: of this TokenService alone
	Audit       func(context.Context, TokenEvent) error // asked before a token is handed out or revoked, and told of refusals; nil means none
	Now         func() time.Time
	Log         *slog.Logger
}

// TokenEvent is what the service did or refused, for an audit log.
type TokenEvent struct {
	Action string // issue, revoke or refuse
	Client string // empty: not authenticated
	Path   string
	Status int    // of a refusal
	Reason string // of a refusal: an error code of OAuth
	From   TokenCaller
}

// TokenService is a small issuer (CONTRACT 8): it gives tokens to clients it
// knows, and tells of them to those who ask.
type TokenService struct {
	issuer    string
	endpoints map[string]endpoint // by path
	expiry    time.Duration
	keys      *secrets.Derived[*signingKeys]
	clients   *clientList
	failures  *ratelimit.Limiter
	revoked   *Revocations
	audit     func(context.Context, TokenEvent) error
	metadata  []byte // nil: the issuer is no URL, so there is none
	now       func() time.Time
	log       *slog.Logger
}

// signingKeys are the first key, which signs, and what all of them are for.
type signingKeys struct {
	signer    *token.Signer
	verifiers []token.Key
	published []byte
}

// TokenCaller is where a request came from.
type TokenCaller struct {
	RequestID string
	IP        string
	Network   string // what failures are counted by; empty: they are not
}

// NewTokenService returns the service; it reads no secret before it is asked.
func NewTokenService(o TokenOptions) *TokenService {
	s := &TokenService{
		issuer: o.Issuer, expiry: o.Expiry.Truncate(time.Second), failures: o.Failures, revoked: o.Revoked, audit: o.Audit,
		keys: secrets.Derive(o.SigningKeys, parseSigningKeys), clients: newClientList(o.Clients, o.Workers),
		metadata: metadataOf(o.Issuer, o.Path), now: o.Now, log: o.Log,
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.log = telemetry.Discard(s.log)
	if s.revoked == nil {
		s.revoked = NewRevocations(0)
	}
	if s.audit == nil {
		s.audit = func(context.Context, TokenEvent) error { return nil }
	}
	s.endpoints = s.endpointsAt(o.Path)
	return s
}

// CheckSigningKeys returns what is wrong with keys to sign with. Its text holds
// nothing of them.
func CheckSigningKeys(s secrets.Secret) error {
	_, err := parseSigningKeys(s)
	return err
}

func parseSigningKeys(s secrets.Secret) (*signingKeys, error) {
	signers, err := token.NewSigners([]byte(s.Reveal()))
	if err != nil {
		return nil, err
	}
	keys := &signingKeys{signer: signers[0]}
	for _, signer := range signers {
		if signer.Symmetric() {
			return nil, errors.New("signing keys hold an HMAC key, which cannot be published; use RSA, EC or Ed25519 ones")
		}
		keys.verifiers = append(keys.verifiers, signer.Public())
	}
	keys.published, err = token.PublicJWKS(signers...)
	return keys, err
}

// endpoint is what answers at one path.
type endpoint struct {
	method string
	answer func(http.ResponseWriter, *http.Request, TokenCaller)
}

// endpointsAt are the service's, by path: those below path, and its metadata.
func (s *TokenService) endpointsAt(path string) map[string]endpoint {
	all := map[string]endpoint{
		path + "/token":      {http.MethodPost, s.grant},
		path + "/introspect": {http.MethodPost, s.introspect},
		path + "/revoke":     {http.MethodPost, s.revoke},
		path + "/jwks.json":  {http.MethodGet, s.publish},
	}
	for _, at := range MetadataPaths(s.issuer) {
		all[at] = endpoint{http.MethodGet, s.tellMetadata}
	}
	return all
}

// Serve answers a request for a path below the service's own, or for its
// metadata.
func (s *TokenService) Serve(w http.ResponseWriter, r *http.Request, from TokenCaller) {
	at, found := s.endpoints[r.URL.Path]
	switch {
	case !found:
		tell(w, http.StatusNotFound, "not-found", "nothing is served here", from)
	case r.Method != at.method && (r.Method != http.MethodHead || at.method != http.MethodGet):
		allow := at.method
		if allow == http.MethodGet {
			allow = "GET, HEAD"
		}
		w.Header().Set("Allow", allow)
		tell(w, http.StatusMethodNotAllowed, "method-not-allowed", "the method is not allowed here", from)
	default:
		at.answer(w, r, from)
	}
}

func tell(w http.ResponseWriter, status int, kind, detail string, from TokenCaller) {
	problem.Write(w, problem.Problem{Type: problem.Name(kind), Title: http.StatusText(status), Status: status, Detail: detail, RequestID: from.RequestID})
}

// publish answers with the keys that verify (RFC 7517).
func (s *TokenService) publish(w http.ResponseWriter, _ *http.Request, from TokenCaller) {
	keys, err := s.keys.Get()
	if err != nil {
		s.log.Warn("keys are not published", "error", err)
		w.Header().Set("Retry-After", retryKeys)
		tell(w, http.StatusServiceUnavailable, "unavailable", "the keys cannot be had at the moment", from)
		return
	}
	writeDocument(w, keys.published)
}

// grant gives a token to a client (RFC 6749, section 4.4; RFC 9068).
func (s *TokenService) grant(w http.ResponseWriter, r *http.Request, from TokenCaller) {
	form, client, refused := s.authenticate(w, r, from)
	if refused == nil {
		refused = s.give(w, r, form, client, from)
	}
	s.refuse(w, r, client, refused, from)
}

func (s *TokenService) give(w http.ResponseWriter, r *http.Request, form form, c *client, from TokenCaller) *oauthRefusal {
	switch form.one("grant_type") {
	case "client_credentials":
	case "":
		return invalidRequest("grant_type is missing")
	default:
		return &oauthRefusal{status: http.StatusBadRequest, code: "unsupported_grant_type", description: "only client_credentials is granted"}
	}
	scopes, refused := c.scopesFor(form.one("scope"))
	if refused != nil {
		return refused
	}
	audience, refused := c.audienceFor(append(form["audience"], form["resource"]...))
	if refused != nil {
		return refused
	}
	keys, err := s.keys.Get()
	if err != nil {
		return unavailable(fmt.Errorf("signing keys: %w", err))
	}
	now := s.now().Truncate(time.Second)
	claims := map[string]any{
		"iss": s.issuer, "sub": c.ID, "client_id": c.ID, "jti": rand.Text(), "iat": now.Unix(), "exp": now.Add(s.expiry).Unix(),
	}
	switch len(audience) {
	case 0:
	case 1:
		claims["aud"] = audience[0]
	default:
		claims["aud"] = audience
	}
	answer := map[string]any{"token_type": "Bearer", "expires_in": int64(s.expiry / time.Second)}
	if len(scopes) > 0 {
		claims["scope"] = strings.Join(scopes, " ")
		answer["scope"] = claims["scope"]
	}
	if answer["access_token"], err = keys.signer.Sign(claims, "at+jwt"); err != nil {
		return unavailable(err)
	}
	if err := s.audit(r.Context(), TokenEvent{Action: "issue", Client: c.ID, Path: r.URL.Path, From: from}); err != nil {
		return unavailable(err)
	}
	s.log.Info("token issued", "client", c.ID, "scopes", scopes, "audience", audience, "jti", claims["jti"], "request_id", from.RequestID)
	writeAnswer(w, http.StatusOK, answer)
	return nil
}
