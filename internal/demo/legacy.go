package demo

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"time"
)

// LegacyOptions say which credentials the legacy API takes. An area whose
// credential is not set is not there; without any, there is no API.
type LegacyOptions struct {
	StaticKey string // for /orders, in KeyHeader
	KeyHeader string // empty means X-Legacy-Key

	JWKSURL       string // for /crm: bearer tokens that the keys there sign,
	TokenIssuer   string // with this iss
	TokenAudience string // and this aud
	Client        *http.Client
	Now           func() time.Time // nil means time.Now

	BasicUser     string // for /reports
	BasicPassword string
}

// An area is a part of the legacy API with a credential of its own.
type area struct {
	path      string
	name      string // of its credential, as answers show it
	header    string // where that is expected
	challenge string
	check     func(r *http.Request, sent string) (secret string, err error)
}

// legacy is the API that cannot be changed.
type legacy struct {
	areas   []area
	revoked revocation
}

var (
	errRefused     = errors.New("not the credential this path wants")
	errUnavailable = errors.New("credentials cannot be checked now")
)

// NewLegacy returns the legacy API: /orders wants a key in a header of its own,
// /crm a bearer token of its own issuer, /reports HTTP Basic. Everything else
// is refused with 401, also what a gateway takes from its callers. The answers
// tell what arrived, so that one can see what a gateway did; /healthz is open. A
// POST to /revoke has /crm refuse, from then on, the token it is sent next.
func NewLegacy(o LegacyOptions) (http.Handler, error) {
	l := &legacy{}
	if o.StaticKey != "" {
		header := textproto.CanonicalMIMEHeaderKey(cmp.Or(o.KeyHeader, "X-Legacy-Key"))
		if fold(header) != strings.ToLower(header) {
			return nil, fmt.Errorf("demo: header name %q: letters, digits and - only", header)
		}
		l.areas = append(l.areas, area{"/orders", header, header, `ApiKey realm="orders"`, checkKey(o.StaticKey)})
	}
	if o.JWKSURL != "" {
		if o.TokenIssuer == "" || o.TokenAudience == "" {
			return nil, errors.New("demo: a legacy API with a JWKS URL needs the tokens' issuer and audience too")
		}
		keys := newRemoteKeys(o)
		l.areas = append(l.areas, area{"/crm", "Bearer token", "Authorization", `Bearer realm="crm"`, checkBearer(keys, &l.revoked)})
	}
	if o.BasicUser != "" || o.BasicPassword != "" {
		if o.BasicUser == "" || o.BasicPassword == "" {
			return nil, errors.New("demo: HTTP Basic needs a user and a password")
		}
		l.areas = append(l.areas, area{"/reports", "HTTP Basic", "Authorization", `Basic realm="reports"`, checkBasic(o.BasicUser, o.BasicPassword)})
	}
	if len(l.areas) == 0 {
		return nil, errors.New("demo: a legacy API needs at least one credential")
	}
	return l, nil
}

// ServeHTTP uses no router, for one would clean paths, and the answer must show
// the path as it arrived.
func (l *legacy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/healthz" {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
		return
	}
	if r.URL.Path == "/revoke" && r.Method == http.MethodPost {
		l.revoked.ask()
		w.WriteHeader(http.StatusNoContent)
		return
	}
	for _, a := range l.areas {
		if r.URL.Path == a.path || strings.HasPrefix(r.URL.Path, a.path+"/") {
			a.serve(w, r)
			return
		}
	}
	writeJSON(w, http.StatusNotFound, map[string]string{"error": "not_found", "detail": "nothing is here"})
}

func (a area) serve(w http.ResponseWriter, r *http.Request) {
	sent := r.Header[a.header]
	secret, err := "", errRefused
	if len(sent) == 1 { // of two, which one counted would be a guess
		secret, err = a.check(r, sent[0])
	}
	switch {
	case errors.Is(err, errUnavailable):
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"error": "unavailable", "detail": errUnavailable.Error()})
	case err != nil:
		w.Header().Set("WWW-Authenticate", a.challenge)
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "unauthorized", "detail": a.path + " wants its own " + a.name})
	case r.URL.Path == "/orders/stream":
		stream(w, r)
	default:
		writeJSON(w, http.StatusOK, a.report(r, secret))
	}
}

// A report is what the legacy API saw of a request that it took.
type report struct {
	Path                 string            `json:"path"`
	Method               string            `json:"method"`
	Credential           shown             `json:"credential"`
	CallerCredentialSeen bool              `json:"caller_credential_seen"`
	Headers              map[string]string `json:"headers"`
	Orders               []order           `json:"orders"`
}

