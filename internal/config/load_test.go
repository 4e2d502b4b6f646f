package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/peertest"
)

// route is the least that a configuration needs.
const route = `
routes:
  - name: orders
    path: /orders/*
    auth: public
    upstream: http://legacy:8080
`

// parse reads text, which must be right.
func parse(t *testing.T, text string, settings ...string) *Config {
	t.Helper()
	c, err := Parse("gateway.yaml", []byte(text), environment(settings...))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// mustFail reads text and returns what is wrong with it.
func mustFail(t *testing.T, text string, settings ...string) string {
	t.Helper()
	c, err := Parse("gateway.yaml", []byte(text), environment(settings...))
	if err == nil || c != nil {
		t.Fatal("no error")
	}
	return err.Error()
}

func TestFilesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, test := range map[string]struct{ path, want string }{
		"missing":       {filepath.Join(dir, "none.yaml"), "file does not exist; write one, or name it with --config FILE"},
		"a directory":   {dir, "is a directory; name the file in it with --config FILE"},
		"a device":      {os.DevNull, "is no file; name a regular file or a pipe with --config FILE"},
		"empty":         {write("empty.yaml", " \n"), "is empty; write at least one route"},
		"too big":       {write("big.yaml", strings.Repeat("#", maxFile+1)), "is larger than 4 MiB; a configuration is far smaller, check the file's name"},
		"UTF-16":        {write("utf16.yaml", "\xff\xfea\x00"), "1:1: the file is not UTF-8 text; save it as UTF-8"},
		"Latin-1":       {write("latin1.yaml", "# ok\nlisten: \"\xe9\""), "2:10: the file is not UTF-8 text; save it as UTF-8"},
		"a binary file": {write("gateway", "\x7fELF\x02\x01\x01\x00"), "1:1: the file holds a control character (U+007F); remove it"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(test.path, environment())
			if err == nil || !strings.HasPrefix(err.Error(), test.path+":") || !strings.HasSuffix(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want %s: %s", err, test.path, test.want)
			}
		})
	}
	if _, err := Load(filepath.Join(dir, "none.yaml"), environment()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestUnreadableFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gateway.yaml")
	if err := os.WriteFile(path, []byte(route), 0o000); err != nil {
		t.Fatal(err)
	}
	peertest.Unprivileged(t, func() {
		if _, err := Load(path, environment()); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("got %v", err)
		}
	})
}

func TestPipeIsRead(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	go func() {
		w.WriteString(route)
		w.Close()
	}()
	c, err := Load("/dev/fd/"+itoa(int(r.Fd())), environment())
	if err != nil || len(c.Routes) != 1 {
		t.Errorf("got %v, %v", c, err)
	}
}

func itoa(n int) string { return strings.TrimPrefix(item("", n), "[")[:len(item("", n))-2] }

func TestByteOrderMarkAndWindowsLinesAreRead(t *testing.T) {
	parse(t, "\ufeff"+strings.ReplaceAll(route, "\n", "\r\n"))
}

