package gateway_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// witness is an upstream that keeps every byte it is sent, and answers as told.
type witness struct {
	*httptest.Server
	mu   sync.Mutex
	seen strings.Builder
}

func startWitness(t testing.TB, answer http.HandlerFunc) *witness {
	t.Helper()
	u := new(witness)
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		u.mu.Lock()
		fmt.Fprintln(&u.seen, r.Method, r.RequestURI, r.Host, r.Header, string(body), r.Trailer)
		u.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(u.Close)
	return u
}

// saw returns what has come since the last call.
func (u *witness) saw() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	text := u.seen.String()
	u.seen.Reset()
	return text
}

// holds reports whether text has the secret in it, as it is, escaped, or in
// base64 with any alignment.
func holds(text, secret string) bool {
	for _, form := range []string{secret, url.QueryEscape(secret), url.QueryEscape(url.QueryEscape(secret)), secret[3:]} {
		if strings.Contains(text, form) {
			return true
		}
	}
	for skip := range 3 {
		encoded := base64.RawStdEncoding.EncodeToString([]byte(secret[skip:]))
		if strings.Contains(text, encoded[:len(encoded)-2]) {
			return true
		}
	}
	return false
}

// roundTrip sends r as it stands, by HTTP/1.1 or HTTP/2, and follows nothing.
func roundTrip(t testing.TB, r *http.Request, http2 bool) (*http.Response, string) {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetUnencryptedHTTP2(http2)
	transport := &http.Transport{Protocols: protocols, DisableKeepAlives: true}
	res, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	transport.CloseIdleConnections()
	return res, string(body)
}

// The cases oauth-10 and apikey-09: the caller's token, wherever it stands and
// however the upstream answers, goes no further than the gateway.
func TestCallersCredentialNeverReachesTheUpstream(t *testing.T) {
	t.Parallel()
	var refusals atomic.Int64
	up := startWitness(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/replayed" && refusals.Add(1)%2 == 1:
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/redirected":
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}
	})
	var issued atomic.Int64
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":"upstream-token-%d","token_type":"Bearer","expires_in":3600}`, issued.Add(1))
	}))
	t.Cleanup(endpoint.Close)
	g := start(t, strings.Replace(head, "    audiences:", "    from: [header, \"cookie:session\", \"query:access_token\"]\n    audiences:", 1)+fmt.Sprintf(`
credentials: {up: {type: oauth2, token_url: "%s", client_id: gateway, client_secret: "${secret:up}"}}
routes:
  - {name: injected, path: "/*", auth: {issuers: [test]}, inject: up, upstream: "%[2]s"}
  - {name: bare, path: "/bare", auth: {issuers: [test]}, upstream: "%[2]s"}
  - {name: public, path: "/public", auth: public, upstream: "%[2]s"}
`, endpoint.URL, up.URL), environment{"UP": "client-secret"})
	token := mint(t, nil)
	places := map[string]func(*http.Request){
		"Authorization":         func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) },
		"another case":          func(r *http.Request) { r.Header.Set("Authorization", "bEARER "+token) },
		"a cookie":              func(r *http.Request) { r.Header.Set("Cookie", "session="+token) },
		"one cookie of several": func(r *http.Request) { r.Header["Cookie"] = []string{"a=1; session=" + token + "; b=2", "c=3"} },
		"a query":               func(r *http.Request) { r.URL.RawQuery = "a=1&access_token=" + token },
		"twice":                 func(r *http.Request) { r.Header["Authorization"] = []string{"Bearer " + token, "Bearer " + token} },
		"two places": func(r *http.Request) {
			r.Header.Set("Authorization", "Bearer "+token)
			r.Header.Set("Cookie", "session="+token)
		},
		"a twin of the header": func(r *http.Request) {
			r.Header.Set("Authorization", "Bearer "+token)
			r.Header["AUTHORIZATION"] = []string{"Bearer " + token}
		},
		"named by Connection": func(r *http.Request) {
			r.Header.Set("Authorization", "Bearer "+token)
			r.Header.Set("Connection", "Authorization")
		},
		"Proxy-Authorization": func(r *http.Request) {
			r.Header.Set("Authorization", "Bearer "+token)
			r.Header.Set("Proxy-Authorization", "Bearer "+token)
		},
		"where it came from": func(r *http.Request) {
			r.URL.RawQuery = "access_token=" + token
			r.Header.Set("Referer", "https://app.example.com/?access_token="+token)
		},
	}
	for place, put := range places {
		for _, path := range []string{"/plain", "/replayed", "/redirected", "/bare", "/public"} {
			for _, http2 := range []bool{false, true} {
				if http2 && (place == "named by Connection" || place == "a twin of the header") {
					continue // HTTP/2 has no such thing
				}
				if path == "/public" && !strings.Contains(place, "uthorization") {
					continue // a public route knows no cookie or parameter as a token's
				}
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.URL+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				put(r)
				roundTrip(t, r, http2)
				if saw := up.saw(); holds(saw, token) {
					t.Errorf("%s, %s, HTTP/2 %v: the upstream saw %s", place, path, http2, saw)
				}
			}
		}
	}
	if issued.Load() < 2 {
		t.Errorf("%d tokens issued: nothing was replayed", issued.Load())
	}
	if logs := g.Log.String() + g.Access.String(); holds(logs, token) {
		t.Error("a log shows the token")
	}
}

