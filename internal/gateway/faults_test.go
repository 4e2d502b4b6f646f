package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/demo"
	"github.com/sallyport/sallyport/internal/gateway"
	"github.com/sallyport/sallyport/internal/peertest"
	"github.com/sallyport/sallyport/internal/token"
)

// ready returns /readyz's status and body.
func ready(t *testing.T, g *running, query string) (int, map[string]any) {
	t.Helper()
	a := send(t, "GET", g.Admin+"/readyz"+query, "")
	var body map[string]any
	if err := json.Unmarshal([]byte(a.Body), &body); err != nil {
		t.Fatalf("readyz: %q: %v", a.Body, err)
	}
	return a.Status, body
}

// Not to be had at start: the gateway starts, and only the routes that need it
// answer 503 (CONTRACT 5).
func TestMissingSecretStopsOnlyWhatNeedsIt(t *testing.T) {
	t.Parallel()
	dir, up := t.TempDir(), startEcho(t)
	g := start(t, fmt.Sprintf(`
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
secrets: {backend: file, file: {dir: %[1]s}, refresh: 1s}
issuers:
  test: {issuer: https://issuer.test, audiences: [orders-api], keys: [{algorithm: HS256, key: "${secret:jwt}"}]}
credentials: {up: {type: static, token: "${secret:up}"}}
routes:
  - {name: open, path: "/open", auth: public, upstream: "%[2]s"}
  - {name: shut, path: "/shut", auth: {issuers: [test]}, upstream: "%[2]s"}
  - {name: injected, path: "/injected", auth: public, inject: up, upstream: "%[2]s"}
`, dir, up.URL), nil)
	for path, want := range map[string]int{"/open": 200, "/shut": 503, "/injected": 503} {
		if got := get(t, g.URL+path); got.Status != want {
			t.Errorf("%s: %d, want %d", path, got.Status, want)
		}
	}
	if got := send(t, "GET", g.URL+"/shut", ""); got.Status != 401 {
		t.Errorf("no token while the keys are not to be had: %d, want 401", got.Status)
	}
	await(t, "degraded readiness", func() bool { status, body := ready(t, g, ""); return status == 200 && body["status"] == "degraded" })
	if status, _ := ready(t, g, "?strict"); status != 503 {
		t.Errorf("strictly ready: %d, want 503", status)
	}
	for name, text := range map[string]string{"jwt": hmacKey, "up": "upstream-key"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "both routes", func() bool { return get(t, g.URL+"/shut").Status == 200 && get(t, g.URL+"/injected").Status == 200 })
	await(t, "readiness", func() bool { _, body := ready(t, g, "?strict"); return body["status"] == "ok" })
}

func TestNoRouteThatCanServeIsNotReady(t *testing.T) {
	t.Parallel()
	up := startEcho(t)
	g := start(t, head+fmt.Sprintf(`
credentials: {up: {type: static, token: "${secret:not/there}"}}
routes:
  - {name: injected, path: "/*", auth: public, inject: up, upstream: "%s"}
`, up.URL), nil)
	await(t, "the first fetches", func() bool { _, body := ready(t, g, ""); return body["status"] == "unavailable" })
	if status, _ := ready(t, g, ""); status != 503 {
		t.Errorf("ready: %d, want 503", status)
	}
}

// The issuer is down, or is no issuer: nothing is let through, the caller is
// not blamed, and all is well once it is back (jwks-03).
func TestIssuerThatIsNotOne(t *testing.T) {
	t.Parallel()
	up := startEcho(t)
	idp, err := demo.NewIssuer(demo.IssuerOptions{URL: "http://issuer.test"})
	if err != nil {
		t.Fatal(err)
	}
	var good atomic.Bool
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if good.Load() {
			idp.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<html>Sign in</html>")
	}))
	t.Cleanup(keys.Close)
	g := start(t, fmt.Sprintf(`
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
issuers: {test: {issuer: "http://issuer.test", jwks_url: "%s/jwks", audiences: [orders-api]}}
routes:
  - {name: shut, path: /shut, auth: {issuers: [test]}, upstream: "%[2]s"}
  - {name: open, path: /open, auth: public, upstream: "%[2]s"}
`, keys.URL, up.URL), nil)
	signed, err := idp.Mint(demo.MintOptions{Subject: "ann", Audience: "orders-api"})
	if err != nil {
		t.Fatal(err)
	}
	await(t, "a word on the HTML", func() bool { return strings.Contains(g.Log.String(), "text/html") })
	if !strings.Contains(g.Log.String(), keys.URL+"/jwks") {
		t.Errorf("the log does not name the URL: %s", g.Log)
	}
	for name, c := range map[string]struct {
		token  string
		status int
	}{"its token": {signed, 503}, "no token": {"", 401}, "another issuer's token": {mint(t, nil), 401}} {
		var headers []string
		if c.token != "" {
			headers = []string{bearer(c.token)}
		}
		if got := send(t, "GET", g.URL+"/shut", "", headers...); got.Status != c.status {
			t.Errorf("%s: %d, want %d", name, got.Status, c.status)
		}
	}
	if got := send(t, "GET", g.URL+"/open", ""); got.Status != 200 {
		t.Errorf("another route: %d, want 200", got.Status)
	}
	good.Store(true)
	await(t, "the issuer's return", func() bool { return send(t, "GET", g.URL+"/shut", "", bearer(signed)).Status == 200 })
}

