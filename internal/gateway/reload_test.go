package gateway_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/admin"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/demo"
	"github.com/sallyport/sallyport/internal/gateway"
	"github.com/sallyport/sallyport/internal/peertest"
)

// reloadable is a running gateway whose configuration stands in a file.
type reloadable struct {
	*running
	file   string
	hangup chan os.Signal
	reload func() error // as the admin call does
}

// write puts text in the place of the configuration.
func (r *reloadable) write(t testing.TB, text string) {
	t.Helper()
	if err := os.WriteFile(r.file+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(r.file+".new", r.file); err != nil {
		t.Fatal(err)
	}
}

// rewrite writes text and has it taken in.
func (r *reloadable) rewrite(t testing.TB, text string) {
	t.Helper()
	r.write(t, text)
	if err := r.reload(); err != nil {
		t.Fatalf("reload refused: %v", err)
	}
}

// startFile runs a gateway with text in a file, until the test ends.
func startFile(t *testing.T, text string, env environment) *reloadable {
	t.Helper()
	file := filepath.Join(t.TempDir(), "gateway.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return startAt(t, file, env)
}

func startAt(t *testing.T, file string, env environment) *reloadable {
	t.Helper()
	if env == nil {
		env = environment{}
	}
	env["JWT_KEY"] = hmacKey
	r := &reloadable{running: &running{Log: new(peertest.Buffer), Access: new(peertest.Buffer)}, file: file, hangup: make(chan os.Signal, 1)}
	load := func() (*config.Config, error) { return config.Load(file, config.Options{LookupEnv: env.lookup}) }
	c, err := load()
	if err != nil {
		t.Fatal(err)
	}
	level := new(slog.LevelVar)
	log := slog.New(slog.NewTextHandler(r.Log, &slog.HandlerOptions{Level: level}))
	g, err := gateway.Build(c, gateway.Options{
		Log: log, Level: level, Stdout: r.Access, Stderr: r.Log, LookupEnv: env.lookup, Load: load, Hangup: r.hangup,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	on, err := g.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx, on) }()
	r.URL, r.Admin = "http://"+on.Clients.Addr().String(), "http://"+on.Admin.Addr().String()
	r.reload = func() error { return g.Reload(t.Context()) }
	stopped := false
	r.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-ended
	}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("gateway ended with %v", err)
		}
	})
	await(t, "readiness", func() bool { status, _ := ready(t, r.running, ""); return status == 200 })
	return r
}

// publicRoute has a path to an upstream.
const publicRoute = "  - {name: %s, path: %s, auth: public, upstream: %q}\n"

func TestReloadSwapsRoutes(t *testing.T) {
	t.Parallel()
	up := startEcho(t)
	one, two := fmt.Sprintf(publicRoute, "one", "/one", up.URL), fmt.Sprintf(publicRoute, "two", "/two", up.URL)
	g := startFile(t, head+"routes:\n"+one, nil)
	if got := send(t, "GET", g.URL+"/two", ""); got.Status != 404 {
		t.Errorf("before: %d", got.Status)
	}
	_ = send(t, "GET", g.URL+"/one", "")
	g.rewrite(t, head+"routes:\n"+two)
	if got := send(t, "GET", g.URL+"/two", ""); got.Status != 200 {
		t.Errorf("the new route: %d", got.Status)
	}
	if got := send(t, "GET", g.URL+"/one", ""); got.Status != 404 {
		t.Errorf("the old route: %d", got.Status)
	}
	await(t, "the old route's series to go", func() bool {
		return !strings.Contains(send(t, "GET", g.Admin+"/metrics", "").Body, `route="one"`)
	})
}

