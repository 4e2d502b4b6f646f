package admin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	neturl "net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport/internal/admin"
	"github.com/sallyport/sallyport/internal/secrets"
)

const adminToken = "an admin token of 32 characters."

// calls are what the audit log was told.
type calls struct {
	mu   sync.Mutex
	list []admin.Call
	fail error
}

func (c *calls) record(_ context.Context, call admin.Call) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail == nil {
		c.list = append(c.list, call)
	}
	return c.fail
}

// serve starts an admin listener with everything on, changed by change.
func serve(t *testing.T, change func(*admin.Options)) string {
	t.Helper()
	o := admin.Options{
		Health: func() admin.Health { return admin.Health{} }, Gatherer: prometheus.NewRegistry(),
		Token: secrets.Fixed(secrets.NewSecret(adminToken)), Local: true,
		Status: func() admin.Status { return admin.Status{Status: admin.OK} },
		Refresh: func(_ context.Context, name string) error {
			switch name {
			case "crm":
				return nil
			case "legacy":
				return fmt.Errorf("%w: credential legacy is not fetched", admin.ErrRefused)
			case "down":
				return fmt.Errorf("%w: no answer", admin.ErrPeer)
			case "soon":
				return fmt.Errorf("canary: %w", admin.ErrTooSoon)
			case "odd":
				return errors.New("canary")
			}
			return admin.ErrUnknown
		},
		Reload: func(context.Context) error { return nil },
		Explain: func(_ context.Context, ask admin.Question) (any, error) {
			if ask.URL == "" {
				return nil, fmt.Errorf("%w: url is empty", admin.ErrBadRequest)
			}
			return ask, nil
		},
	}
	if change != nil {
		change(&o)
	}
	s := httptest.NewServer(admin.New(o))
	t.Cleanup(s.Close)
	return s.URL
}

// ask sends a request with headers as "Name: value".
func ask(t *testing.T, method, url, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Add(name, value)
	}
	res, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

const withToken = "Authorization: Bearer " + adminToken

var guardedPaths = []string{"/", "/api/v1/status", "/api/v1/explain", "/api/v1/reload", "/api/v1/credentials/crm/refresh", "/debug/pprof/", "/debug/pprof/heap", "/debug/vars", "/livez/", "//metrics", "/x"}