func TestKeyThatIsTooShortEndsTheStart(t *testing.T) {
	t.Parallel()
	env := environment{"JWT_KEY": "much too short"}
	g, err := gateway.Build(parse(t, head+fmt.Sprintf(openRouteWithAuth, "http://127.0.0.1:1"), env), gateway.Options{LookupEnv: env.lookup})
	if err != nil {
		t.Fatal(err)
	}
	err = g.Fetch(t.Context())
	if err == nil || !strings.Contains(err.Error(), "test.yaml:9:") || !strings.Contains(err.Error(), "32") {
		t.Errorf("error is %v", err)
	}
	if err != nil && strings.Contains(err.Error(), "much too short") {
		t.Errorf("the key is in the error: %v", err)
	}
}

const openRouteWithAuth = `
routes:
  - {name: shut, path: "/*", auth: {issuers: [test]}, upstream: "%s"}
`

func TestPortInUseIsOneClearLine(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	env := environment{"JWT_KEY": hmacKey}
	text := strings.Replace(head, "listen: 127.0.0.1:0", "listen: "+taken.Addr().String(), 1)
	g, err := gateway.Build(parse(t, text+fmt.Sprintf(openRouteWithAuth, "http://127.0.0.1:1"), env), gateway.Options{LookupEnv: env.lookup})
	if err != nil {
		t.Fatal(err)
	}
	_, err = g.Listen()
	if err == nil || !strings.Contains(err.Error(), "test.yaml:2:") || !strings.Contains(err.Error(), "in use") || strings.Contains(err.Error(), "\n") {
		t.Errorf("error is %v", err)
	}
}

// Values in use follow the backend without a restart and without a lost
// request.
func TestRotationUnderLoad(t *testing.T) {
	t.Parallel()
	dir, up := t.TempDir(), startEcho(t)
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name+".new"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, name+".new"), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	write("jwt", hmacKey)
	write("up", "first")
	g := start(t, fmt.Sprintf(`
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
secrets: {backend: file, file: {dir: %s}, refresh: 1s}
issuers:
  test: {issuer: https://issuer.test, audiences: [orders-api], keys: [{algorithm: HS256, key: "${secret:jwt}"}]}
credentials: {up: {type: static, token: "${secret:up}"}}
routes:
  - {name: injected, path: "/*", auth: public, inject: up, upstream: "%[2]s"}
  - {name: shut, path: "/shut", auth: {issuers: [test]}, upstream: "%[2]s"}
`, dir, up.URL), nil)
	var sent, lost atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		c := &http.Client{}
		for ctx.Err() == nil {
			res, err := c.Get(g.URL + "/x")
			if err != nil || res.StatusCode != 200 {
				lost.Add(1)
				continue
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			sent.Add(1)
		}
	}()
	for _, value := range []string{"second", "third"} {
		write("up", value)
		await(t, value, func() bool {
			return send(t, "GET", g.URL+"/x", "").seen(t).Header.Get("Authorization") == "Bearer "+value
		})
	}
	other := "another HMAC key of 32 bytes or more, for tests"
	signer, err := token.NewSigner([]byte(other), "HS256", "")
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := signer.Sign(map[string]any{"iss": "https://issuer.test", "aud": "orders-api", "sub": "alice", "exp": time.Now().Add(time.Hour).Unix()}, "JWT")
	if err != nil {
		t.Fatal(err)
	}
	if got := send(t, "GET", g.URL+"/shut", "", bearer(fresh)); got.Status != 401 {
		t.Errorf("the new key's token before the rotation: %d", got.Status)
	}
	write("jwt", other)
	await(t, "the new key", func() bool { return send(t, "GET", g.URL+"/shut", "", bearer(fresh)).Status == 200 })
	if got := get(t, g.URL+"/shut"); got.Status != 401 {
		t.Errorf("the old key's token after the rotation: %d", got.Status)
	}
	stop()
	<-loaded
	if lost.Load() != 0 || sent.Load() == 0 {
		t.Errorf("%d requests passed, %d were lost", sent.Load(), lost.Load())
	}
	t.Logf("%d requests passed, %d were lost during 3 rotations", sent.Load(), lost.Load())
}

