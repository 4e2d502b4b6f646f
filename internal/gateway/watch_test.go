package gateway_test

import (
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

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