// A bad configuration is reported with its places, and the old one goes on; the
// next good one is taken.
func TestReloadRefusesWhatIsWrongAndKeepsServing(t *testing.T) {
	t.Parallel()
	up := startEcho(t)
	good := head + "routes:\n" + fmt.Sprintf(publicRoute, "one", "/one", up.URL)
	g := startFile(t, good, environment{"WEAK": "short"})
	for name, test := range map[string]struct{ text, want string }{
		"unknown key":      {strings.Replace(good, "auth:", "outh:", 1), "gateway.yaml:"},
		"no YAML":          {"routes: [", "gateway.yaml:"},
		"empty":            {"", "is empty"},
		"two mistakes":     {strings.Replace(good, "routes:", "listne: x\nfast: y\nroutes:", 1), "gateway.yaml:"},
		"conflict":         {good + fmt.Sprintf(publicRoute, "other", "/one", up.URL), "gateway.yaml:"},
		"missing CA file":  {good + fmt.Sprintf("  - {name: tls, path: /tls, auth: public, upstream: {urls: %q, tls: {ca_file: /nowhere}}}\n", "https://127.0.0.1:1"), "/nowhere"},
		"weak key":         {strings.Replace(good, "secret:jwt/key", "secret:weak", 1) + fmt.Sprintf("  - {name: shut, path: /shut, auth: {issuers: [test]}, upstream: %q}\n", up.URL), "weak key"},
		"socket not to be": {strings.Replace(good, "listen: 127.0.0.1:0", "listen: 192.0.2.1:80", 1), "gateway.yaml:2:9: listen: cannot listen on 192.0.2.1:80"},
		"log not to be":    {good + "telemetry: {access_log: /nowhere/access.log}\n", "telemetry.access_log"},
	} {
		g.write(t, test.text)
		err := g.reload()
		if !errors.Is(err, admin.ErrRefused) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
		if !strings.Contains(g.Log.String(), test.want) {
			t.Errorf("%s: the log does not tell", name)
		}
		if got := send(t, "GET", g.URL+"/one", ""); got.Status != 200 {
			t.Errorf("%s: the old configuration answers %d", name, got.Status)
		}
		if got := scrape(t, g.running, "gateway_config_last_reload_successful"); got != "0" {
			t.Errorf("%s: last reload successful: %s", name, got)
		}
	}
	g.rewrite(t, good)
	if got := scrape(t, g.running, "gateway_config_last_reload_successful"); got != "1" {
		t.Errorf("after a good one: %s", got)
	}
	if got := scrape(t, g.running, `gateway_config_reloads_total{result="failure"}`); got == "0" {
		t.Errorf("failures: %s", got)
	}
}

// A secret that is not there blocks no reload: its routes answer 503, as at the
// start. But a reload takes away none that the configuration before had.
func TestReloadIsNotHeldUpByMissingSecrets(t *testing.T) {
	t.Parallel()
	up := startEcho(t)
	route := fmt.Sprintf("credentials: {up: {type: static, token: \"${secret:%%s}\"}}\nroutes:\n  - {name: up, path: /up, auth: public, inject: up, upstream: %q}\n", up.URL)
	open := fmt.Sprintf(publicRoute, "open", "/open", up.URL)
	g := startFile(t, head+fmt.Sprintf(route, "there"), environment{"THERE": "value"})
	g.rewrite(t, head+fmt.Sprintf(route, "gone")+open)
	for path, want := range map[string]int{"/up": 503, "/open": 200} {
		if got := send(t, "GET", g.URL+path, ""); got.Status != want {
			t.Errorf("%s: %d, want %d", path, got.Status, want)
		}
	}
	g.rewrite(t, head+fmt.Sprintf(route, "there")+open)
	if got := send(t, "GET", g.URL+"/up", ""); got.Status != 200 {
		t.Errorf("with its secret again: %d", got.Status)
	}
	g.write(t, strings.Replace(head, "{backend: env}", "{backend: file, file: {dir: "+t.TempDir()+"}}", 1)+fmt.Sprintf(route, "there")+open)
	if err := g.reload(); err == nil || !strings.Contains(err.Error(), "credentials.up.token") {
		t.Errorf("a backend without the secret in use: %v", err)
	}
	if got := send(t, "GET", g.URL+"/up", ""); got.Status != 200 {
		t.Errorf("after the refused backend: %d", got.Status)
	}
}

