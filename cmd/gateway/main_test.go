package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/peertest"
)

// invoke runs a command line and returns its status and what it wrote.
func invoke(t *testing.T, args ...string) (status int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	status = run(ctx, args, streams{strings.NewReader(""), &o, &e})
	return status, o.String(), e.String()
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const validConfig = `
listen: 127.0.0.1:0
admin: {listen: ""}
routes:
  - {name: open, path: "/*", auth: public, upstream: "http://127.0.0.1:1"}
`

func TestExitStatuses(t *testing.T) {
	t.Parallel()
	valid := write(t, "valid.yaml", validConfig)
	missing := write(t, "missing.yaml", strings.NewReplacer(
		"routes:", `credentials: {up: {type: static, token: "${secret:sallyport/test/none}"}}`+"\nroutes:",
		"auth: public,", "auth: public, inject: up,",
	).Replace(validConfig))
	up := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(up.Close)
	for name, c := range map[string]struct {
		args   []string
		status int
		out    string // part of it
		errs   string
	}{
		"no arguments":             {nil, 0, "Usage:", ""},
		"help":                     {[]string{"run", "--help"}, 0, "Examples:", ""},
		"version":                  {[]string{"version"}, 0, "gateway ", ""},
		"unknown command":          {[]string{"rnu"}, 2, "", "rnu"},
		"unknown flag":             {[]string{"run", "--confgi", "x"}, 2, "", "--confgi"},
		"argument too many":        {[]string{"version", "x"}, 2, "", "too many arguments; write gateway version"},
		"schema":                   {[]string{"schema"}, 0, `"$schema"`, ""},
		"valid":                    {[]string{"validate", "-c", valid}, 0, "is valid", ""},
		"no such file":             {[]string{"run", "-c", valid + "x"}, 1, "", "--config FILE"},
		"directory":                {[]string{"run", "-c", filepath.Dir(valid)}, 1, "", "is a directory"},
		"empty":                    {[]string{"run", "-c", write(t, "empty.yaml", " \n")}, 1, "", "is empty"},
		"huge":                     {[]string{"run", "-c", write(t, "huge.yaml", strings.Repeat("# x\n", 2<<20))}, 1, "", "larger than"},
		"not YAML":                 {[]string{"run", "-c", write(t, "not.yaml", "a: [b\n")}, 1, "", "not.yaml:"},
		"a secret that is missing": {[]string{"validate", "-c", missing}, 1, "", "sallyport/test/none"},
		"the same offline":         {[]string{"validate", "-c", missing, "--offline"}, 0, "is valid", ""},
		"health of nobody":         {[]string{"healthcheck", "--url", "http://127.0.0.1:1/readyz"}, 1, "", "127.0.0.1:1"},
		"health that is bad":       {[]string{"healthcheck", "--url", up.URL}, 1, "", "404"},
		"health with admin off":    {[]string{"healthcheck", "-c", valid}, 2, "", "admin.listen"},
		"port in use":              {[]string{"run", "-c", write(t, "taken.yaml", strings.Replace(validConfig, "127.0.0.1:0", up.Listener.Addr().String(), 1))}, 1, "", "taken.yaml:2:"},
	} {
		status, out, errs := invoke(t, c.args...)
		if status != c.status || !strings.Contains(out, c.out) || !strings.Contains(errs, c.errs) {
			t.Errorf("%s: status %d, want %d\nstdout: %.300s\nstderr: %.600s", name, status, c.status, out, errs)
		}
	}
}

// TestDemoLinesWorkAsPrinted starts the demo beside another program that has
// the usual port, pastes each line into a shell, and compares the answers with
// those the demo promises.
func TestDemoLinesWorkAsPrinted(t *testing.T) {
	shell := requireShell(t)
	if taken, err := net.Listen("tcp", "127.0.0.1:8080"); err == nil {
		t.Cleanup(func() { _ = taken.Close() })
	}
	ctx, cancel := context.WithCancel(t.Context())
	out := new(peertest.Buffer)
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, []string{"demo"}, streams{strings.NewReader(""), out, io.Discard}) }()
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(out.String(), "Ctrl-C"); {
		if time.Now().After(deadline) {
			t.Fatalf("the demo does not start: %s", out)
		}
		time.Sleep(10 * time.Millisecond)
	}
	scenes := regexp.MustCompile(`(?m)^\d\. (.*)\n(.*)\n   -> (.*)$`).FindAllStringSubmatch(out.String(), -1)
	if len(scenes) != 8 {
		t.Fatalf("%d scenes:\n%s", len(scenes), out)
	}
	for _, want := range []struct{ scene, answer string }{
		{"No token", "HTTP/1.1 401 "},
		{"A token without", `error="insufficient_scope", scope="orders:read"`},
		{"own key", "HTTP/1.1 200 "},
		{"OAuth2", "HTTP/1.1 200 "},
		{"revokes", "HTTP/1.1 200 "},
		{"A burst", "200 200 200 200 200 429 429 429"},
		{"tampered", `error="invalid_token"`},
		{"metrics", `gateway_requests_total{code="429",method="GET",route="reports"} 3`},
		{"metrics", `gateway_replays_total{route="crm"} 1`},
	} {
		found := false
		for _, scene := range scenes {
			if !strings.Contains(scene[1], want.scene) {
				continue
			}
			found = true
			answer, err := exec.CommandContext(t.Context(), shell, "-c", scene[2]).Output()
			if err != nil || !strings.Contains(string(answer), want.answer) {
				t.Errorf("%s: %v, answer without %q:\n%s", scene[1], err, want.answer, answer)
			}
			if strings.Contains(want.answer, "HTTP/1.1 200") && !strings.Contains(string(answer), `"caller_credential_seen":false`) {
				t.Errorf("%s: the caller's credential went up:\n%s", scene[1], answer)
			}
			if last := regexp.MustCompile(`ending in (\w{4})`).FindStringSubmatch(scene[3]); last != nil && !strings.Contains(string(answer), `"last4":"`+last[1]+`"`) {
				t.Errorf("%s: another key than promised (%s):\n%s", scene[1], last[1], answer)
			}
		}
		if !found {
			t.Errorf("no scene about %q", want.scene)
		}
	}
	dir := regexp.MustCompile(`(?m)^  config +(.*)/gateway.yaml$`).FindStringSubmatch(out.String())
	cancel()
	if status := <-ended; status != 0 {
		t.Errorf("the demo ended with %d", status)
	}
	if dir == nil {
		t.Fatal("the demo does not say where its configuration is")
	}
	if _, err := os.Stat(dir[1]); !os.IsNotExist(err) {
		t.Errorf("the demo left %s behind: %v", dir[1], err)
	}
}

// requireShell finds what the printed lines need.
func requireShell(t *testing.T) string {
	t.Helper()
	shell, err := exec.LookPath("sh")
	if err == nil {
		_, err = exec.LookPath("curl")
	}
	switch {
	case err == nil:
	case os.Getenv("REQUIRE_PEERS") == "1":
		t.Fatalf("PEER MISSING: %v; apt-get install curl", err)
	default:
		t.Skipf("PEER MISSING: %v; apt-get install curl", err)
	}
	return shell
}
