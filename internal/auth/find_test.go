package auth

import (
	"crypto/x509"
	"errors"
	"net/http"
	"slices"
	"testing"
)

// sent is a request of any form.
type sent struct {
	fields
	method, query string
	certificates  []*x509.Certificate
}

func (s sent) Method() string                    { return s.method }
func (s sent) Query() string                     { return s.query }
func (s sent) Certificates() []*x509.Certificate { return s.certificates }

// tokenIn finds the one token in these places.
func tokenIn(r Request, places ...Place) (string, error) {
	c, err := find(places, r)
	if err != nil {
		return "", err
	}
	return c.token()
}

// jwtenc-03, jwtenc-04.
func TestWhereABearerTokenStands(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"Bearer abc.def-_~+/==": "abc.def-_~+/==",
		"bearer tok":            "tok",
		"BEARER tok":            "tok",
		"bEaReR t":              "t",
	} {
		if got, err := tokenIn(fields{"Authorization": {value}}, Authorization); got != want || err != nil {
			t.Errorf("%q: %q, %v; want %q", value, got, err, want)
		}
	}
	for _, value := range []string{
		"", " ", "Bearer", "Bearer ", "BearerTOK", "Bearer  tok", "Bearer\ttok", "Bearer tok ", " Bearer tok", "Bearer tok\t",
		"Bearer Bearer t", "Bearer t extra", "Token t", `Bearer "t"`, "Bearer t,u", "Bearer t, Bearer u", "Bearer =", "Bearer a=b", "Bearer a;b",
		"Basic YTpi", "Basic", "Digest username=x", "Bearer t\x00", "Bearer t\r\nX: y", "Bearer té", "Bearer: t", "Bearer t\n", "B\u212aearer t",
		"\xefBearer t", "JWT t", "tok",
	} {
		if got, err := tokenIn(fields{"Authorization": {value}}, Authorization); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %q, %v; want ErrMalformed", value, got, err)
		}
	}
}

func TestNoCredentialAndMoreThanOne(t *testing.T) {
	t.Parallel()
	for _, h := range []fields{nil, {}, {"X-Authorization": {"Bearer t"}}, {"Cookie": {"access_token=t"}}, {"Authorization": {}}} {
		if _, err := tokenIn(h, Authorization); !errors.Is(err, ErrNoCredential) {
			t.Errorf("%v: %v", h, err)
		}
	}
	for _, values := range [][]string{{"Bearer a", "Bearer a"}, {"Bearer a", "Basic b"}, {"", ""}, {"Bearer a", ""}} {
		if _, err := tokenIn(fields{"Authorization": values}, Authorization); !errors.Is(err, ErrMultiple) {
			t.Errorf("%q: %v", values, err)
		}
	}
}