// SIGTERM: /readyz fails first, requests in flight finish (CONTRACT 11).
func TestDrain(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-release
		_, _ = io.WriteString(w, "done")
	}))
	t.Cleanup(up.Close)
	g := start(t, head+"limits: {drain_delay: 300ms}\n"+fmt.Sprintf(openRoute, up.URL), nil)
	answered := make(chan answer, 1)
	go func() { answered <- send(t, "GET", g.URL+"/slow", "") }()
	<-arrived
	ended := make(chan error, 1)
	go func() { ended <- g.stop() }()
	await(t, "draining readiness", func() bool { status, body := ready(t, g, ""); return status == 503 && body["status"] == "draining" })
	await(t, "the listener's end", func() bool {
		conn, err := net.DialTimeout("tcp", strings.TrimPrefix(g.URL, "http://"), time.Second)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	select {
	case err := <-ended:
		t.Fatalf("ended with a request in flight: %v", err)
	default:
	}
	close(release)
	if got := <-answered; got.Status != 200 || got.Body != "done" {
		t.Errorf("request in flight: %d %q", got.Status, got.Body)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestBackendIsChosenByWhatIsConfigured(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		secrets string
		env     environment
		want    string // part of the error, or of the log
	}{
		"auto with Vault configured never steps down": {"{}", environment{"VAULT_ADDR": "https://vault.test", "VAULT_TOKEN": "token"}, "backend=vault"},
		"auto with AWS configured neither":            {"{}", environment{"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key"}, "backend=aws"},
		"auto without":                                {"{}", nil, "neither Vault nor AWS is configured"},
		"a list":                                      {"{backend: [file, env]}", nil, "backend=file,env"},
	} {
		env := environment{"JWT_KEY": hmacKey}
		maps.Copy(env, c.env)
		out := new(peertest.Buffer)
		text := strings.Replace(head, "secrets: {backend: env}", "secrets: "+c.secrets, 1) + fmt.Sprintf(openRouteWithAuth, "http://127.0.0.1:1")
		_, err := gateway.Build(parse(t, text, env), gateway.Options{Log: slog.New(slog.NewTextHandler(out, nil)), LookupEnv: env.lookup})
		if !strings.Contains(fmt.Sprint(err, out), c.want) {
			t.Errorf("%s: %v %s", name, err, out)
		}
	}
}

// Requests that outlast the drain are cut, and logged as what they are.
func TestDrainEndsInTime(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	}))
	t.Cleanup(up.Close)
	g := start(t, head+"limits: {drain: 200ms}\n"+fmt.Sprintf(openRoute, up.URL), nil)
	go func() {
		if res, err := http.Get(g.URL + "/slow"); err == nil {
			_ = res.Body.Close()
		}
	}()
	<-arrived
	if err := g.stop(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(g.Access.String(), `"reason":"shutdown"`) {
		t.Errorf("access log: %s", g.Access)
	}
}

// What is there and can never be sent is an error before it is served with.
func TestValidateReadsCredentialsAsTheyAreSent(t *testing.T) {
	t.Parallel()
	env := environment{"JWT_KEY": "short", "UP": "line\nbreak"}
	c := parse(t, head+`
credentials: {up: {type: static, token: "${secret:up}"}, none: {type: static, token: "${secret:none}"}}
routes:
  - {name: up, path: "/up", auth: {issuers: [test]}, inject: up, upstream: "http://127.0.0.1:1"}
  - {name: none, path: "/none", auth: public, inject: none, upstream: "http://127.0.0.1:1"}
`, env)
	err := gateway.Validate(t.Context(), c, gateway.Options{LookupEnv: env.lookup}, false)
	var places []string
	for line := range strings.Lines(fmt.Sprint(err)) {
		places = append(places, strings.SplitN(line, ": ", 3)[1])
	}
	if got := strings.Join(places, " "); got != "issuers.test.keys[0].key credentials.up credentials.none.token" {
		t.Errorf("mistakes at %q, in this order:\n%v", got, err)
	}
	if strings.Contains(fmt.Sprint(err), "break") {
		t.Errorf("the secret is in the error: %v", err)
	}
	if err := gateway.Validate(t.Context(), c, gateway.Options{LookupEnv: env.lookup}, true); err != nil {
		t.Errorf("offline: %v", err)
	}
}

func TestEveryFileThatCannotBeOpenedIsNamed(t *testing.T) {
	t.Parallel()
	env := environment{"JWT_KEY": hmacKey}
	c := parse(t, head+`
tls: {cert_file: /none/tls.crt, key_file: /none/tls.key}
telemetry: {access_log: /none/access.log}
routes:
  - {name: up, path: "/up", auth: {issuers: [test]}, upstream: {urls: ["https://127.0.0.1:1"], tls: {ca_file: /none/ca.crt}}}
`, env)
	_, err := gateway.Build(c, gateway.Options{LookupEnv: env.lookup})
	for _, want := range []string{"/none/tls.crt", "/none/access.log", "/none/ca.crt"} {
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s is not named in %v", want, err)
		}
	}
	if err := gateway.Validate(t.Context(), c, gateway.Options{LookupEnv: env.lookup}, true); err != nil {
		t.Errorf("offline: %v", err)
	}
}
