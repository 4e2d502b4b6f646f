package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport/internal/crypto"
)

// Keyring is a keyring that follows its document in the secret backend.
type Keyring interface {
	// Current is the keyring as it was last read; an error says that there is
	// none to use now.
	Current() (*crypto.Keyring, error)
	// Reread reads the document anew, for a ciphertext or MAC of which no known key
	// is its own, and waits for it a little; at most once in a few seconds,
	// whoever asks.
	Reread(ctx context.Context)
	// Rotate writes a document with a fresh primary by check-and-set, and returns
	// its version.
	Rotate(ctx context.Context) (version int, err error)
}

// ErrReadOnly says that a keyring cannot be rotated from here: its backend takes
// no writes.
var ErrReadOnly = errors.New("the secret backend takes no writes")

// ErrConflict says that another has changed a keyring at the same time.
var ErrConflict = errors.New("the keyring was changed by another at the same time")

// PasswordPolicy is what passwords must be to be hashed. The zero value takes
// any.
type PasswordPolicy struct {
	MinLength    int  // characters
	RefuseCommon bool // the commonest ones, by a published list
}

// CryptoOptions are what a Crypto is made of.
type CryptoOptions struct {
	Path     string // where it is mounted, as /crypto/v1
	Keyrings map[string]Keyring
	MaxBody  int64 // bytes
	Workers  *crypto.Workers
	Policy   PasswordPolicy
	Metrics  *Metrics // nil counts nothing

	// Audit records a key operation before it is done; while it fails none is.
	Audit func(ctx context.Context, e Event) error
	Now   func() time.Time // nil means time.Now
}

// Event is a key operation, for the audit log.
type Event struct {
	Operation, Keyring string
	Subject, Issuer    string
	RequestID          string
}

// Caller is who calls, as the gateway's checks found.
type Caller struct {
	Subject, Issuer string
	Scopes          []string
	RequestID       string
}

// Crypto serves the crypto API.
type Crypto struct {
	CryptoOptions
	router *chi.Mux
	calls  map[[2]string]operation // by method and pattern
}

// NewCrypto returns a Crypto that serves below o.Path.
func NewCrypto(o CryptoOptions) *Crypto {
	c := &Crypto{CryptoOptions: o, calls: make(map[[2]string]operation)}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Audit == nil {
		c.Audit = func(context.Context, Event) error { return nil }
	}
	r := chi.NewRouter()
	r.Use(middleware.GetHead)
	r.NotFound(func(w http.ResponseWriter, r *http.Request) { refuse(w, r, errNotFound) })
	r.MethodNotAllowed(func(w http.ResponseWriter, q *http.Request) {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			if r.Match(chi.NewRouteContext(), method, q.URL.Path) {
				w.Header().Set("Allow", method)
			}
		}
		refuse(w, q, errMethod)
	})
	for _, op := range c.operations() {
		pattern := strings.TrimSuffix(o.Path, "/") + op.path
		r.Method(op.method, pattern, c.handle(op))
		c.calls[[2]string{op.method, pattern}] = op
	}
	c.router = r
	return c
}

// operation is one call of the API.
type operation struct {
	name         string // as metrics and the audit log have it
	scope        string // crypto:OP; empty: any caller
	method, path string
	key          bool // a key operation: recorded before it is done
	answer       func(*call) (any, error)
}

// scopes are those of which a caller needs one: that on every keyring, and that
// on this one. None where any caller may.
func (o operation) scopes(keyring string) []string {
	switch {
	case o.scope == "":
		return nil
	case keyring == "":
		return []string{o.scope}
	}
	return []string{o.scope, o.scope + ":" + keyring}
}

