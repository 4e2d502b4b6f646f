package gateway_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/audit"
	"github.com/sallyport/sallyport/internal/gateway"
)

const auditKey = "an audit key of 32 bytes or more, for tests"

// audited is a gateway with an audit log at path, and more of a configuration.
func audited(t *testing.T, path, onError, more string) *running {
	t.Helper()
	return start(t, head+fmt.Sprintf("audit: {path: %q, hmac_key: \"${secret:audit/key}\", on_error: %s}\n", path, onError)+more,
		environment{"AUDIT_KEY": auditKey, "ADMIN": "the admin token of these tests", "UP": "canary-up"})
}

// record is what tests look at of a line.
type record struct {
	Seq       uint64
	Time      time.Time
	Event     string
	Action    string
	Decision  string
	Result    string
	RequestID string `json:"request_id"`
	IP        string
	Method    string
	Path      string
	Route     string
	Status    int
	Check     string
	Reason    string
	Subject   string
	Issuer    string
	Name      string
	Backend   string
	Detail    string
}

// records are the lines of the log, of one kind unless that is "".
func records(t *testing.T, path, kind string) (list []record) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var r record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			if strings.HasSuffix(line, "\n") {
				t.Fatalf("%q: %v", line, err)
			}
			break // is being written
		}
		if kind == "" || r.Event == kind {
			list = append(list, r)
		}
	}
	return list
}

func verifies(t *testing.T, path string) {
	t.Helper()
	if _, err := audit.Verify([][]byte{[]byte(auditKey)}, path); err != nil {
		t.Error(err)
	}
}

const auditedRoutes = `
routes:
  - {name: shut, path: "/shut/*", auth: {issuers: [test], scopes: [orders:write]}, rate_limit: {rate: 1/h, burst: 1000}, upstream: %[1]q}
  - {name: watched, path: "/watched", auth: {issuers: [test], mode: observe}, upstream: %[1]q}
  - {name: open, path: "/open", auth: public, inject: up, upstream: %[1]q}
  - {name: limited, path: "/limited", auth: public, rate_limit: {rate: 1/h}, upstream: %[1]q}
credentials: {up: {type: static, token: "${secret:up}"}}
`

// logs-01, logs-03: each decision to deny is one record, whatever the caller
// sends; what is let through is none.
func TestAuditHasEveryDecisionToDeny(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	g := audited(t, path, "continue", fmt.Sprintf(auditedRoutes, startEcho(t).URL))
	for name, c := range map[string]struct {
		path    string
		headers []string
		want    record
	}{
		"no token":     {"/shut/1?x=canary", nil, record{Path: "/shut/1", Route: "shut", Status: 401, Check: "authenticate", Reason: "no_token"}},
		"no scope":     {"/shut/2", []string{bearer(mint(t, nil))}, record{Path: "/shut/2", Route: "shut", Status: 403, Check: "authorise", Reason: "scopes", Subject: "alice", Issuer: "test"}},
		"bad token":    {"/shut/3", []string{bearer(mint(t, nil) + "x")}, record{Path: "/shut/3", Route: "shut", Status: 401, Check: "authenticate", Reason: "signature"}},
		"no route":     {"/x%0d%0a{%22level%22:%22info%22,%22msg%22:%22admin%20ok%22}", nil, record{Status: 400, Route: "(none)", Check: "normalise", Reason: "path"}},
		"found none":   {"/elsewhere", nil, record{Path: "/elsewhere", Route: "(none)", Status: 404, Check: "route", Reason: "no_route"}},
		"observed":     {"/watched", nil, record{Path: "/watched", Route: "watched", Status: 200, Check: "authenticate", Reason: "no_token", Result: "observed"}},
		"another line": {"/%E2%80%AE/%1b", nil, record{Status: 400, Route: "(none)", Check: "normalise", Reason: "path"}},
	} {
		before := len(records(t, path, "deny"))
		answer := send(t, "GET", g.URL+c.path, "", c.headers...)
		await(t, name, func() bool { return len(records(t, path, "deny")) > before })
		list := records(t, path, "deny")
		got := list[before]
		if len(list) != before+1 {
			t.Fatalf("%s: %d records", name, len(list)-before)
		}
		if got.RequestID != answer.Header.Get("X-Request-Id") || got.Decision != "deny" || got.Method != "GET" || got.IP != "127.0.0.1" || got.Time.Location() != time.UTC || time.Since(got.Time) > time.Minute {
			t.Errorf("%s: %+v", name, got)
		}
		if c.want.Path == "" {
			c.want.Path = got.Path
		}
		if c.want.Result == "" {
			c.want.Result = "refused"
		}
		c.want.Seq, c.want.Time, c.want.Event, c.want.Decision, c.want.RequestID, c.want.IP, c.want.Method = got.Seq, got.Time, "deny", "deny", got.RequestID, got.IP, "GET"
		if got != c.want {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, c.want)
		}
	}
	before := len(records(t, path, "deny"))
	for range 3 {
		send(t, "GET", g.URL+"/open", "")
	}
	send(t, "GET", g.URL+"/limited", "")
	send(t, "GET", g.URL+"/limited", "")
	await(t, "the limit", func() bool { return len(records(t, path, "deny")) == before+1 })
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	verifies(t, path)
	text, _ := os.ReadFile(path)
	for _, secret := range []string{"canary", hmacKey, auditKey, "admin token"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("%s is in the log", secret)
		}
	}
}