// TestDefaults names every default of the contract; all else is off or empty.
func TestDefaults(t *testing.T) {
	c := parse(t, `
issuers: {corp: {issuer: i, audiences: a, jwks_url: "https://idp.example.com/"}}
credentials: {legacy: {type: oauth2, token_url: "https://a.example.com/", client_id: id, client_secret: "${secret:s}"}}
`+route)
	c.file, c.marks, c.uses = "", nil, nil
	secret := Secret{Path: "s"}
	want := &Config{
		Listen: ":8080", FastLane: true,
		Limits: Limits{MaxHeader: 32 << 10, MaxBody: 10 << 20, HeaderTimeout: 5 * time.Second, BodyTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, Drain: 30 * time.Second},
		Admin:  Admin{Listen: "127.0.0.1:9090"},
		Secrets: Secrets{
			Backend: Strings{"auto"}, Refresh: time.Minute, MaxStale: time.Hour, File: FileBackend{Dir: "/run/secrets"},
			Vault: Vault{Mount: "secret", KVVersion: 2, Auth: VaultAuth{Method: "token"}},
		},
		Issuers: map[string]Issuer{"corp": {
			Issuer: "i", JWKSURL: "https://idp.example.com/", Audiences: Strings{"a"}, RequiredClaims: Strings{"sub"}, ScopeClaims: Strings{"scope", "scp"},
			Leeway: 30 * time.Second, From: Strings{"header"}, JWKS: JWKS{Refresh: 15 * time.Minute, Cooldown: 30 * time.Second, MaxStale: 24 * time.Hour},
		}},
		Credentials: map[string]Credential{"legacy": {
			Type: "oauth2", TokenURL: "https://a.example.com/", ClientID: "id", ClientSecret: secret, ClientAuth: "basic",
			RefreshBefore: 5 * time.Minute, Expiry: 15 * time.Minute, Header: "Authorization",
		}},
		RateLimits: RateLimits{Store: "memory", MaxKeys: 100000, Redis: Redis{Lease: 50 * time.Millisecond}, OnStoreError: "local"},
		Telemetry:  Telemetry{LogLevel: "info", LogFormat: "auto", AccessLog: "stdout", OTLP: OTLP{Protocol: "grpc", Sample: 0.1}},
		Routes: []Route{{
			Name: "orders", Path: "/orders/*", EncodedSlash: "refuse", Auth: Auth{Public: true, Mode: "enforce", CloseAtExpiry: true},
			Upstream: Upstream{
				URLs: Strings{"http://legacy:8080"}, Balance: "round_robin", Host: "upstream", Protocol: "auto",
				Timeouts: Timeouts{Connect: 5 * time.Second, ResponseHeader: 30 * time.Second},
				Retries:  Retries{Attempts: 2, Statuses: []int{502, 503, 504}}, Eject: Eject{Failures: 5, For: 10 * time.Second},
			},
		}},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("\n got %+v\nwant %+v", c, want)
	}
}

func TestExamplesLoad(t *testing.T) {
	dropIn := []string{"UPSTREAM_URL=http://legacy:8080", "JWT_ISSUER=https://idp/", "JWT_AUDIENCE=orders-api", "JWT_JWKS_URL=https://idp.example.com/jwks"}
	files, err := filepath.Glob("../../configs/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		if _, err := Load(file, environment(dropIn...)); err != nil {
			t.Error(err)
		}
	}
}

func TestPositions(t *testing.T) {
	c := parse(t, `limits: {drain: 1s}
credentials:
  legacy:
    type: static
    token: ${secret:legacy#token}
routes:
  - name: orders
    path: /orders/*
    auth: public
    inject: legacy
    upstream:
      urls:
        - http://a:1
        - http://b:1
`)
	for key, want := range map[string][2]int{
		"limits":                     {1, 9},
		"limits.drain":               {1, 17},
		"credentials.legacy":         {3, 3}, // a block stands at its name
		"credentials.legacy.token":   {5, 12},
		"routes[0]":                  {7, 5},
		"routes[0].inject":           {10, 13},
		"routes[0].upstream":         {11, 5},
		"routes[0].upstream.urls[1]": {14, 11},
		"routes[0].rate_limit[3].x":  {7, 5}, // not there: what holds it
		"telemetry.access_log":       {1, 1},
	} {
		if line, column := c.Position(key); line != want[0] || column != want[1] {
			t.Errorf("%s at %d:%d, want %v", key, line, column, want)
		}
	}
	if c.File() != "gateway.yaml" {
		t.Errorf("file %q", c.File())
	}
}

func TestSecretUsesSayWhereAndWhether(t *testing.T) {
	c := parse(t, `admin: {token: "${secret:admin}"}
issuers:
  corp: {issuer: a, audiences: b, keys: [{key: "${secret:jwt#k}"}]}
  idle: {issuer: b, audiences: b, keys: [{key: "${secret:idle}"}]}
credentials:
  legacy: {type: static, token: "${secret:legacy}"}
  batch: {type: basic, username: "${secret:batch#user}", password: "${secret:batch#password}"}
routes:
  - {name: a, path: /*, auth: {issuers: corp}, inject: legacy, upstream: "http://a"}
`)
	want := []SecretUse{
		{"admin", "", "admin.token", 1, 16, true},
		{"jwt", "k", "issuers.corp.keys[0].key", 3, 48, true},
		{"idle", "", "issuers.idle.keys[0].key", 4, 48, false},
		{"legacy", "", "credentials.legacy.token", 6, 33, true},
		{"batch", "user", "credentials.batch.username", 7, 34, false},
		{"batch", "password", "credentials.batch.password", 7, 68, false},
	}
	if got := c.SecretUses(); !slices.Equal(got, want) {
		t.Errorf("\n got %v\nwant %v", got, want)
	}
}