// admin-01: nothing but the probes is answered without the token, whatever the
// method, and no door opens while it cannot be read.
func TestAdmin01EveryRouteAsksForTheToken(t *testing.T) {
	t.Parallel()
	url := serve(t, nil)
	for _, path := range guardedPaths {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "ODD"} {
			for name, headers := range map[string][]string{
				"none":        nil,
				"wrong":       {"Authorization: Bearer " + adminToken + "x"},
				"a part":      {"Authorization: Bearer " + adminToken[:31]},
				"empty":       {"Authorization: Bearer "},
				"basic":       {"Authorization: Basic " + adminToken},
				"no scheme":   {"Authorization: " + adminToken},
				"two":         {withToken, withToken},
				"in a cookie": {"Cookie: token=" + adminToken},
			} {
				res, body := ask(t, method, url+path, "", headers...)
				if res.StatusCode != 401 || !strings.HasPrefix(res.Header.Get("Www-Authenticate"), "Bearer ") {
					t.Errorf("%s %s, %s: %d %s", method, path, name, res.StatusCode, body)
				}
			}
		}
	}
	if res, body := ask(t, "GET", url+"/api/v1/status?token="+neturl.QueryEscape(adminToken), ""); res.StatusCode != 401 {
		t.Errorf("in the query: %d %s", res.StatusCode, body)
	}
	for _, path := range []string{"/livez", "/healthz", "/readyz", "/metrics"} {
		if res, _ := ask(t, "GET", url+path, ""); res.StatusCode != 200 {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
	unread := secrets.NewStore(secrets.NewEnv("", func(string) (string, bool) { return "", false }), secrets.Options{}).Watch(secrets.Reference{Path: "a"})
	url = serve(t, func(o *admin.Options) { o.Token = unread })
	for _, headers := range [][]string{nil, {"Authorization: Bearer "}, {withToken}} {
		if res, _ := ask(t, "GET", url+"/api/v1/status", "", headers...); res.StatusCode != 503 {
			t.Errorf("while the token cannot be read: %d, want 503", res.StatusCode)
		}
	}
}

func TestTokenOpensTheAPI(t *testing.T) {
	t.Parallel()
	url := serve(t, nil)
	const json = "Content-Type: application/json"
	for name, c := range map[string]struct {
		method, path, body, kind string
		status                   int
		says                     string
	}{
		"status":             {"GET", "/api/v1/status", "", "", 200, `"status":"ok"`},
		"scheme in any case": {"GET", "/api/v1/status", "", "Authorization: bearer " + adminToken, 200, ""},
		"head":               {"HEAD", "/api/v1/status", "", "", 200, ""},
		"wrong method":       {"POST", "/api/v1/status", "", "", 405, "method-not-allowed"},
		"refresh":            {"POST", "/api/v1/credentials/crm/refresh", "", "", 200, `"result":"success"`},
		"refresh by GET":     {"GET", "/api/v1/credentials/crm/refresh", "", "", 405, ""},
		"refresh unknown":    {"POST", "/api/v1/credentials/none/refresh", "", "", 404, "no route uses a credential of this name"},
		"refresh a static":   {"POST", "/api/v1/credentials/legacy/refresh", "", "", 422, "is not fetched"},
		"refresh in vain":    {"POST", "/api/v1/credentials/down/refresh", "", "", 502, "no answer"},
		"refresh too soon":   {"POST", "/api/v1/credentials/soon/refresh", "", "", 429, "a moment ago"},
		"refresh oddly":      {"POST", "/api/v1/credentials/odd/refresh", "", "", 500, "something went wrong"},
		"reload":             {"POST", "/api/v1/reload", "", "", 200, ""},
		"explain":            {"POST", "/api/v1/explain", `{"method":"GET","url":"http://a/b","headers":{"A":"b"}}`, json, 200, `"url":"http://a/b"`},
		"explain, charset":   {"POST", "/api/v1/explain", `{"url":"http://a/b"}`, json + "; charset=utf-8", 200, ""},
		"explain nothing":    {"POST", "/api/v1/explain", `{}`, json, 400, "url is empty"},
		"explain odd":        {"POST", "/api/v1/explain", `{"uri":"http://a/b"}`, json, 400, "bad-request"},
		"explain twice":      {"POST", "/api/v1/explain", `{"url":"http://a/b"}{}`, json, 400, ""},
		"as curl -d sends":   {"POST", "/api/v1/explain", `{"url":"http://a/b"}`, "Content-Type: application/x-www-form-urlencoded", 200, `"url":"http://a/b"`},
		"a form":             {"POST", "/api/v1/explain", `url=http://a/b`, "Content-Type: application/x-www-form-urlencoded", 400, "bad-request"},
		"no type":            {"POST", "/api/v1/explain", `{"url":"http://a/b"}`, "", 200, ""},
		"text":               {"POST", "/api/v1/explain", `{"url":"http://a/b"}`, "Content-Type: text/plain", 415, ""},
		"profiles":           {"GET", "/debug/pprof/", "", "", 200, "goroutine"},
		"a profile":          {"GET", "/debug/pprof/goroutine?debug=1", "", "", 200, "goroutine profile"},
		"the command line":   {"GET", "/debug/pprof/cmdline", "", "", 404, ""},
		"no dashboard":       {"GET", "/", "", "", 404, "not-found"},
		"elsewhere":          {"GET", "/api/v1/statuses", "", "", 404, "not-found"},
	} {
		t.Run(name, func(t *testing.T) {
			headers := []string{withToken}
			if strings.HasPrefix(c.kind, "Authorization") {
				headers = nil
			}
			if c.kind != "" {
				headers = append(headers, c.kind)
			}
			res, body := ask(t, c.method, url+c.path, c.body, headers...)
			if res.StatusCode != c.status || !strings.Contains(body, c.says) || strings.Contains(body, "canary") {
				t.Errorf("%d, want %d that says %q: %s", res.StatusCode, c.status, c.says, body)
			}
			if res.StatusCode >= 400 && res.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("a refusal of type %q", res.Header.Get("Content-Type"))
			}
			if c.status == 405 && !slices.Contains([]string{"GET, HEAD", "POST"}, res.Header.Get("Allow")) {
				t.Errorf("Allow: %q", res.Header.Get("Allow"))
			}
		})
	}
}

