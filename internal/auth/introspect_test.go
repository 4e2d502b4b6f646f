package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/internal/secrets"
)

const active = `{"active":true,"sub":"alice","aud":"orders-api","scope":"orders:read","exp":4000000000`

// introspected is an issuer that is asked at this server.
func introspected(t testing.TB, url string, o IssuerOptions, n IntrospectionOptions) *Issuer {
	t.Helper()
	n.Issuer, n.URL, n.ClientID = "corp", url, "gateway:basic client"
	if n.ClientSecret == nil {
		n.ClientSecret = secrets.Fixed(secrets.NewSecret("canary-secret +%&="))
	}
	asks, err := NewIntrospection(n)
	if err != nil {
		t.Fatal(err)
	}
	o.Name, o.Introspection = "corp", asks
	if o.Audiences == nil {
		o.Audiences = []string{testAudience}
	}
	i, err := NewIssuer(o)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestIntrospection(t *testing.T) {
	t.Parallel()
	var got *http.Request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		got = r
		fmt.Fprint(w, active+`,"iss":"https://idp.example.com/","client_id":"web","token_type":"Bearer"}`)
	}))
	defer server.Close()
	a := accepting(introspected(t, server.URL+"/introspect?key=canary-query", IssuerOptions{Issuer: testIssuer}, IntrospectionOptions{}))
	p, err := a.Authenticate(t.Context(), bearerOf("opaque-token"))
	if err != nil {
		t.Fatal(err)
	}
	if p.Subject != "alice" || p.Issuer != "corp" || p.IssuerURL != testIssuer || fmt.Sprint(p.Scopes) != "[orders:read]" || p.Claims["client_id"] != "web" || p.Expires.Unix() != 4000000000 {
		t.Errorf("%+v", p)
	}
	id, secret, _ := got.BasicAuth()
	if id != "gateway%3Abasic+client" || secret != "canary-secret+%2B%25%26%3D" { // RFC 6749, section 2.3.1
		t.Errorf("client is %s:%s", id, secret)
	}
	if got.Method != "POST" || got.PostForm.Get("token") != "opaque-token" || got.PostForm.Get("token_type_hint") != "access_token" || len(got.PostForm) != 2 || got.Header.Get("Accept") != "application/json" {
		t.Errorf("asked by %s %v %v", got.Method, got.PostForm, got.Header)
	}
}

