package gateway_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/peertest"
	"github.com/sallyport/sallyport/internal/token"
)

// load sends requests until stopped, and counts those that did not end in 200.
type load struct {
	sent, lost atomic.Int64
	stop       func()
}

func startLoad(t *testing.T, url string) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l, done := new(load), make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			res, err := http.Get(url)
			if err != nil {
				l.lost.Add(1)
				continue
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			if res.StatusCode != http.StatusOK {
				l.lost.Add(1)
			}
			l.sent.Add(1)
		}
	}()
	l.stop = func() { cancel(); <-done }
	return l
}

const backendRoutes = `
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
secrets: {refresh: 1s, max_stale: %s, %s}
issuers: {test: {issuer: https://issuer.test, audiences: [orders-api], keys: [{algorithm: HS256, key: "${secret:gateway/jwt}"}]}}
credentials:
  up: {type: static, token: "${secret:gateway/up}"}
  login: {type: basic, username: "${secret:gateway/login#user}", password: "${secret:gateway/login#password}"}
routes:
  - {name: up, path: "/up", auth: public, inject: up, upstream: "%[3]s"}
  - {name: login, path: "/login", auth: public, inject: login, upstream: "%[3]s"}
  - {name: shut, path: "/shut", auth: {issuers: [test]}, upstream: "%[3]s"}
`

// followsRotation rotates a static credential, both halves of a login and an
// inbound key in a real backend, under load: none of the requests is lost.
func followsRotation(t *testing.T, g *running, put func(path string, fields map[string]string)) {
	t.Helper()
	await(t, "all secrets", func() bool { _, body := ready(t, g, "?strict"); return body["status"] == "ok" })
	l := startLoad(t, g.URL+"/up")
	pairs := startLoad(t, g.URL+"/login")
	sees := func(path, want string) func() bool {
		return func() bool { return send(t, "GET", g.URL+path, "").seen(t).Header.Get("Authorization") == want }
	}
	put("gateway/up", map[string]string{"value": "second"})
	await(t, "the second token", sees("/up", "Bearer second"))
	put("gateway/login", map[string]string{"user": "svc2", "password": "pw2"})
	await(t, "the second login", sees("/login", "Basic c3ZjMjpwdzI="))
	other := "another HMAC key of 32 bytes or more, for tests"
	signer, err := token.NewSigner([]byte(other), "HS256", "")
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := signer.Sign(testClaims(), "JWT")
	if err != nil {
		t.Fatal(err)
	}
	put("gateway/jwt", map[string]string{"value": other})
	await(t, "the second key", func() bool { return send(t, "GET", g.URL+"/shut", "", bearer(fresh)).Status == 200 })
	l.stop()
	pairs.stop()
	if l.lost.Load() > 0 || pairs.lost.Load() > 0 || l.sent.Load() == 0 {
		t.Errorf("lost %d of %d and %d of %d requests", l.lost.Load(), l.sent.Load(), pairs.lost.Load(), pairs.sent.Load())
	}
	t.Logf("%d requests during 3 rotations, none lost", l.sent.Load()+pairs.sent.Load())
}

func TestVaultRotatesUnderLoad(t *testing.T) {
	t.Parallel()
	vault := peertest.Vault(t)
	put := func(path string, fields map[string]string) {
		vault.Do(t, "POST", "secret/data/"+path, map[string]any{"data": fields})
	}
	put("gateway/jwt", map[string]string{"value": hmacKey})
	put("gateway/up", map[string]string{"value": "first"})
	put("gateway/login", map[string]string{"user": "svc1", "password": "pw1"})
	backend := fmt.Sprintf("backend: auto, vault: {address: %q}", vault.Address)
	g := start(t, fmt.Sprintf(backendRoutes, "1h", backend, startEcho(t).URL), environment{"VAULT_TOKEN": vault.Token})
	if !strings.Contains(g.Log.String(), "backend=vault") {
		t.Errorf("log: %s", g.Log)
	}
	followsRotation(t, g, put)
}

func TestAWSRotatesUnderLoad(t *testing.T) {
	t.Parallel()
	moto := peertest.Moto(t)
	first := true
	put := func(path string, fields map[string]string) {
		text := fields["value"]
		if text == "" {
			text = fmt.Sprintf(`{"user": %q, "password": %q}`, fields["user"], fields["password"])
		}
		if first {
			moto.Do(t, "CreateSecret", map[string]any{"Name": path, "SecretString": text, "ClientRequestToken": strings.Repeat("c", 32)})
			return
		}
		moto.Do(t, "PutSecretValue", map[string]any{"SecretId": path, "SecretString": text, "ClientRequestToken": strings.Repeat("p", 32), "VersionStages": []string{"AWSCURRENT"}})
	}
	put("gateway/jwt", map[string]string{"value": hmacKey})
	put("gateway/up", map[string]string{"value": "first"})
	put("gateway/login", map[string]string{"user": "svc1", "password": "pw1"})
	first = false
	backend := fmt.Sprintf("backend: auto, aws: {endpoint: %q}", moto.Endpoint)
	g := start(t, fmt.Sprintf(backendRoutes, "1h", backend, startEcho(t).URL), environment{
		"AWS_REGION": moto.Region, "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key",
	})
	if !strings.Contains(g.Log.String(), "backend=aws") {
		t.Errorf("log: %s", g.Log)
	}
	followsRotation(t, g, put)
}

// Down at start: only what needs it answers 503. Down later: the last known
// values serve until max_stale, then 503; back within five seconds (CONTRACT 5).
func TestBackendThatGoesAndComes(t *testing.T) {
	t.Parallel()
	vault := peertest.Vault(t)
	for path, fields := range map[string]map[string]string{
		"gateway/jwt": {"value": hmacKey}, "gateway/up": {"value": "first"}, "gateway/login": {"user": "svc1", "password": "pw1"},
	} {
		vault.Do(t, "POST", "secret/data/"+path, map[string]any{"data": fields})
	}
	// max_stale is longer than the 5 s a hanging read takes to be seen as one.
	between := peertest.NewFaultProxy(t, vault.Address)
	between.Cut()
	backend := fmt.Sprintf("backend: vault, vault: {address: %q}", "http://"+between.Address)
	g := start(t, fmt.Sprintf(backendRoutes, "8s", backend, startEcho(t).URL), environment{"VAULT_TOKEN": vault.Token})
	status := func() int { return send(t, "GET", g.URL+"/up", "").Status }
	if got := status(); got != 503 {
		t.Errorf("down at start: %d, want 503", got)
	}
	comesBack := func(when string) {
		t.Helper()
		begun := time.Now()
		await(t, "recovery "+when, func() bool { return status() == 200 })
		t.Logf("%s: back after %v", when, time.Since(begun).Round(10*time.Millisecond))
	}
	between.Normal()
	comesBack("down at start")
	for name, fault := range map[string]func(){"cut": between.Cut, "hanging": between.Hang, "garbled": between.Corrupt} {
		fault()
		await(t, name+" to be seen", func() bool { _, body := ready(t, g, ""); return body["status"] != "ok" })
		if got := status(); got != 200 {
			t.Errorf("%s, before max_stale: %d, want 200", name, got)
		}
		await(t, name+" to pass max_stale", func() bool { return status() == 503 })
		between.Normal()
		comesBack(name)
		await(t, "health after "+name, func() bool { _, body := ready(t, g, "?strict"); return body["status"] == "ok" })
	}
	if text := g.Log.String() + g.Access.String(); strings.Contains(text, vault.Token) || strings.Contains(text, hmacKey) {
		t.Error("a secret was logged")
	}
}