// apikey-04 too: wherever two credentials stand, nobody chooses.
func TestOneCredentialInAllPlaces(t *testing.T) {
	t.Parallel()
	session, parameter, key := Place{InCookie, "session"}, Place{InQuery, "access_token"}, Place{InHeader, "X-Api-Key"}
	all := []Place{Authorization, session, parameter, key, Connection}
	chain := []*x509.Certificate{new(x509.Certificate)}
	for name, c := range map[string]struct {
		r    sent
		want any // where it is found, or the error
	}{
		"nothing":                        {sent{}, ErrNoCredential},
		"header":                         {sent{fields: bearerOf("t")}, Authorization},
		"cookie":                         {sent{fields: fields{"Cookie": {"a=b; session=t;c=d"}}}, session},
		"cookie on a second line":        {sent{fields: fields{"Cookie": {"a=b", "session=t"}}}, session},
		"query":                          {sent{query: "a=b&access_token=t"}, parameter},
		"query, escaped":                 {sent{query: "access%5ftoken=t"}, parameter},
		"key":                            {sent{fields: fields{"X-Api-Key": {"t"}}}, key},
		"certificate":                    {sent{certificates: chain}, Connection},
		"certificate beside a token":     {sent{fields: bearerOf("t"), certificates: chain}, Authorization},
		"header and cookie":              {sent{fields: fields{"Authorization": {"Bearer t"}, "Cookie": {"session=t"}}}, ErrMultiple},
		"header and query":               {sent{fields: bearerOf("t"), query: "access_token=t"}, ErrMultiple},
		"cookie and query":               {sent{fields: fields{"Cookie": {"session=t"}}, query: "access_token=t"}, ErrMultiple},
		"key and another scheme":         {sent{fields: fields{"X-Api-Key": {"t"}, "Authorization": {"Basic YTpi"}}}, ErrMultiple},
		"key twice":                      {sent{fields: fields{"X-Api-Key": {"t", "u"}}}, ErrMultiple},
		"cookie twice":                   {sent{fields: fields{"Cookie": {"session=t; session=t"}}}, ErrMultiple},
		"cookie twice, the first empty":  {sent{fields: fields{"Cookie": {"session=; session=t"}}}, ErrMultiple},
		"cookie twice, on two lines":     {sent{fields: fields{"Cookie": {"session=t", "session=u"}}}, ErrMultiple},
		"parameter twice":                {sent{query: "access_token=t&access_token=u"}, ErrMultiple},
		"parameter twice, one escaped":   {sent{query: "access_token=t&access%5Ftoken=u"}, ErrMultiple},
		"cookie empty":                   {sent{fields: fields{"Cookie": {"session="}}}, ErrNoCredential},
		"cookie without value":           {sent{fields: fields{"Cookie": {"session"}}}, ErrNoCredential},
		"parameter empty":                {sent{query: "access_token=&b"}, ErrNoCredential},
		"cookie in another case":         {sent{fields: fields{"Cookie": {"Session=t"}}}, ErrNoCredential},
		"parameter in another case":      {sent{query: "Access_Token=t"}, ErrNoCredential},
		"parameter as PHP's":             {sent{query: "access_token[]=t"}, ErrNoCredential},
		"parameter with a broken escape": {sent{query: "access_token%=t"}, ErrNoCredential},
	} {
		got, err := find(all, c.r)
		if want, isPlace := c.want.(Place); isPlace && (err != nil || got.place != want) {
			t.Errorf("%s: %v, %v; want %v", name, got.place, err, want)
		} else if !isPlace && !errors.Is(err, c.want.(error)) {
			t.Errorf("%s: %v, %v; want %v", name, got.place, err, c.want)
		}
	}
}

func TestATokenOutsideTheHeaderIsOneToken68(t *testing.T) {
	t.Parallel()
	session, parameter := Place{InCookie, "s"}, Place{InQuery, "t"}
	for _, value := range []string{`"t"`, "Bearer t", "a b", "t,u", "é", "%zz", "a%0d"} {
		if got, err := tokenIn(fields{"Cookie": {"s=" + value}}, session); !errors.Is(err, ErrMalformed) {
			t.Errorf("cookie %q: %q, %v; want ErrMalformed", value, got, err)
		}
		if got, err := tokenIn(sent{query: "t=" + value}, parameter); !errors.Is(err, ErrMalformed) {
			t.Errorf("parameter %q: %q, %v; want ErrMalformed", value, got, err)
		}
	}
}

// "A token only where the issuer's from says."
func TestATokenOnlyWhereItsIssuerSays(t *testing.T) {
	t.Parallel()
	cookies := newIssuer(t, IssuerOptions{Name: "web", Issuer: "https://web.example/", From: []Place{{InCookie, "session"}}})
	both := newIssuer(t, IssuerOptions{Name: "both", Issuer: "https://both.example/", From: []Place{Authorization, {InQuery, "access_token"}}})
	a := accepting(cookies, both)
	for _, c := range []struct {
		iss  string
		r    func(raw string) Request
		want string
	}{
		{"https://web.example/", func(raw string) Request { return fields{"Cookie": {"session=" + raw}} }, ""},
		{"https://web.example/", func(raw string) Request { return bearerOf(raw) }, "issuer"},
		{"https://web.example/", func(raw string) Request { return sent{query: "access_token=" + raw} }, "issuer"},
		{"https://both.example/", func(raw string) Request { return fields{"Cookie": {"session=" + raw}} }, "issuer"},
		{"https://both.example/", func(raw string) Request { return bearerOf(raw) }, ""},
		{"https://both.example/", func(raw string) Request { return sent{query: "access_token=" + raw} }, ""},
		{"https://both.example/", func(raw string) Request { return sent{query: "token=" + raw} }, "no_token"},
	} {
		_, err := a.Authenticate(t.Context(), c.r(forgeClaims(t, claims(map[string]any{"iss": c.iss}))))
		wantReason(t, err, c.want)
	}
	_, err := accepting(cookies).Authenticate(t.Context(), bearerOf(forgeClaims(t, claims(nil))))
	wantReason(t, err, "no_token") // Authorization is no place of that route
	if want := []Place{{InCookie, "session"}, Authorization, {InQuery, "access_token"}}; !slices.Equal(a.Places(), want) {
		t.Errorf("places are %v, want %v", a.Places(), want)
	}
}