func TestReloadKeepsBuckets(t *testing.T) {
	t.Parallel()
	up := startEcho(t)
	text := head + "routes:\n" + strings.Replace(fmt.Sprintf(publicRoute, "one", "/one", up.URL), "auth: public", "auth: public, rate_limit: {rate: 3/1h}", 1)
	g := startFile(t, text, nil)
	for range 2 {
		_ = send(t, "GET", g.URL+"/one", "")
	}
	g.rewrite(t, text+fmt.Sprintf(publicRoute, "two", "/two", up.URL))
	if got := send(t, "GET", g.URL+"/one", ""); got.Status != 200 || !strings.Contains(got.Header.Get("Ratelimit"), "r=0;") {
		t.Errorf("the third: %d, %s", got.Status, got.Header.Get("Ratelimit"))
	}
	if got := send(t, "GET", g.URL+"/one", ""); got.Status != 429 {
		t.Errorf("the fourth: %d", got.Status)
	}
}

// peers is an issuer of callers' and upstream's tokens that counts what it is
// asked for.
type peers struct {
	URL          string
	keys, tokens atomic.Int64
}

func startPeers(t *testing.T) *peers {
	t.Helper()
	p := new(peers)
	var issuer *demo.Issuer
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/jwks", "/jwks.json":
			p.keys.Add(1)
		case "/token":
			if user, _, _ := r.BasicAuth(); user == "gateway" {
				p.tokens.Add(1)
			}
		}
		issuer.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	p.URL = s.URL
	var err error
	issuer, err = demo.NewIssuer(demo.IssuerOptions{URL: s.URL, Clients: []demo.Client{
		{ID: "gateway", Secret: "s", Audience: "upstream", Scopes: []string{"a", "b"}, Lifetime: time.Hour},
		{ID: "caller", Secret: "s", Audience: "orders-api", Scopes: []string{"orders:read"}, Lifetime: time.Hour},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const peersConfig = `
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
secrets: {backend: env}
issuers: {peer: {issuer: "%[1]s", jwks_url: "%[1]s/jwks", audiences: [orders-api]}}
credentials: {up: {type: oauth2, token_url: "%[1]s/token", client_id: gateway, client_secret: "${secret:client}", scopes: [a]}}
routes:
  - {name: one, path: /one, auth: {issuers: [peer]}, inject: up, upstream: "%[2]s"}
`

// Tokens, key sets and connections to the upstream are kept while what made them
// is the same, and made once where it is not.
func TestReloadKeepsTokensKeysAndConnections(t *testing.T) {
	t.Parallel()
	peer := startPeers(t)
	var connections atomic.Int64
	up := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "ok") }))
	up.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	up.Start()
	t.Cleanup(up.Close)
	text := fmt.Sprintf(peersConfig, peer.URL, up.URL)
	g := startFile(t, text, environment{"CLIENT": "s"})
	token := demoToken(t, peer.URL)
	check := func(keys, tokens, dialled int64) {
		t.Helper()
		if got := send(t, "GET", g.URL+"/one", "", bearer(token)); got.Status != 200 {
			t.Errorf("%d: %s", got.Status, got.Body)
		}
		if k, n, c := peer.keys.Load(), peer.tokens.Load(), connections.Load(); k != keys || n != tokens || c != dialled {
			t.Errorf("%d fetches of keys, %d of tokens, %d connections; want %d, %d, %d", k, n, c, keys, tokens, dialled)
		}
	}
	check(1, 1, 1)
	for i := range 10 {
		g.rewrite(t, text+fmt.Sprintf(publicRoute, "two", fmt.Sprintf("/two/%d", i), up.URL))
	}
	check(1, 1, 1)
	text = strings.Replace(text, "scopes: [a]", "scopes: [a, b]", 1)
	g.rewrite(t, text)
	check(1, 2, 1)
	text = strings.Replace(text, "audiences: [orders-api]", "audiences: [orders-api, other]", 1)
	g.rewrite(t, text)
	check(1, 2, 1)
	text = strings.Replace(text, "/jwks\"", "/jwks.json\"", 1)
	g.rewrite(t, text)
	check(2, 2, 1)
	text = strings.Replace(text, "backend: env", "backend: env, refresh: 30s", 1)
	g.rewrite(t, text)
	check(2, 3, 1)
}

// demoToken is a caller's token of the demo issuer at url.
func demoToken(t *testing.T, url string) string {
	t.Helper()
	return fositeToken(t, url+"/token", peertest.FositeClient{ID: "caller", Secret: "s"})
}