// What an active answer must say besides; audiences and leeway are those of JWTs.
func TestIntrospectedClaims(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	for answer, want := range map[string]string{
		`{"active":true,"sub":"a","aud":"orders-api","exp":1800000001}`:       "",
		`{"active":true,"sub":"a","aud":["x","orders-api"],"exp":1799999971}`: "", // within leeway
		`{"active":true,"sub":"a","aud":"orders-api"}`:                        "", // exp may be left out
		`{"active":false}`: "inactive",
		`{"active":false,"sub":"a","aud":"orders-api","exp":1800000001}`:                                        "inactive",
		`{"active":true,"sub":"a","aud":"orders-api","exp":1799999970}`:                                         "expired",
		`{"active":true,"sub":"a","aud":"orders-api","nbf":1800000031}`:                                         "not_yet_valid",
		`{"active":true,"sub":"a","aud":"orders-api","iat":1800000031}`:                                         "not_yet_valid",
		`{"active":true,"sub":"a","aud":"other"}`:                                                               "audience",
		`{"active":true,"sub":"a"}`:                                                                             "audience",
		`{"active":true,"aud":"orders-api"}`:                                                                    "claims",
		`{"active":true,"sub":"","aud":"orders-api"}`:                                                           "claims",
		`{"active":true,"sub":"a\nb","aud":"orders-api"}`:                                                       "claims",
		`{"active":true,"sub":"a","aud":"orders-api","iss":"https://idp.example.com/"}`:                         "",
		`{"active":true,"sub":"a","aud":"orders-api","iss":"https://idp.example.com"}`:                          "issuer",
		`{"active":true,"sub":"a","aud":"orders-api","token_type":"bearer","token_use":"access_token"}`:         "",
		`{"active":true,"sub":"a","aud":"orders-api","token_use":"refresh_token"}`:                              "type",
		`{"active":true,"sub":"a","aud":"orders-api","token_type":"DPoP"}`:                                      "type",
		`{"active":true,"sub":"a","aud":"orders-api","token_type":1}`:                                           "type",
		`{"active":true,"sub":"a","aud":"orders-api","scope":7}`:                                                "claims",
		`{"active":true,"sub":"a","aud":"orders-api","exp":1800000001,"iat":1799999000,"scp":["orders:write"]}`: "",
		// Answers that are none: the issuer's failure, never the caller's.
		`{"active":"true","sub":"a","aud":"orders-api"}`:                  "keys_unavailable",
		`{"active":1,"sub":"a","aud":"orders-api"}`:                       "keys_unavailable",
		`{"sub":"a","aud":"orders-api"}`:                                  "keys_unavailable",
		`{"Active":true,"sub":"a","aud":"orders-api"}`:                    "keys_unavailable",
		`{"active":false,"active":true,"sub":"a","aud":"orders-api"}`:     "keys_unavailable",
		`{"active":false,"ACTIVE":true}`:                                  "keys_unavailable",
		`{"active":true,"sub":"a","SUB":"root","aud":"orders-api"}`:       "keys_unavailable",
		`{"active":true,"sub":1,"aud":"orders-api"}`:                      "keys_unavailable",
		`{"active":true,"sub":"a","aud":"orders-api","exp":"1800000001"}`: "keys_unavailable",
		`{"active":true,"sub":"a","aud":"orders-api","exp":1e400}`:        "keys_unavailable",
		`{"active":true,"sub":"a","aud":"orders-api"}{}`:                  "keys_unavailable",
		`[{"active":true}]`: "keys_unavailable",
		`true`:              "keys_unavailable",
		``:                  "keys_unavailable",
		`<html>canary`:      "keys_unavailable",
		`{"active":true,"sub":"` + "\xff" + `","aud":"orders-api"}`:                      "keys_unavailable",
		`{"active":true,"aud":"orders-api","sub":"` + strings.Repeat("x", 64<<10) + `"}`: "keys_unavailable",
		`{"active":true,"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`:  "keys_unavailable",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer) }))
		i := introspected(t, server.URL, IssuerOptions{Issuer: testIssuer, Leeway: 30 * time.Second, Now: func() time.Time { return now }}, IntrospectionOptions{})
		p, err := accepting(i).Authenticate(t.Context(), bearerOf("opaque"))
		server.Close()
		if got := Reason(err); got != want || (err == nil) != (p != nil) {
			t.Errorf("%.120s: %q (%v), want %q", answer, got, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%v quotes the answer", err)
		}
	}
}

func TestIntrospectionThatFails(t *testing.T) {
	t.Parallel()
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, active+"}") }))
	defer evil.Close()
	for name, answer := range map[string]http.HandlerFunc{
		"wrong client": fail(401),
		"forbidden":    fail(403),
		"broken":       fail(500),
		"created":      fail(201),
		"redirect away": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, evil.URL, http.StatusTemporaryRedirect)
		},
		"redirect to GET": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusSeeOther) },
		"closes the line": func(w http.ResponseWriter, _ *http.Request) { c, _, _ := w.(http.Hijacker).Hijack(); c.Close() },
		"cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, active)
		},
		"a compressed bomb": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			fmt.Fprint(w, active)
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(answer)
			defer server.Close()
			var log logs
			i := introspected(t, server.URL+"?canary-query", IssuerOptions{}, IntrospectionOptions{Log: log.logger(), Cache: time.Minute})
			for range 2 {
				_, err := accepting(i).Authenticate(t.Context(), bearerOf("opaque-canary"))
				if !errors.Is(err, ErrUnavailable) || strings.Contains(err.Error(), "canary") {
					t.Errorf("%v, want ErrUnavailable", err)
				}
			}
			if can, failing := i.asks.Status(); !can || !failing {
				t.Errorf("status %v, %v", can, failing)
			}
			if log.count("introspection fails") != 1 || log.count("canary") != 0 {
				t.Errorf("log: %s", log.String())
			}
		})
	}
	t.Run("no one there", func(t *testing.T) {
		i := introspected(t, "http://127.0.0.1:1/", IssuerOptions{}, IntrospectionOptions{})
		for range 5 { // the later ones do not even try
			_, err := accepting(i).Authenticate(t.Context(), bearerOf("opaque"))
			wantReason(t, err, "keys_unavailable")
		}
	})
	t.Run("no client secret", func(t *testing.T) {
		i := introspected(t, evil.URL, IssuerOptions{}, IntrospectionOptions{ClientSecret: secrets.Fixed(secrets.NewSecret(""))})
		_, err := accepting(i).Authenticate(t.Context(), bearerOf("opaque"))
		wantReason(t, err, "keys_unavailable")
		if can, _ := i.asks.Status(); can {
			t.Error("can be asked without a secret")
		}
	})
}