// A cookie goes along with what another site makes a browser send.
func TestACookieFromAnotherSiteIsRefused(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t, IssuerOptions{From: []Place{Authorization, {InCookie, "session"}}})
	raw := forgeClaims(t, claims(nil))
	for name, c := range map[string]struct {
		method string
		header fields
		want   string
	}{
		"read, cross-site":          {"GET", fields{"Sec-Fetch-Site": {"cross-site"}}, ""},
		"write, no browser":         {"POST", nil, ""},
		"write, same origin":        {"POST", fields{"Sec-Fetch-Site": {"same-origin"}}, ""},
		"write, typed":              {"POST", fields{"Sec-Fetch-Site": {"none"}}, ""},
		"write, cross-site":         {"POST", fields{"Sec-Fetch-Site": {"cross-site"}}, "cross_origin"},
		"write, another subdomain":  {"DELETE", fields{"Sec-Fetch-Site": {"same-site"}}, "cross_origin"},
		"write, own Origin":         {"PUT", fields{"Origin": {"https://orders.example.com"}}, ""},
		"write, another Origin":     {"PUT", fields{"Origin": {"https://evil.example"}}, "cross_origin"},
		"write, Origin null":        {"PATCH", fields{"Origin": {"null"}}, "cross_origin"},
		"write, Origin's port":      {"POST", fields{"Origin": {"https://orders.example.com:8443"}}, "cross_origin"},
		"write, two Origins":        {"POST", fields{"Origin": {"https://orders.example.com", "https://evil.example"}}, "cross_origin"},
		"write, two Sec-Fetch-Site": {"POST", fields{"Sec-Fetch-Site": {"same-origin", "cross-site"}}, "cross_origin"},
		"a method of its own":       {"PURGE", fields{"Sec-Fetch-Site": {"cross-site"}}, "cross_origin"},
		"WebSocket, cross-site":     {"GET", fields{"Upgrade": {"websocket"}, "Origin": {"https://evil.example"}}, "cross_origin"},
		"WebSocket, own":            {"GET", fields{"Upgrade": {"websocket"}, "Origin": {"https://orders.example.com"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := sent{fields: fields{"Cookie": {"session=" + raw}}, method: c.method}
			for field, values := range c.header {
				r.fields[field] = values
			}
			_, err := accepting(issuer).Authenticate(t.Context(), r)
			wantReason(t, err, c.want)
			delete(r.fields, "Cookie") // a token in the header is the page's own doing
			r.fields["Authorization"] = http.Header(bearerOf(raw))["Authorization"]
			_, err = accepting(issuer).Authenticate(t.Context(), r)
			wantReason(t, err, "")
		})
	}
}

// FuzzFind: whatever a request holds, at most one credential is found, and it is
// what stands at the place that is told.
func FuzzFind(f *testing.F) {
	f.Add("Bearer t", "a=b; session=t", "a=b&access%5ftoken=t")
	f.Add("", "session", "access_token&&;=")
	f.Fuzz(func(t *testing.T, authorization, cookies, query string) {
		r := sent{fields: fields{"Cookie": {cookies}}, query: query}
		if authorization != "" {
			r.fields["Authorization"] = []string{authorization}
		}
		places := []Place{Authorization, {InCookie, "session"}, {InQuery, "access_token"}}
		c, err := find(places, r)
		if err != nil {
			return
		}
		for _, place := range places {
			value, n := valueAt(place, r)
			if place == c.place && (n != 1 || value != c.value) || place != c.place && n != 0 {
				t.Errorf("%v: %q, %d beside %v", place, value, n, c.place)
			}
		}
		if raw, err := c.token(); err == nil && !isToken68(raw) {
			t.Errorf("%q is no token", raw)
		}
	})
}