// A folded header is no header at all.
func TestFoldedAuthorizationIsRefused(t *testing.T) {
	t.Parallel()
	up := startWitness(t, func(http.ResponseWriter, *http.Request) {})
	g := start(t, head+fmt.Sprintf(`
routes: [{name: all, path: "/*", auth: {issuers: [test]}, upstream: "%s"}]
`, up.URL), nil)
	token := mint(t, nil)
	for _, fold := range []string{"\r\n ", "\r\n\t", "\n "} {
		answers := rawAnswer(t, g.URL, "GET / HTTP/1.1\r\nHost: a\r\nX-Note: a"+fold+"b\r\nAuthorization: Bearer"+fold+token+"\r\nConnection: close\r\n\r\n")
		if saw := up.saw(); holds(saw, token) || strings.Contains(answers, " 200 ") && saw != "" && strings.Contains(saw, "Bearer") {
			t.Errorf("%q: answered %.40q, the upstream saw %s", fold, answers, saw)
		}
	}
}

// The case oauth-11: what was injected is the upstream's to know alone, wherever
// the upstream, or a failure of it, would show it.
func TestInjectedCredentialNeverReachesTheCaller(t *testing.T) {
	t.Parallel()
	const canary = "canary/value+1234"
	up := startWitness(t, func(w http.ResponseWriter, r *http.Request) {
		back := "/next?" + r.URL.RawQuery
		switch r.URL.Path {
		case "/redirect":
			w.Header().Set("Location", back)
			w.WriteHeader(http.StatusFound)
		case "/header-in-location":
			w.Header().Set("Location", "/login?token="+url.QueryEscape(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")))
			w.WriteHeader(http.StatusSeeOther)
		case "/elsewhere":
			w.Header().Set("Content-Location", back)
			w.Header().Set("Refresh", "0;url="+back)
			w.Header().Add("Link", "<"+back+">; rel=next")
		case "/early":
			w.Header().Set("Link", "<"+back+">; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Del("Link")
		case "/session":
			if r.Host != "cookie.test" {
				return
			}
			w.Header().Add("Set-Cookie", "sid="+canary+"; Path=/; HttpOnly")
			w.Header().Add("Set-Cookie", "theme=dark")
			w.Header().Add("Set-Cookie", "s%69d=another-"+canary)
		case "/abort":
			panic(http.ErrAbortHandler)
		}
	})
	g := start(t, head+fmt.Sprintf(`
credentials:
  header: {type: static, token: "${secret:up}"}
  query: {type: static, token: "${secret:up}", query: api_key}
  cookie: {type: static, token: "${secret:up}", cookie: sid}
routes:
  - {name: header, hosts: [header.test], path: "/*", auth: public, inject: header, upstream: "%[1]s"}
  - {name: query, hosts: [query.test], path: "/*", auth: public, inject: query, upstream: "%[1]s"}
  - {name: cookie, hosts: [cookie.test], path: "/*", auth: public, inject: cookie, upstream: {urls: "%[1]s", host: preserve}}
  - {name: down, hosts: [down.test], path: "/*", auth: public, inject: [header, query], upstream: "http://127.0.0.1:1"}
`, up.URL), environment{"UP": canary})
	for _, host := range []string{"header.test", "query.test", "cookie.test", "down.test"} {
		for _, path := range []string{"/plain", "/redirect", "/header-in-location", "/elsewhere", "/early", "/session", "/abort"} {
			for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodTrace, http.MethodOptions} {
				r, err := http.NewRequestWithContext(t.Context(), method, g.URL+path+"?a=1&api.key=mine", nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Host = host
				r.Header["Cookie"] = []string{"sid[0]=mine; a=1", "sid=mine", "s%69d=mine"}
				early, r := watchEarly(r)
				res, body := roundTrip(t, r, method == http.MethodPost)
				if answer := fmt.Sprint(res.Status, res.Header, body, res.Trailer, *early); holds(answer, canary) {
					t.Errorf("%s %s%s: answered %s", method, host, path, answer)
				}
				saw := up.saw()
				if method == http.MethodTrace && saw != "" {
					t.Errorf("TRACE went up: %s", saw)
				}
				if host == "cookie.test" && strings.Contains(saw, "=mine;") || host == "query.test" && strings.Contains(saw, "api.key=mine") {
					t.Errorf("%s %s%s: the caller's own stood beside it: %s", method, host, path, saw)
				}
				if host == "cookie.test" && path == "/session" && res.StatusCode == http.StatusOK && fmt.Sprint(res.Header["Set-Cookie"]) != "[theme=dark]" {
					t.Errorf("Set-Cookie: %v", res.Header["Set-Cookie"])
				}
			}
		}
	}
	if logs := g.Log.String() + g.Access.String(); holds(logs, canary) {
		t.Error("a log shows the credential")
	}
}

// watchEarly has the interim answers to r written down.
func watchEarly(r *http.Request) (*string, *http.Request) {
	early := new(string)
	return early, r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			*early += fmt.Sprint(code, h)
			return nil
		},
	}))
}

// rawAnswer writes bytes to the gateway and returns what comes back until it
// closes.
func rawAnswer(t testing.TB, base, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(conn) // a reset is an answer too
	return string(text)
}
