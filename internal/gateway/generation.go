package gateway

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/internal/auth"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/credentials"
	"github.com/sallyport/sallyport/internal/proxy"
	"github.com/sallyport/sallyport/internal/secrets"
)

// generation is one configuration come alive. It is not changed once it serves:
// a reload makes another.
type generation struct {
	*Gateway
	config *config.Config
	parts  map[partKey]*part // what the next generation may take over
	uses   map[*part]bool    // all of them

	store       *store
	issuers     map[string]*issuer
	apiKeys     map[string]*auth.APIKeys
	credentials map[string]credentials.Credential
	keyrings    map[string]*Keyring
	routes      []proxy.Route
	proxy       *proxy.Proxy
	tls         *certificates
	lines       *place     // where the access log goes while this one serves
	audited     *auditFile // where the audit log goes; nil: there is none
	loaded      time.Time

	scope *secrets.Scope // of what is read outside of parts
	warm  atomic.Bool    // the first fetches have ended
	requests
}

// requests counts the requests that a generation serves, from the pointer's
// reading to the answer's end. WebSockets and streams count until they close.
type requests struct {
	serving atomic.Int64
	retired atomic.Bool
	once    sync.Once
	ended   chan struct{} // closed when the last has ended
}

// acquire returns the generation that serves now, counted as in use until leave.
func (g *Gateway) acquire() *generation {
	for {
		current := g.current.Load()
		current.serving.Add(1)
		if g.current.Load() == current {
			return current
		}
		current.leave() // swapped meanwhile, and perhaps thought unused
	}
}

func (r *requests) leave() {
	if r.serving.Add(-1) == 0 && r.retired.Load() {
		r.once.Do(func() { close(r.ended) })
	}
}

// retire says that no request comes any more.
func (r *requests) retire() {
	r.retired.Store(true)
	if r.serving.Load() == 0 {
		r.once.Do(func() { close(r.ended) })
	}
}

// serveCurrent serves a request with the current generation, to its end. While
// draining it ends the connection with the answer, which loses nothing, as the
// closing of an idle one might.
func (g *Gateway) serveCurrent(w http.ResponseWriter, r *http.Request) {
	current := g.acquire()
	defer current.leave()
	if g.state.draining.Load() && r.Header["Upgrade"] == nil {
		w.Header().Set("Connection", "close")
	}
	current.proxy.ServeHTTP(w, r)
}
