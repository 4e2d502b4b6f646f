package credentials

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Whatever an endpoint answers, there is a token that can stand in a request, and
// x/oauth2 reads the same one, or there is an error of a bounded word that quotes
// nothing.
func FuzzTokenResponse(f *testing.F) {
	for _, seed := range []string{
		`{"access_token":"abc","token_type":"Bearer","expires_in":3600}`,
		`{"access_token":"abc","token_type":"DPoP"}`,
		`{"access_token":"abc","token_type":null,"expires_in":null,"error":null}`,
		`{"access_token":"abc","expires_in":"3599"}`,
		`{"access_token":"abc","expires_in":"an hour"}`,
		`{"access_token":"abc","expires_in":1000000000000000000}`,
		`{"access_token":"a\r\nX-Admin: 1"}`,
		`{"access_token":"a","access_token":"b"}`,
		`{"access_token":"a","expires_in":1e999}`,
		`{"access_token":"a\"b\\<&>\u2028","expires_in":-1}`,
		`{"access_token":"a\"b\\<&>"}`,
		`{"error":"invalid_client"}`, `{"error":"marker"}`,
		`[]`, `null`, ``, `<html>`, "\xff",
	} {
		f.Add(200, "application/json", "", []byte(seed))
	}
	f.Add(302, "text/html", "", []byte(`moved`))
	f.Add(400, "application/problem+json", "", []byte(`{"error":"invalid_scope"}`))
	f.Add(200, "application/json", "gzip", []byte("\x1f\x8b"))
	words := map[string]bool{
		reasonRedirect: true, reasonRefused: true, reasonTooLarge: true, reasonFormat: true,
		reasonType: true, reasonToken: true, reasonLifetime: true,
	}
	f.Fuzz(func(t *testing.T, status int, kind, encoding string, body []byte) {
		header := http.Header{"Content-Type": {kind}}
		if encoding != "" {
			header.Set("Content-Encoding", encoding)
		}
		a, err := readAnswer(status, header, body)
		c := newOAuth2(t, OAuth2Options{TokenURL: "https://auth.test/token", Client: &http.Client{Transport: replying(func(r *http.Request) *http.Response {
			return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(bytes.NewReader(body)), Request: r}
		})}})
		value, lifetime, fetchErr := c.fetch(t.Context())
		if err != nil {
			e, ok := errors.AsType[*endpointError](err)
			if !ok || a != (answer{}) || !words[e.word] || strings.Contains(e.Error(), "marker") {
				t.Fatalf("readAnswer = %v, %v", a, err)
			}
			if fetchErr == nil || !value.Empty() || reasonOf(fetchErr) != e.word {
				t.Fatalf("refused with %v, but fetch = %q, %v", err, value.Reveal(), fetchErr)
			}
			return
		}
		if a.token == "" || a.seconds < 1 || a.seconds > 86400 || status/100 != 2 {
			t.Fatalf("accepted %+v", a)
		}
		for i := range len(a.token) {
			if a.token[i] <= ' ' || a.token[i] >= 0x7f {
				t.Fatalf("accepted the token %q", a.token)
			}
		}
		if again, err := readAnswer(200, jsonHeader(), a.plain()); err != nil || again != a {
			t.Fatalf("%+v comes back as %+v, %v", a, again, err)
		}
		if fetchErr != nil || value.Reveal() != a.token || lifetime != time.Duration(a.seconds)*time.Second {
			t.Fatalf("%+v is fetched as %q for %s, %v", a, value.Reveal(), lifetime, fetchErr)
		}
	})
}

// replying is a token endpoint without a socket.
type replying func(*http.Request) *http.Response

func (f replying) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }
