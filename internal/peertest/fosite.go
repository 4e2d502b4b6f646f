package peertest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A FositePeer is a running OAuth 2.0 server (test/fosite), on loopback.
type FositePeer struct {
	URL           string `json:"url"`
	Issuer        string `json:"issuer"` // the iss of its tokens
	JWKSURL       string `json:"jwks_url"`
	TokenURL      string `json:"token_url"`
	IntrospectURL string `json:"introspect_url"`
	RevokeURL     string `json:"revoke_url"`

	// Clients are named by the only way they may authenticate:
	// client_secret_basic, client_secret_post and, when -client-jwks was given,
	// private_key_jwt. All may ask for orders:read and orders:write.
	Clients map[string]FositeClient `json:"clients"`

	// Stop ends the server and returns once it is gone: the outage of an
	// issuer. The end of the test does it otherwise.
	Stop func() `json:"-"`
}

// A FositeClient is a client the server knows. Its secret is new at each start.
type FositeClient struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

// Fosite starts the server and returns once it takes connections. The flags in
// args are those of test/fosite: -lifetime 5s, -audience NAME, -listen
// 127.0.0.1:PORT (to come back after an outage), -client-jwks JSON, -client-alg
// ES256. The test ends here, skipped or failed, where the server is not built.
func Fosite(t testing.TB, args ...string) *FositePeer {
	t.Helper()
	path := Binary(t, "fositepeer")
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second // then killed
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatalf("peertest: %v", err)
	}
	// Held open until the end: the server ends with the test process, whatever becomes of that.
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatalf("peertest: %v", err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("peertest: start %s: %v", path, err)
	}
	stop := sync.OnceFunc(func() {
		cancel()
		_ = cmd.Wait() // always tells of the signal
	})
	t.Cleanup(stop)

	slow := time.AfterFunc(20*time.Second, cancel)
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	slow.Stop()
	peer := &FositePeer{Stop: stop}
	if err == nil {
		err = json.Unmarshal(line, peer)
	}
	if err != nil {
		stop() // stderr is complete only then
		t.Fatalf("peertest: fositepeer %q told no URL: %v\n%s", args, err, stderr.String())
	}
	return peer
}