// A flood of denials by many callers at once: as many records as decisions.
func TestAuditCountsAFlood(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	g := audited(t, path, "continue", fmt.Sprintf(auditedRoutes, startEcho(t).URL))
	var all sync.WaitGroup
	var sent atomic.Int64
	c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 20}}
	for range 20 {
		all.Go(func() {
			for range 100 {
				res, err := c.Get(g.URL + "/shut/x")
				if err != nil {
					t.Error(err)
					return
				}
				_ = res.Body.Close()
				sent.Add(1)
			}
		})
	}
	all.Wait()
	c.CloseIdleConnections()
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	verifies(t, path)
	if got := len(records(t, path, "deny")); int64(got) != sent.Load() {
		t.Errorf("%d records of %d decisions", got, sent.Load())
	}
}

// Renewals, good and bad, reads of secrets and calls of the admin API.
func TestAuditHasRenewalsReadsAndCalls(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	var fails atomic.Bool
	fails.Store(true)
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if fails.Load() {
			http.Error(w, "canary", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprint(w, `{"access_token":"canary-token","token_type":"bearer","expires_in":3600}`)
	}))
	t.Cleanup(tokens.Close)
	g := start(t, fmt.Sprintf(`
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0, token: "${secret:admin}"}
secrets: {backend: env}
audit: {path: %q, hmac_key: "${secret:audit/key}"}
credentials:
  crm: {type: oauth2, token_url: "%s/token", client_id: gateway, client_secret: "${secret:crm/secret}"}
  gone: {type: static, token: "${secret:gone}", header: X-Gone}
routes:
  - {name: open, path: "/open", auth: public, inject: crm, upstream: %[3]q}
  - {name: gone, path: "/gone", auth: public, inject: gone, upstream: %[3]q}
`, path, tokens.URL, startEcho(t).URL), environment{"AUDIT_KEY": auditKey, "ADMIN": "the admin token of these tests", "CRM_SECRET": "canary-client"})
	has := func(kind string, ok func(r record) bool) func() bool {
		return func() bool {
			for _, r := range records(t, path, kind) {
				if ok(r) {
					return true
				}
			}
			return false
		}
	}
	await(t, "a failed renewal", has("credential", func(r record) bool {
		return r.Name == "crm" && r.Action == "renew" && r.Result == "failure" && r.Reason == "refused"
	}))
	fails.Store(false)
	await(t, "a renewal", has("credential", func(r record) bool { return r.Name == "crm" && r.Result == "success" }))
	await(t, "a read", has("secret", func(r record) bool {
		return r.Name == "crm/secret" && r.Action == "read" && r.Backend == "env" && r.Result == "success"
	}))
	await(t, "a read in vain", has("secret", func(r record) bool { return r.Name == "gone" && r.Result == "failure" && r.Reason == "not_found" }))
	got := send(t, "GET", g.Admin+"/api/v1/status", "", bearer("the admin token of these tests"))
	if got.Status != 200 || !strings.Contains(got.Body, `"audit":{"status":"ok"`) {
		t.Errorf("status: %d %s", got.Status, got.Body)
	}
	if !has("admin", func(r record) bool {
		return r.Path == "/api/v1/status" && r.Method == "GET" && r.Decision == "allow" && r.RequestID == got.Header.Get("X-Request-Id")
	})() {
		t.Error("the call is not on the disk when it is answered")
	}
	send(t, "POST", g.Admin+"/api/v1/reload", "", bearer("canary"))
	await(t, "a refused call", has("admin", func(r record) bool {
		return r.Path == "/api/v1/reload" && r.Decision == "deny" && r.Status == 401 && r.Reason == "token"
	}))
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	verifies(t, path)
	if text, _ := os.ReadFile(path); strings.Contains(string(text), "canary") {
		t.Error("a secret is in the log")
	}
}

