package proxy

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/sallyport/sallyport/internal/credentials"
	"github.com/sallyport/sallyport/internal/secrets"
)

// inject is a RoundTripper that puts credentials on every request.
type inject struct {
	credentials []credentials.Credential
	next        http.RoundTripper
}

// RoundTrip sends r with the credentials.
func (t *inject) RoundTrip(r *http.Request) (*http.Response, error) {
	res, _, err := t.send(r)
	return res, err
}

// send sends r with the credentials, which are put on a clone only: no log,
// handler or error path above ever holds a request that carries one. The
// request does not go up without all of them. It also tells which they were.
func (t *inject) send(r *http.Request) (*http.Response, []secrets.Secret, error) {
	out := r.Clone(r.Context())
	values := make([]secrets.Secret, len(t.credentials))
	for i, c := range t.credentials {
		value, err := c.Value(r.Context())
		if err != nil {
			if r.Body != nil {
				_ = r.Body.Close() // a RoundTripper closes the body, also when it fails
			}
			return nil, nil, fmt.Errorf("inject %s: %w", c.Name(), err)
		}
		values[i] = value
		place(out, c.Placement(), value.Reveal())
	}
	res, err := t.next.RoundTrip(out)
	if res != nil {
		res.Request = r // let go of the clone
		for i, c := range t.credentials {
			keepFromCaller(res.Header, c.Placement().Query, values[i].Reveal())
		}
	}
	return res, values, err
}

// keepFromCaller takes a credential that went up in a query parameter out of the
// URLs the upstream answers with: many redirect with the query they were sent. A
// field it cannot be taken out of is dropped.
func keepFromCaller(h http.Header, parameter, value string) {
	if parameter == "" {
		return
	}
	for _, name := range []string{"Location", "Content-Location", "Refresh", "Link"} {
		var kept []string
		for _, text := range h[name] {
			if clean, ok := withoutValue(text, value); ok {
				kept = append(kept, withoutMention(clean, parameter))
			}
		}
		if delete(h, name); len(kept) > 0 {
			h[name] = kept
		}
	}
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

// unplace leaves nothing where at says.
func unplace(r *http.Request, at credentials.Placement) {
	switch {
	case at.Query != "":
		r.URL.RawQuery = withoutParameter(r.URL.RawQuery, at.Query)
	case at.Cookie != "":
		kept := withoutCookie(r.Header.Values("Cookie"), at.Cookie)
		if r.Header.Del("Cookie"); len(kept) > 0 {
			r.Header.Set("Cookie", strings.Join(kept, "; "))
		}
	default:
		r.Header.Del(at.Header)
	}
}
