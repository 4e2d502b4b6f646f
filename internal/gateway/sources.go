package gateway

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/credentials"
	"github.com/sallyport/sallyport/internal/upstream"
)

// fetchTimeout bounds one fetch of keys or of a token, all in all.
const fetchTimeout = 5 * time.Second

// client returns a client for what the gateway fetches: bounded in time, no
// proxy of the environment, TLS by its own files. Equal settings share one.
func (b *builder) client(t config.ClientTLS) (*http.Client, error) {
	return keep(b, "client", fmt.Sprint(t), recipe{b.files(t)}, func() (*http.Client, error) {
		transport, err := upstream.NewTransport(upstream.TransportOptions{
			Connect: fetchTimeout, ResponseHeader: fetchTimeout,
			TLS: upstream.TLSOptions{CAFile: t.CAFile, CertFile: t.CertFile, KeyFile: t.KeyFile},
		})
		return &http.Client{Transport: transport, Timeout: fetchTimeout}, err
	})
}

func unique(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

// useCredentials makes the credentials that a route uses.
func (b *builder) useCredentials() {
	var named []string
	for _, route := range b.config.Routes {
		named = append(named, route.Inject...)
	}
	for _, name := range unique(named) {
		c := b.config.Credentials[name]
		made, err := keep(b, "credential", name, recipe{c, b.files(c.TLS)}, func() (credentials.Credential, error) { return b.credential(name, c) })
		if err != nil {
			b.fail("credentials."+name, err)
			continue
		}
		b.credentials[name] = made
	}
}
