package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/admin"
	"github.com/sallyport/sallyport/internal/config"
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
		if got := send(t, "POST", g.Admin+"/api/v1/reload", ""); got.Status != 422 || !strings.Contains(got.Body, test.want) {
			t.Errorf("%s: the admin call answers %d %s", name, got.Status, got.Body)
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
	g.write(t, good)
	if got := send(t, "POST", g.Admin+"/api/v1/reload", ""); got.Status != 200 {
		t.Errorf("a good one: the admin call answers %d %s", got.Status, got.Body)
	}
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
