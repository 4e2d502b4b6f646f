package proxy

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
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
	values := make([]secrets.Secret, len(t.credentials))
	out := r.Clone(t.watching(r.Context(), values))
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
		t.keepFromCaller(res.Header, values)
	}
	return res, values, err
}

// watching has interim answers (1xx) cleaned too, before they go to the caller.
func (t *inject) watching(ctx context.Context, values []secrets.Secret) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: func(_ int, h textproto.MIMEHeader) error {
		t.keepFromCaller(http.Header(h), values)
		return nil
	}})
}

// keepFromCaller takes what was injected out of an answer's header.
func (t *inject) keepFromCaller(h http.Header, values []secrets.Secret) {
	for i, c := range t.credentials {
		keepFromCaller(h, c.Placement(), values[i].Reveal())
	}
}

// keepFromCaller takes a credential out of the URLs the upstream answers with:
// many redirect with the query they were sent. A field it cannot be taken out of
// is dropped. So is a cookie the upstream sets in the place of an injected one:
// it is that session's next value.
func keepFromCaller(h http.Header, at credentials.Placement, value string) {
	for _, name := range []string{"Location", "Content-Location", "Refresh", "Link"} {
		if len(h[name]) == 0 {
			continue
		}
		var kept []string
		for _, text := range h[name] {
			clean, ok := withoutValue(text, value)
			if at.Query != "" {
				clean = withoutMention(clean, at.Query)
			}
			if ok {
				kept = append(kept, clean)
			}
		}
		if delete(h, name); len(kept) > 0 {
			h[name] = kept
		}
	}
	if at.Cookie == "" || len(h["Set-Cookie"]) == 0 {
		return
	}
	kept := slices.DeleteFunc(h["Set-Cookie"], func(line string) bool {
		name, _, _ := strings.Cut(line, "=")
		return namesCookie(strings.TrimSpace(name), at.Cookie)
	})
	if h["Set-Cookie"] = kept; len(kept) == 0 {
		delete(h, "Set-Cookie")
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
