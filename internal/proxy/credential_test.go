package proxy

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/auth"
)

// apikey-09: the credential is taken away in whatever spelling an upstream may
// read as its own.
func TestCallerCredentialIsStrippedInEverySpelling(t *testing.T) {
	t.Parallel()
	s, headers := newStripper([]auth.Place{auth.Authorization, {In: auth.InCookie, Name: "my_session"}, {In: auth.InQuery, Name: "access_token"}, {In: auth.InHeader, Name: "X-Api-Key"}, auth.Connection})
	if strings.Join(headers, ",") != "X-Api-Key" {
		t.Errorf("headers are %v", headers)
	}
	for raw, want := range map[string]string{
		"":                                     "",
		"a=1":                                  "a=1",
		"access_token=t":                       "",
		"a=1&access_token=t&b=2":               "a=1&b=2",
		"access%5Ftoken=t&a":                   "a",
		"access_token[]=t&a=1":                 "a=1",
		"a=1;access_token=t&b=2":               "b=2",
		"access_token=t&access_token=u":        "",
		"access_token_type=x&my_access_token=": "access_token_type=x&my_access_token=",
		"%zz=1&b=2":                            "b=2",
	} {
		if got := s.query(raw); got != want {
			t.Errorf("query %q: %q, want %q", raw, got, want)
		}
	}
	for raw, want := range map[string]string{
		"a=1":                               "a=1",
		"my_session=t":                      "",
		"a=1; my_session=t; b=2":            "a=1; b=2",
		"my_session = t;a=1":                "a=1",
		"my%5Fsession=t; a=1":               "a=1",
		"my.session=t; a=1":                 "a=1",
		"my session=t; a=1":                 "a=1",
		"my_session[x]=t; a=1":              "a=1",
		"my[session=t; a=1":                 "a=1",
		"my_session; a=1":                   "a=1",
		"My_Session=t; a=1":                 "My_Session=t; a=1",
		"my_session2=t; x_my_session=1":     "my_session2=t; x_my_session=1",
		`a=1; my_session="t"; my_session=u`: "a=1",
	} {
		h := http.Header{"Cookie": {raw}, "Referer": {"https://a.test/x?access_token=t&b=1"}}
		s.header(h)
		if got := strings.Join(h["Cookie"], " | "); got != want {
			t.Errorf("cookies %q: %q, want %q", raw, got, want)
		}
		if h.Get("Referer") != "https://a.test/x?b=1" {
			t.Errorf("referer is %s", h.Get("Referer"))
		}
	}
}

func TestChallengeAsksForWhatTheRouteTakes(t *testing.T) {
	t.Parallel()
	for want, rt := range map[string]*route{
		`Bearer realm="gateway"`:                        {},
		`Bearer realm="gateway", error="invalid_token"`: {Route: Route{Auth: auth.NewAuthenticator(auth.Tokens())}},
	} {
		_, parameters, _ := strings.Cut(want, `"gateway"`)
		if got := rt.challenge(parameters); got[0] != (field{"Www-Authenticate", want}) {
			t.Errorf("challenge is %v, want %s", got, want)
		}
	}
}
