package proxy

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/sallyport/sallyport/internal/credentials"
)

// inject is a RoundTripper that puts credentials on every request.
type inject struct {
	credentials []credentials.Credential
	next        http.RoundTripper
}

// RoundTrip sends r with the credentials, which are put on a clone only: no
// log, handler or error path above ever holds a request that carries one. The
// request does not go up without all of them.
func (t *inject) RoundTrip(r *http.Request) (*http.Response, error) {
	out := r.Clone(r.Context())
	for _, c := range t.credentials {
		value, err := c.Value(r.Context())
		if err != nil {
			if r.Body != nil {
				_ = r.Body.Close() // a RoundTripper closes the body, also when it fails
			}
			return nil, fmt.Errorf("inject %s: %w", c.Name(), err)
		}
		place(out, c.Placement(), value.Reveal())
	}
	res, err := t.next.RoundTrip(out)
	if res != nil {
		res.Request = r // let go of the clone
	}
	return res, err
}

// place puts value where at says, instead of whatever stood there.
func place(r *http.Request, at credentials.Placement, value string) {
	switch {
	case at.Query != "":
		r.URL.RawQuery = withParameter(r.URL.RawQuery, at.Query, at.Prefix+value)
	case at.Cookie != "":
		kept := withoutCookie(r.Header.Values("Cookie"), at.Cookie)
		r.Header.Set("Cookie", strings.Join(append(kept, at.Cookie+"="+at.Prefix+value), "; "))
	default:
		r.Header.Set(at.Header, at.Prefix+value)
	}
}