func (c *Crypto) operations() []operation {
	return []operation{
		{name: "encrypt", scope: "crypto:encrypt", method: http.MethodPost, path: "/keyrings/{keyring}/encrypt", answer: c.encrypt},
		{name: "decrypt", scope: "crypto:decrypt", method: http.MethodPost, path: "/keyrings/{keyring}/decrypt", answer: c.decrypt},
		{name: "rewrap", scope: "crypto:encrypt", method: http.MethodPost, path: "/keyrings/{keyring}/rewrap", answer: c.rewrap},
		{name: "rotate", scope: "crypto:admin", method: http.MethodPost, path: "/keyrings/{keyring}/rotate", key: true, answer: c.rotate},
		{name: "list", scope: "crypto:admin", method: http.MethodGet, path: "/keyrings", answer: c.list},
		{name: "show", scope: "crypto:admin", method: http.MethodGet, path: "/keyrings/{keyring}", answer: c.show},
		{name: "mac", scope: "crypto:mac", method: http.MethodPost, path: "/keyrings/{keyring}/mac", answer: c.mac},
		{name: "verify", scope: "crypto:mac", method: http.MethodPost, path: "/keyrings/{keyring}/verify", answer: c.verify},
		{name: "generate_key", scope: "crypto:generate", method: http.MethodPost, path: "/keys", key: true, answer: c.generateKey},
		{name: "hash_password", scope: "crypto:password", method: http.MethodPost, path: "/passwords/hash", answer: c.hashPassword},
		{name: "verify_password", scope: "crypto:password", method: http.MethodPost, path: "/passwords/verify", answer: c.verifyPassword},
		{name: "generate_token", scope: "crypto:generate", method: http.MethodPost, path: "/tokens", answer: c.generateToken},
		{name: "hash", scope: "crypto:hash", method: http.MethodPost, path: "/hash", answer: c.hash},
		{name: "compare", scope: "crypto:hash", method: http.MethodPost, path: "/compare", answer: c.compare},
		{name: "generate_api_key", scope: "crypto:generate", method: http.MethodPost, path: "/api-keys", key: true, answer: c.generateAPIKey},
		{name: "openapi", method: http.MethodGet, path: "/openapi.json", answer: func(*call) (any, error) { return openAPI(c.Path) }},
	}
}

// call is one request to an operation.
type call struct {
	w       http.ResponseWriter
	r       *http.Request
	from    Caller
	keyring string // its name, if the operation is on one
	crypto  *Crypto
}

type callerKey struct{}

// Serve answers r, whose path is in its canonical form, for a caller that has
// passed the checks.
func (c *Crypto) Serve(w http.ResponseWriter, r *http.Request, from Caller) {
	c.router.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, from)))
}

// handle asks for the scope, has the operation recorded where it must be, and
// answers with its result.
func (c *Crypto) handle(op operation) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		from, _ := r.Context().Value(callerKey{}).(Caller)
		call := &call{w: w, r: r, from: from, keyring: chi.URLParam(r, "keyring"), crypto: c}
		result, err := c.perform(op, call)
		label := call.keyring
		if _, known := c.Keyrings[label]; !known {
			label = "" // a caller can make no series
		}
		c.Metrics.count(op.name, label, resultOf(err))
		if err != nil {
			refuse(w, r, err)
			return
		}
		answer(w, result)
	}
}

func (c *Crypto) perform(op operation, call *call) (any, error) {
	if err := call.permitted(op); err != nil {
		return nil, err
	}
	if op.key {
		e := Event{op.name, call.keyring, call.from.Subject, call.from.Issuer, call.from.RequestID}
		if err := c.Audit(call.r.Context(), e); err != nil {
			return nil, errUnrecorded
		}
	}
	return op.answer(call)
}

// permitted refuses who lacks the operation's scope, and then what is on no
// keyring.
func (c *call) permitted(op operation) error {
	needed := op.scopes(c.keyring)
	if len(needed) > 0 && !slices.ContainsFunc(needed, func(scope string) bool { return slices.Contains(c.from.Scopes, scope) }) {
		return &missingScope{op.scope}
	}
	if _, known := c.crypto.Keyrings[c.keyring]; c.keyring != "" && !known {
		return errNoKeyring
	}
	return nil
}

// current is the keyring the call is on.
func (c *call) current() (*crypto.Keyring, error) {
	k, err := c.crypto.Keyrings[c.keyring].Current()
	if err != nil {
		return nil, errNoKeys
	}
	return k, nil
}

// Metrics counts the operations. A nil *Metrics does nothing.
type Metrics struct{ operations *prometheus.CounterVec }

// NewMetrics returns Metrics, registered with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gateway_crypto_operations_total",
		Help: "Calls of the crypto API, by what they ended with; keyring is empty where there is none.",
	}, []string{"operation", "keyring", "result"})}
	reg.MustRegister(m.operations)
	return m
}

// Forget takes away the series of a keyring that is no more.
func (m *Metrics) Forget(keyring string) {
	m.operations.DeletePartialMatch(prometheus.Labels{"keyring": keyring})
}

func (m *Metrics) count(operation, keyring, result string) {
	if m != nil {
		m.operations.WithLabelValues(operation, keyring, result).Inc()
	}
}