// The disk is full. With refuse every request is 503, with continue it is served;
// calls of the admin API are refused either way, and the probes are not.
func TestAuditThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	for onError, want := range map[string]int{"continue": 200, "refuse": 503} {
		t.Run(onError, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "audit.jsonl")
			if err := os.Symlink("/dev/full", path); err != nil {
				t.Fatal(err)
			}
			g := audited(t, path, onError, fmt.Sprintf(auditedRoutes, startEcho(t).URL))
			await(t, "the failure", func() bool { return strings.Contains(g.Log.String(), "audit log cannot be written") })
			got := send(t, "GET", g.URL+"/open", "")
			if got.Status != want {
				t.Errorf("a request: %d, want %d", got.Status, want)
			}
			if want == 503 && (got.problem(t)["status"] != 503.0 || got.Header.Get("Retry-After") == "" || strings.Contains(got.Body, "audit")) {
				t.Errorf("%v %s", got.Header, got.Body)
			}
			if got := send(t, "GET", g.Admin+"/api/v1/status", ""); got.Status != 503 {
				t.Errorf("an admin call: %d", got.Status)
			}
			status, body := ready(t, g, "")
			if (want == 200) != (status == 200) || body["status"] == "ok" {
				t.Errorf("ready: %d %v", status, body)
			}
			if got := send(t, "GET", g.Admin+"/metrics", ""); got.Status != 200 || !strings.Contains(got.Body, "gateway_audit_failing 1") {
				t.Errorf("metrics: %d", got.Status)
			}
		})
	}
}

// A pipe nobody reads: no request waits on it for 2 s, and what is lost is
// counted.
func TestAuditThatIsBlockedHoldsUpNobody(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(path, os.O_RDWR, 0) // and never read from
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reader.Close() })
	g := audited(t, path, "continue", fmt.Sprintf(auditedRoutes, startEcho(t).URL))
	c := &http.Client{}
	var longest time.Duration
	for range 1500 {
		began := time.Now()
		res, err := c.Get(g.URL + "/shut/" + strings.Repeat("x", 1000))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != 401 {
			t.Fatalf("%d", res.StatusCode)
		}
		longest = max(longest, time.Since(began))
	}
	await(t, "the failure", func() bool { return strings.Contains(g.Log.String(), "audit log cannot be written") })
	if longest > 2*time.Second {
		t.Errorf("a request waited %v", longest)
	}
	t.Logf("1500 denials on a blocked pipe: none waited longer than %v", longest.Round(time.Millisecond))
}

func TestAuditThatCannotBeIsOneClearLine(t *testing.T) {
	t.Parallel()
	env := environment{"JWT_KEY": hmacKey, "AUDIT_KEY": "much too short"}
	text := head + "audit: {path: %q, hmac_key: \"${secret:audit/key}\"}\n" + fmt.Sprintf(openRoute, "http://127.0.0.1:1")
	below := filepath.Join(t.TempDir(), "none", "audit.jsonl")
	_, err := gateway.Build(parse(t, fmt.Sprintf(text, below), env), gateway.Options{LookupEnv: env.lookup})
	if err == nil || !strings.Contains(err.Error(), "test.yaml:10:") || !strings.Contains(err.Error(), "audit.path") || strings.Contains(err.Error(), "\n") {
		t.Errorf("no folder: %v", err)
	}
	c := parse(t, fmt.Sprintf(text, filepath.Join(t.TempDir(), "audit.jsonl")), env)
	g, err := gateway.Build(c, gateway.Options{LookupEnv: env.lookup})
	if err != nil {
		t.Fatal(err)
	}
	for when, err := range map[string]error{
		"run": g.Fetch(t.Context()), "validate": gateway.Validate(t.Context(), c, gateway.Options{LookupEnv: env.lookup}, false),
	} {
		if err == nil || !strings.Contains(err.Error(), "test.yaml:10:") || !strings.Contains(err.Error(), "32 bytes") || strings.Contains(err.Error(), "much too short") {
			t.Errorf("%s with a short key: %v", when, err)
		}
	}
	if _, err := os.Stat(c.Audit.Path + ".head"); err == nil {
		t.Error("something was written")
	}
}

// The chain goes on over a restart of the gateway.
func TestAuditGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	path, up := filepath.Join(t.TempDir(), "audit.jsonl"), startEcho(t)
	for i := range 3 {
		g := audited(t, path, "refuse", fmt.Sprintf(auditedRoutes, up.URL))
		await(t, "readiness", func() bool { status, _ := ready(t, g, ""); return status == 200 })
		if got := send(t, "GET", g.URL+"/shut/x", ""); got.Status != 401 {
			t.Errorf("start %d: %d", i, got.Status)
		}
		if err := g.stop(); err != nil {
			t.Fatal(err)
		}
		verifies(t, path)
		if got := len(records(t, path, "deny")); got != i+1 {
			t.Errorf("start %d: %d records", i, got)
		}
	}
}