// Which tokens an issuer is asked about, and which never leave.
func TestWhatIsIntrospected(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		fmt.Fprint(w, active+"}")
	}))
	defer server.Close()
	jwt := func(iss string) string { return forgeClaims(t, claims(map[string]any{"iss": iss})) }
	signing := newIssuer(t, IssuerOptions{})
	keys := []KeySource{static(t, fixed("", "HS256", []byte(testSecret)))}
	both := introspected(t, server.URL, IssuerOptions{Issuer: testIssuer, Keys: keys}, IntrospectionOptions{})
	named := introspected(t, server.URL, IssuerOptions{Issuer: "https://other.example/"}, IntrospectionOptions{})
	open := introspected(t, server.URL, IssuerOptions{}, IntrospectionOptions{})
	for name, c := range map[string]struct {
		route []*Issuer
		raw   string
		asked int32
		want  string
	}{
		"opaque, nobody to ask":                         {[]*Issuer{signing}, "opaque", 0, "malformed"},
		"opaque":                                        {[]*Issuer{signing, named}, "opaque", 1, ""},
		"opaque with one dot":                           {[]*Issuer{open}, "ory_at_abc.def", 1, ""},
		"opaque with two dots":                          {[]*Issuer{open}, "ya29.abc.def", 1, ""},
		"opaque, too long":                              {[]*Issuer{open}, strings.Repeat("x", 17<<10), 0, "malformed"},
		"JWT of an issuer with keys":                    {[]*Issuer{both, open}, jwt(testIssuer), 0, ""},
		"forged JWT of an issuer with keys":             {[]*Issuer{both, open}, forge("another secret of thirty-two bytes", `{"alg":"HS256"}`, string(toJSON(t, claims(nil)))), 0, "signature"},
		"JWT with alg none":                             {[]*Issuer{both, open}, forge("", `{"alg":"none"}`, string(toJSON(t, claims(nil)))), 0, "algorithm"},
		"JWT of an issuer without keys":                 {[]*Issuer{signing, named}, jwt("https://other.example/"), 1, ""},
		"JWT of nobody, and all have an iss":            {[]*Issuer{both, named}, jwt("https://unknown.example/"), 0, "issuer"},
		"JWT of nobody, and one has none":               {[]*Issuer{both, named, open}, jwt("https://unknown.example/"), 1, ""},
		"malformed JWT":                                 {[]*Issuer{both, open}, forge(testSecret, `{"alg":"HS256"}`, `{"sub":"a","sub":"b"}`), 0, "malformed"},
		"JWT with loose base64":                         {[]*Issuer{both, open}, jwt(testIssuer) + "=", 0, "malformed"},
		"JWT with crit":                                 {[]*Issuer{both, open}, forge(testSecret, `{"alg":"HS256","crit":["x"],"x":1}`, string(toJSON(t, claims(nil)))), 0, "critical"},
		"two open ones, the first says yes":             {[]*Issuer{open, introspected(t, server.URL, IssuerOptions{}, IntrospectionOptions{})}, "opaque", 1, ""},
		"one is down, the other says yes":               {[]*Issuer{introspected(t, "http://127.0.0.1:1/", IssuerOptions{}, IntrospectionOptions{}), open}, "opaque", 1, ""},
		"one says no for its audience, the other is up": {[]*Issuer{introspected(t, server.URL, IssuerOptions{Audiences: []string{"x"}}, IntrospectionOptions{}), open}, "opaque", 2, ""},
	} {
		before := asked.Load()
		_, err := accepting(c.route...).Authenticate(t.Context(), bearerOf(c.raw))
		if got := Reason(err); got != c.want || asked.Load()-before != c.asked {
			t.Errorf("%s: %q (%v), asked %d times; want %q, %d", name, got, err, asked.Load()-before, c.want, c.asked)
		}
	}
}