// shown is as much of a credential as may be shown.
type shown struct {
	Name  string `json:"name"`
	Last4 string `json:"last4"`
}

type order struct {
	ID       int    `json:"id"`
	Item     string `json:"item"`
	Quantity int    `json:"quantity"`
}

func orders() []order { return []order{{1, "anvil", 2}, {2, "rope, 10 m", 1}, {3, "birdseed", 12}} }

func (a area) report(r *http.Request, secret string) report {
	// A gateway that puts the credential in the wrong place shall not find it in an answer either.
	hide := func(s string) string { return strings.ReplaceAll(s, secret, "[redacted]") }
	seen := map[string]string{}
	for _, name := range []string{"X-User", "X-Forwarded-For", "X-Request-Id"} {
		if values := r.Header[name]; len(values) > 0 {
			seen[name] = hide(strings.Join(values, ", "))
		}
	}
	return report{
		Path: hide(r.URL.EscapedPath()), Method: r.Method, Credential: shown{a.name, last4(secret)},
		CallerCredentialSeen: callerCredentialSeen(r, a.header), Headers: seen, Orders: orders(),
	}
}

// last4 shows nothing of a secret so short that four characters were much of it.
func last4(secret string) string {
	if len(secret) < 12 {
		return ""
	}
	return secret[len(secret)-4:]
}

// callerCredentialSeen tells whether, besides the credential in the header
// expected, anything arrived that looks as if a gateway's caller had sent it:
// by its name, spelled in any way a framework might fold (X_API_Key), or by
// its value.
func callerCredentialSeen(r *http.Request, expected string) bool {
	for name, values := range r.Header {
		switch folded := fold(name); {
		case name == expected: // exactly one, it was checked
		case folded == fold(expected) || slices.Contains(credentialNames(), folded) || slices.ContainsFunc(values, looksLikeCredential):
			return true
		}
	}
	for name, values := range r.URL.Query() {
		if slices.Contains(credentialNames(), fold(name)) || slices.ContainsFunc(values, looksLikeCredential) {
			return true
		}
	}
	return false
}

func credentialNames() []string {
	return []string{
		"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "apikey",
		"x-auth-token", "x-access-token", "access-token", "id-token", "token", "jwt", "x-forwarded-access-token",
	}
}

// fold spells a name as the loosest of upstreams would read it.
func fold(name string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			return c
		}
		return '-'
	}, strings.ToLower(name))
}

// looksLikeCredential knows authentication schemes and JWTs: `{"` starts with eyJ in base64.
func looksLikeCredential(v string) bool {
	scheme, _, found := strings.Cut(strings.ToLower(v), " ")
	return found && (scheme == "bearer" || scheme == "basic") || strings.HasPrefix(v, "eyJ") && strings.Count(v, ".") >= 2
}

func checkKey(key string) func(*http.Request, string) (string, error) {
	return func(_ *http.Request, sent string) (string, error) {
		if !sameSecret(sent, key) {
			return "", errRefused
		}
		return sent, nil
	}
}

func checkBasic(user, password string) func(*http.Request, string) (string, error) {
	return func(r *http.Request, _ string) (string, error) {
		u, p, ok := r.BasicAuth()
		sameUser, samePassword := sameSecret(u, user), sameSecret(p, password) // both, always
		if !ok || !sameUser || !samePassword {
			return "", errRefused
		}
		return p, nil
	}
}

func checkBearer(keys *remoteKeys, revoked *revocation) func(*http.Request, string) (string, error) {
	return func(r *http.Request, sent string) (string, error) {
		scheme, raw, _ := strings.Cut(sent, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return "", errRefused
		}
		if err := keys.verify(r.Context(), raw); err != nil {
			return "", err
		}
		if revoked.holds(raw) {
			return "", errRefused
		}
		return raw, nil
	}
}

// stream sends five server-sent events, each as soon as it is due.
func stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	rc := http.NewResponseController(w)
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for n := range 5 {
		if n > 0 {
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
		}
		o := orders()[n%len(orders())]
		if _, err := fmt.Fprintf(w, "id: %d\nevent: order\ndata: {\"id\":%d,\"item\":%q}\n\n", n+1, o.ID, o.Item); err != nil {
			return // the caller is gone
		}
		if err := rc.Flush(); err != nil {
			return
		}
	}
}