func TestReloadRefusesTokensOfARemovedIssuerAtOnce(t *testing.T) {
	t.Parallel()
	peer, up := startPeers(t), startEcho(t)
	text := head + fmt.Sprintf("  peer: {issuer: %q, jwks_url: %q, audiences: [orders-api]}\nroutes:\n  - {name: one, path: /one, auth: {issuers: [test, peer]}, upstream: %q}\n", peer.URL, peer.URL+"/jwks", up.URL)
	g := startFile(t, text, nil)
	token := demoToken(t, peer.URL)
	for i := range 5 {
		if got := send(t, "GET", g.URL+"/one", "", bearer(token)); got.Status != 200 {
			t.Fatalf("with the issuer: %d", got.Status)
		}
		g.rewrite(t, strings.Replace(text, "[test, peer]", "[test]", 1))
		if got := send(t, "GET", g.URL+"/one", "", bearer(token)); got.Status != 401 {
			t.Errorf("reload %d: without the issuer: %d", i, got.Status)
		}
		if got := get(t, g.URL+"/one"); got.Status != 200 {
			t.Errorf("reload %d: the other issuer: %d", i, got.Status)
		}
		g.rewrite(t, text)
	}
}

// The file is watched through what editors, Kubernetes and scripts do to it.
func TestChangedFileIsTakenIn(t *testing.T) {
	t.Parallel()
	up := startEcho(t)
	text := func(path string) string { return head + "routes:\n" + fmt.Sprintf(publicRoute, "one", path, up.URL) }
	dir := t.TempDir()
	put := func(version, text string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, version, "gateway.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(version, filepath.Join(dir, "..data.new")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..data.new"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	put("v1", text("/v1"))
	file := filepath.Join(dir, "gateway.yaml")
	if err := os.Symlink(filepath.Join("..data", "gateway.yaml"), file); err != nil {
		t.Fatal(err)
	}
	g := startAt(t, file, nil)
	serves := func(path string) {
		t.Helper()
		await(t, "route "+path, func() bool { return send(t, "GET", g.URL+path, "").Status == 200 })
	}
	serves("/v1")
	put("v2", text("/v2")) // Kubernetes swaps a symbolic link
	serves("/v2")
	g.write(t, text("/v3")) // an editor puts another file in its place
	serves("/v3")
	if err := os.WriteFile(file, []byte(text("/v4")), 0o600); err != nil { // a script writes over it
		t.Fatal(err)
	}
	serves("/v4")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	await(t, "the missing file to be told", func() bool { return strings.Contains(g.Log.String(), "file does not exist") })
	serves("/v4")
	g.write(t, text("/v5"))
	serves("/v5")
	g.write(t, "routes: [")
	await(t, "the bad file to be told", func() bool { return strings.Contains(g.Log.String(), "gateway.yaml:2:1: ") })
	serves("/v5")
	g.write(t, text("/v6"))
	serves("/v6")
}

// A file that the configuration names is read again as the configuration is.
func TestChangedCertificateAuthorityIsTakenIn(t *testing.T) {
	t.Parallel()
	up := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	up.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	up.StartTLS()
	t.Cleanup(up.Close)
	dir := t.TempDir()
	certificate(t, dir) // another authority
	ca := filepath.Join(dir, "tls.crt")
	g := startFile(t, head+fmt.Sprintf("routes:\n  - {name: one, path: /one, auth: public, upstream: {urls: %q, tls: {ca_file: %q}}}\n", up.URL, ca), nil)
	if got := send(t, "GET", g.URL+"/one", ""); got.Status != 502 {
		t.Errorf("with another authority: %d", got.Status)
	}
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: up.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	await(t, "the right authority", func() bool { return send(t, "GET", g.URL+"/one", "").Status == 200 })
}

func TestHangupReloads(t *testing.T) {
	t.Parallel()
	up := startEcho(t)
	g := startFile(t, head+"routes:\n"+fmt.Sprintf(publicRoute, "one", "/one", up.URL), nil)
	g.hangup <- os.Interrupt // whichever: the channel's owner chose
	await(t, "the reload", func() bool {
		return scrape(t, g.running, `gateway_config_reloads_total{result="success"}`) == "1"
	})
	if !strings.Contains(g.Log.String(), "reason=signal") {
		t.Error("the log does not tell why")
	}
}

// What a server has for its life changes too: sockets, TLS, limits.
func TestReloadChangesSocketsAndLimits(t *testing.T) {
	t.Parallel()
	up := startEcho(t)
	routes := "routes:\n" + fmt.Sprintf(publicRoute, "one", "/one", up.URL)
	g := startFile(t, head+routes, nil)
	before := &http.Client{Transport: new(http.Transport), Timeout: 10 * time.Second}
	t.Cleanup(before.CloseIdleConnections)
	status := func(c *http.Client, url string, headers ...string) int {
		t.Helper()
		r, _ := http.NewRequestWithContext(t.Context(), "GET", url, nil)
		for _, h := range headers {
			r.Header.Set("X-Long", h)
		}
		res, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		return res.StatusCode
	}
	if got := status(before, g.URL+"/one"); got != 200 {
		t.Fatalf("before: %d", got)
	}
	free := freeAddress(t)
	freeAdmin := freeAddress(t)
	moved := strings.Replace(head, "listen: 127.0.0.1:0\nadmin: {listen: 127.0.0.1:0}", "listen: "+free+"\nadmin: {listen: "+freeAdmin+"}\nlimits: {max_header: 8KiB, idle_timeout: 1m}", 1)
	g.rewrite(t, moved+routes)
	if got := status(before, g.URL+"/one"); got != 200 {
		t.Errorf("on the connection from before: %d", got)
	}
	if got := send(t, "GET", "http://"+free+"/one", ""); got.Status != 200 {
		t.Errorf("on the new socket: %d", got.Status)
	}
	if got := send(t, "GET", "http://"+free+"/one", "", "X-Long: "+strings.Repeat("x", 10<<10)); got.Status != 431 {
		t.Errorf("a long header: %d", got.Status)
	}
	if got := send(t, "GET", "http://"+freeAdmin+"/readyz", ""); got.Status != 200 {
		t.Errorf("/readyz on the new socket: %d", got.Status)
	}
	await(t, "the old sockets to close", func() bool {
		for _, url := range []string{g.URL, g.Admin} {
			if conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://")); err == nil {
				_ = conn.Close()
				return false
			}
		}
		return true
	})
	g.rewrite(t, strings.Replace(moved, "admin: {listen: "+freeAdmin+"}", `admin: {listen: ""}`, 1)+routes)
	await(t, "the admin socket to close", func() bool {
		conn, err := net.Dial("tcp", freeAdmin)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	g.rewrite(t, moved+routes)
	if got := send(t, "GET", "http://"+freeAdmin+"/readyz", ""); got.Status != 200 {
		t.Errorf("/readyz on the reopened socket: %d", got.Status)
	}
}

// freeAddress is an address of this machine that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func TestReloadChangesLogLevelAndAccessLog(t *testing.T) {
	t.Parallel()
	up := startEcho(t)
	text := head + "routes:\n" + fmt.Sprintf(publicRoute, "one", "/one", up.URL)
	g := startFile(t, text, nil)
	_ = send(t, "GET", g.URL+"/one", "")
	await(t, "a line", func() bool { return strings.Contains(g.Access.String(), "\n") })
	file := filepath.Join(t.TempDir(), "access.log")
	g.rewrite(t, text+"telemetry: {log_level: error, access_log: "+file+"}\n")
	_ = send(t, "GET", g.URL+"/one", "")
	lines := func(name string) int { text, _ := os.ReadFile(name); return strings.Count(string(text), "\n") }
	await(t, "a line in the file", func() bool { return lines(file) == 1 })
	if err := os.Rename(file, file+".1"); err != nil { // as logrotate does
		t.Fatal(err)
	}
	if err := g.reload(); err != nil {
		t.Fatal(err)
	}
	_ = send(t, "GET", g.URL+"/one", "")
	await(t, "a line in the new file", func() bool { return lines(file) == 1 && lines(file+".1") == 1 })
	if n := strings.Count(g.Access.String(), "\n"); n != 1 {
		t.Errorf("%d lines where the log was before, want 1", n)
	}
	if strings.Contains(g.Log.String(), "level=INFO msg=\"configuration reloaded\"") {
		t.Error("information is logged at level error")
	}
}