// admin-02: a page of another origin can ask for nothing, not even with a form.
func TestAdmin02OtherOriginsAreRefused(t *testing.T) {
	t.Parallel()
	for where, change := range map[string]func(*admin.Options){"with the token": nil, "without one": func(o *admin.Options) { o.Token = nil }} {
		url := serve(t, change)
		own := strings.TrimPrefix(url, "http://")
		for name, c := range map[string]struct {
			headers []string
			status  int
		}{
			"evil origin, text/plain": {[]string{"Origin: https://evil.example", "Content-Type: text/plain"}, 403},
			"null origin":             {[]string{"Origin: null"}, 403},
			"another port":            {[]string{"Origin: http://127.0.0.1:1"}, 403},
			"cross-site":              {[]string{"Sec-Fetch-Site: cross-site"}, 403},
			"same-site":               {[]string{"Sec-Fetch-Site: same-site"}, 403},
			"own origin":              {[]string{"Origin: http://" + own}, 200},
			"own page":                {[]string{"Sec-Fetch-Site: same-origin", "Origin: http://" + own}, 200},
			"a program":               {nil, 200},
			"a program's text":        {[]string{"Content-Type: text/plain"}, 415},
		} {
			for method, path := range map[string]string{"POST": "/api/v1/reload", "GET": "/api/v1/status"} {
				res, body := ask(t, method, url+path, "", append(c.headers, withToken)...)
				if res.StatusCode != c.status {
					t.Errorf("%s, %s: %s: %d, want %d: %s", where, name, method, res.StatusCode, c.status, body)
				}
				if res.Header.Get("Access-Control-Allow-Origin") != "" {
					t.Errorf("%s, %s: another origin may read", where, name)
				}
			}
		}
	}
}

// Without a token nothing tells a program from a page that sends a form.
func TestAdmin02FormsAreRefusedWithoutAToken(t *testing.T) {
	t.Parallel()
	url := serve(t, func(o *admin.Options) { o.Token = nil })
	for _, headers := range [][]string{nil, {"Content-Type: application/x-www-form-urlencoded"}, {"Content-Type: application/x-www-form-urlencoded", withToken}} {
		if res, body := ask(t, "POST", url+"/api/v1/explain", `{"url":"http://a/b"}`, headers...); res.StatusCode != 415 {
			t.Errorf("%q: %d, want 415: %s", headers, res.StatusCode, body)
		}
	}
}

// DNS rebinding: a page that calls itself 127.0.0.1 by its own name gets nothing
// where no token is asked for.
func TestAdmin02ForeignNamesAreRefusedWithoutAToken(t *testing.T) {
	t.Parallel()
	url := serve(t, func(o *admin.Options) { o.Token = nil })
	for host, want := range map[string]int{
		"evil.example": 403, "evil.example:9090": 403, "127.0.0.1.evil.example": 403, "localhost.evil.example": 403, "10.0.0.1": 403,
		"localhost": 200, "LOCALHOST:9090": 200, "127.0.0.1": 200, "127.1.2.3:1": 200, "[::1]:9090": 200, "[::1]": 200,
	} {
		if res, body := ask(t, "GET", url+"/api/v1/status", "", "Host: "+host); res.StatusCode != want {
			t.Errorf("%s: %d, want %d: %s", host, res.StatusCode, want, body)
		}
	}
	if res, _ := ask(t, "GET", url+"/readyz", "", "Host: 10.0.0.1:9090"); res.StatusCode != 200 {
		t.Errorf("a probe by another name: %d", res.StatusCode)
	}
}