// cache-01, cache-03 for answers: never past exp, never past the cache's time.
func TestAnswersAreRememberedUntilExpAtMost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var revoked atomic.Bool
		start := time.Now()
		idp, client := startIDP(t, func(w http.ResponseWriter, r *http.Request) {
			switch raw := r.FormValue("token"); {
			case raw == "unknown", revoked.Load():
				fmt.Fprint(w, `{"active":false}`)
			case raw == "short":
				if time.Since(start) >= 10*time.Second {
					fmt.Fprint(w, `{"active":false}`)
					return
				}
				fmt.Fprintf(w, `{"active":true,"sub":"a","aud":"orders-api","exp":%d}`, start.Add(10*time.Second).Unix())
			default:
				fmt.Fprint(w, active+"}")
			}
		})
		a := accepting(introspected(t, "http://idp/introspect", IssuerOptions{}, IntrospectionOptions{Client: client, Cache: time.Minute}))
		ask := func(raw string, calls int64, want string) {
			t.Helper()
			before := idp.hits.Load()
			for range 3 {
				_, err := a.Authenticate(t.Context(), bearerOf(raw))
				wantReason(t, err, want)
			}
			if n := idp.hits.Load() - before; n != calls {
				t.Errorf("%s after %v: %d calls, want %d", raw, time.Since(start), n, calls)
			}
		}
		ask("long", 1, "")
		ask("short", 1, "")
		ask("unknown", 1, "inactive")
		time.Sleep(9 * time.Second)
		ask("short", 0, "")
		time.Sleep(time.Second)
		ask("short", 1, "inactive")
		time.Sleep(20 * time.Second)
		ask("unknown", 1, "inactive") // "no" is not remembered as long
		revoked.Store(true)
		time.Sleep(29 * time.Second)
		ask("long", 0, "")
		time.Sleep(time.Second)
		ask("long", 1, "inactive")
	})
}

// cache-06: a token that was not known and is now is let through within the time
// that "no" is remembered.
func TestATokenThatBecomesActiveRecovers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var issued atomic.Bool
		_, client := startIDP(t, func(w http.ResponseWriter, _ *http.Request) {
			if issued.Load() {
				fmt.Fprint(w, active+"}")
				return
			}
			fmt.Fprint(w, `{"active":false}`)
		})
		a := accepting(introspected(t, "http://idp/introspect", IssuerOptions{}, IntrospectionOptions{Client: client, Cache: time.Hour}))
		_, err := a.Authenticate(t.Context(), bearerOf("opaque"))
		wantReason(t, err, "inactive")
		issued.Store(true)
		time.Sleep(maxInactive)
		_, err = a.Authenticate(t.Context(), bearerOf("opaque"))
		wantReason(t, err, "")
	})
}

// cache-02: what one issuer block accepts of a token says nothing for another
// that asks for another audience, though both ask at the same place.
func TestARememberedTokenIsJudgedByEachIssuerBlock(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, active+"}") }))
	defer server.Close()
	orders := accepting(introspected(t, server.URL, IssuerOptions{}, IntrospectionOptions{Cache: time.Minute}))
	billing := accepting(introspected(t, server.URL, IssuerOptions{Audiences: []string{"billing"}}, IntrospectionOptions{Cache: time.Minute}))
	for range 2 {
		_, err := orders.Authenticate(t.Context(), bearerOf("opaque"))
		wantReason(t, err, "")
		_, err = billing.Authenticate(t.Context(), bearerOf("opaque"))
		wantReason(t, err, "audience")
	}
}

// Without a cache every request asks; with an answer too large it is not kept.
func TestWhatIsNotRemembered(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.FormValue("token") == "large" {
			fmt.Fprint(w, active+`,"groups":"`+strings.Repeat("x", maxRemembered)+`"}`)
			return
		}
		fmt.Fprint(w, active+"}")
	}))
	defer server.Close()
	for raw, cache := range map[string]time.Duration{"small": 0, "large": time.Minute} {
		asked.Store(0)
		a := accepting(introspected(t, server.URL, IssuerOptions{}, IntrospectionOptions{Cache: cache}))
		for range 3 {
			if _, err := a.Authenticate(t.Context(), bearerOf(raw)); err != nil {
				t.Error(err)
			}
		}
		if asked.Load() != 3 {
			t.Errorf("%s: %d calls, want 3", raw, asked.Load())
		}
	}
}

// cache-04: a flood of guesses pushes out no caller that was let through, and
// memory stays bounded.
func TestAFloodOfGuessesPushesOutNobody(t *testing.T) {
	t.Parallel()
	a := newAnswers()
	now := time.Now()
	key := func(n int) (k answerKey) { copy(k[:], fmt.Sprint(n)); return k }
	claims, err := readAnswer([]byte(active + "}"))
	if err != nil {
		t.Fatal(err)
	}
	a.put(key(-1), claims, now.Add(time.Hour))
	for n := range 200_000 {
		a.put(key(n), nil, now.Add(time.Hour))
	}
	if got, ok := a.get(key(-1), now); !ok || got != claims {
		t.Error("the caller was forgotten")
	}
	if a.no.Len() != maxAnswers || a.yes.Len() != 1 {
		t.Errorf("%d and %d answers are kept", a.no.Len(), a.yes.Len())
	}
	if _, ok := a.get(key(199_999), now.Add(2*time.Hour)); ok {
		t.Error("an old answer counts")
	}
}

