package api

import (
	"net/http"

	"github.com/go-chi/chi/v5"
)

// find returns the operation that a request asks for, and the name of the keyring
// in its path.
func (c *Crypto) find(method, path string) (op operation, keyring string, found bool) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	at := chi.NewRouteContext()
	if !c.router.Match(at, method, path) {
		return operation{}, "", false
	}
	return c.calls[[2]string{method, at.RoutePattern()}], at.URLParam("keyring"), true
}

// Scopes are those of which a caller must have one for this call, none if it
// needs none. [Crypto.Serve] asks for them too; who asks ahead can tell of the
// denial as of any other.
func (c *Crypto) Scopes(method, path string) []string {
	op, keyring, _ := c.find(method, path)
	return op.scopes(keyring)
}

// Refusal tells what [Crypto.Serve] would refuse to a caller with the scope,
// before it reads a body, and why. Status 0: nothing.
func (c *Crypto) Refusal(method, path string) (status int, why string) {
	op, keyring, found := c.find(method, path)
	if !found {
		for _, other := range []string{http.MethodGet, http.MethodPost} {
			if _, _, found = c.find(other, path); found {
				return http.StatusMethodNotAllowed, "the call takes " + other
			}
		}
		return http.StatusNotFound, "the crypto API has no such call"
	}
	ring, known := c.Keyrings[keyring]
	switch {
	case keyring == "":
	case !known:
		return errNoKeyring.status, errNoKeyring.detail
	case op.name != "rotate": // which makes the first version too
		if _, err := ring.Current(); err != nil {
			return errNoKeys.status, errNoKeys.detail
		}
	}
	return 0, ""
}
