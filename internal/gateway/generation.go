package gateway

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/internal/auth"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/credentials"
	"github.com/sallyport/sallyport/internal/proxy"
)

// generation is one configuration come alive. It is not changed once it serves:
// a reload makes another.
type generation struct {
	*Gateway
	config *config.Config
	parts  map[partKey]*part

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

	warm atomic.Bool // the first fetches have ended
	requests
}

// requests counts the requests that a generation serves, from the pointer's
// reading to the answer's end. WebSockets and streams count until they close.
type requests struct {
	serving atomic.Int64
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

func (r *requests) leave() { r.serving.Add(-1) }

// serveCurrent serves a request with the current generation, to its end.
func (g *Gateway) serveCurrent(w http.ResponseWriter, r *http.Request) {
	current := g.acquire()
	defer current.leave()
	current.proxy.ServeHTTP(w, r)
}