// cache-05: what is remembered of one issuer's token is nothing for another's.
func TestAnswersAreOfOneIssuer(t *testing.T) {
	t.Parallel()
	var asked [2]atomic.Int32
	var issuers [2]*Issuer
	for n, answer := range []string{active + "}", `{"active":false}`} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { asked[n].Add(1); fmt.Fprint(w, answer) }))
		defer server.Close()
		issuers[n] = introspected(t, server.URL, IssuerOptions{}, IntrospectionOptions{Cache: time.Minute})
	}
	for range 2 {
		_, err := accepting(issuers[0]).Authenticate(t.Context(), bearerOf("opaque"))
		wantReason(t, err, "")
		_, err = accepting(issuers[1]).Authenticate(t.Context(), bearerOf("opaque"))
		wantReason(t, err, "inactive")
	}
	if asked[0].Load() != 1 || asked[1].Load() != 1 {
		t.Errorf("asked %d and %d times", asked[0].Load(), asked[1].Load())
	}
	if issuers[0].asks.keyOf("opaque") == issuers[1].asks.keyOf("opaque") {
		t.Error("both remember it under the same key")
	}
}

// One call a token, however many hold it; a caller who leaves holds up nobody.
func TestAHerdIntrospectsOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		idp, client := startIDP(t, func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(time.Second)
			fmt.Fprint(w, active+"}")
		})
		a := accepting(introspected(t, "http://idp/introspect", IssuerOptions{}, IntrospectionOptions{Client: client, Cache: time.Minute}))
		first, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			_, err := a.Authenticate(first, bearerOf("opaque"))
			wantReason(t, err, "keys_unavailable")
		})
		synctest.Wait()
		for range 200 {
			all.Go(func() {
				_, err := a.Authenticate(t.Context(), bearerOf("opaque"))
				wantReason(t, err, "")
			})
		}
		leave()
		all.Wait()
		if idp.hits.Load() != 1 {
			t.Errorf("%d calls for 201 requests with one token", idp.hits.Load())
		}
	})
}

// atOnce counts the calls under way.
type atOnce struct {
	next      http.RoundTripper
	now, most atomic.Int32
}

func (c *atOnce) RoundTrip(r *http.Request) (*http.Response, error) {
	if n := c.now.Add(1); n > c.most.Load() {
		c.most.Store(n)
	}
	defer c.now.Add(-1)
	return c.next.RoundTrip(r)
}

// An issuer that hangs holds a bounded number of calls and requests, each for a
// bounded time; after three it is left alone for a while.
func TestAnIssuerThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		idp, client := startIDP(t, func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(20 * time.Second):
			case <-r.Context().Done():
			}
		})
		calls := &atOnce{next: client.Transport}
		client.Transport = calls
		a := accepting(introspected(t, "http://idp/introspect", IssuerOptions{}, IntrospectionOptions{Client: client, Cache: time.Minute}))
		start := time.Now()
		var all sync.WaitGroup
		for n := range 2000 {
			all.Go(func() {
				_, err := a.Authenticate(t.Context(), bearerOf(fmt.Sprint("opaque-", n)))
				wantReason(t, err, "keys_unavailable")
			})
		}
		all.Wait()
		if took := time.Since(start); took > fetchTimeout || calls.most.Load() > maxAtOnce {
			t.Errorf("took %v, %d calls at once", took, calls.most.Load())
		}
		before := idp.hits.Load()
		_, err := a.Authenticate(t.Context(), bearerOf("one-more"))
		wantReason(t, err, "keys_unavailable")
		if idp.hits.Load() != before || time.Since(start) > fetchTimeout {
			t.Error("an issuer that hangs is asked again at once")
		}
		t.Logf("2000 tokens at once: %d calls, %d at once, over after %v", before, calls.most.Load(), fetchTimeout)
		idp.set(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, active+"}") })
		time.Sleep(longestPause * 2)
		_, err = a.Authenticate(t.Context(), bearerOf("opaque"))
		wantReason(t, err, "")
	})
}

// FuzzReadAnswer: no panic, and what is active was said to be, in so many words.
func FuzzReadAnswer(f *testing.F) {
	f.Add([]byte(active + "}"))
	f.Add([]byte(`{"active":false}`))
	f.Add([]byte(`{"active":true,"ACTIVE":false,"exp":1e9}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		claims, err := readAnswer(doc)
		if err != nil && claims != nil {
			t.Error("claims beside an error")
		}
		if claims != nil && claims.All["active"] != true {
			t.Errorf("%q is taken for active", doc)
		}
	})
}