func TestWithoutATokenOnlyThisMachineIsServed(t *testing.T) {
	t.Parallel()
	url := serve(t, func(o *admin.Options) { o.Token, o.Local = nil, false })
	for _, path := range guardedPaths {
		for _, headers := range [][]string{nil, {withToken}} {
			if res, body := ask(t, "GET", url+path, "", headers...); res.StatusCode != 404 {
				t.Errorf("%s: %d %s", path, res.StatusCode, body)
			}
		}
	}
	for _, path := range []string{"/livez", "/healthz", "/readyz", "/metrics"} {
		if res, _ := ask(t, "GET", url+path, ""); res.StatusCode != 200 {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
}

// admin-03: the answers say how they are to be held.
func TestAdmin03SecurityHeaders(t *testing.T) {
	t.Parallel()
	url := serve(t, nil)
	for _, path := range append(guardedPaths, "/livez", "/readyz", "/metrics") {
		for _, headers := range [][]string{nil, {withToken}} {
			res, _ := ask(t, "GET", url+path, "", headers...)
			for name, want := range map[string]string{
				"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "X-Content-Type-Options": "nosniff",
				"X-Frame-Options": "DENY", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "Server": "",
			} {
				if got := res.Header.Get(name); got != want {
					t.Errorf("%s: %s: %q, want %q", path, name, got, want)
				}
			}
		}
	}
}

// endless is a body that counts what was read of it.
type endless struct{ read atomic.Int64 }

func (e *endless) Read(b []byte) (int, error) {
	e.read.Add(int64(len(b)))
	return len(b), nil
}

// admin-09: what is too large is refused before it has come.
func TestAdmin09LargeBodiesAreRefusedEarly(t *testing.T) {
	t.Parallel()
	url := serve(t, nil)
	for name, length := range map[string]int64{"announced": 100 << 20, "chunked": -1} {
		body := new(endless)
		r, err := http.NewRequestWithContext(t.Context(), "POST", url+"/api/v1/explain", io.LimitReader(body, 100<<20))
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = length
		r.Header.Set("Authorization", "Bearer "+adminToken)
		r.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(r)
		if err != nil { // the server closed while the body was on its way
			continue
		}
		_ = res.Body.Close()
		if res.StatusCode != 413 {
			t.Errorf("%s: %d, want 413", name, res.StatusCode)
		}
		if body.read.Load() > 32<<20 {
			t.Errorf("%s: %d bytes were taken", name, body.read.Load())
		}
	}
	res, _ := ask(t, "POST", url+"/api/v1/explain", strings.Repeat("a=b&", 1<<16), withToken, "Content-Type: application/x-www-form-urlencoded")
	if res.StatusCode != 413 {
		t.Errorf("a form: %d", res.StatusCode)
	}
}

// Every call stands in the audit log, and none is answered that cannot.
func TestCallsAreRecordedOrRefused(t *testing.T) {
	t.Parallel()
	seen := new(calls)
	url := serve(t, func(o *admin.Options) { o.Record = seen.record })
	ask(t, "GET", url+"/api/v1/status?x=secret", "", withToken)
	ask(t, "POST", url+"/api/v1/reload", "")
	ask(t, "GET", url+"/livez", "")
	if len(seen.list) != 2 {
		t.Fatalf("recorded %+v", seen.list)
	}
	if c := seen.list[0]; c.Path != "/api/v1/status" || c.Method != "GET" || c.Refused != 0 || c.IP != "127.0.0.1" || len(c.RequestID) != 32 {
		t.Errorf("recorded %+v", c)
	}
	if c := seen.list[1]; c.Refused != 401 || c.Reason != "no_token" {
		t.Errorf("recorded %+v", c)
	}
	seen.fail = errors.New("disk full")
	for path, want := range map[string]int{"/api/v1/status": 503, "/debug/pprof/": 503, "/readyz": 200} {
		if res, _ := ask(t, "GET", url+path, "", withToken); res.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, res.StatusCode, want)
		}
	}
	if res, _ := ask(t, "GET", url+"/api/v1/status", ""); res.StatusCode != 401 {
		t.Errorf("without a token: %d", res.StatusCode)
	}
}
