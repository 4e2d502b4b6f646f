package peertest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// A VaultPeer is a running HashiCorp Vault, on loopback.
type VaultPeer struct {
	Address string // its URL
	Token   string // the root token; none before Init

	key    string // unseals it
	binary string
	args   []string
	stop   func()
}

// Vault starts a server in development mode: in memory, unsealed, KV version 2
// at secret/. What config holds (HCL, such as another listener) comes on top.
// The test ends here, skipped or failed, where the server is not built.
func Vault(t testing.TB, config ...string) *VaultPeer {
	t.Helper()
	p := &VaultPeer{binary: Binary(t, "vault"), Token: "root"}
	address := vaultAddress(t)
	p.Address = "http://" + address
	p.args = []string{"server", "-dev", "-dev-no-store-token", "-dev-root-token-id=" + p.Token, "-dev-listen-address=" + address}
	for _, text := range config {
		p.args = append(p.args, "-config="+vaultConfig(t, text))
	}
	p.Restart(t)
	return p
}

// VaultSealed starts a server that keeps all in files, and is not initialised
// yet: see Init, Unseal and Seal. It comes back as it was by Restart, but sealed.
func VaultSealed(t testing.TB) *VaultPeer {
	t.Helper()
	return vaultServer(t)
}

// vaultServer starts a server that may be one of a cluster.
func vaultServer(t testing.TB) *VaultPeer {
	t.Helper()
	address := vaultAddress(t)
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatalf("peertest: %v", err)
	}
	next, err := strconv.Atoi(port)
	if err != nil {
		t.Fatalf("peertest: %v", err)
	}
	p := &VaultPeer{binary: Binary(t, "vault"), Address: "http://" + address}
	p.args = []string{"server", "-config=" + vaultConfig(t, fmt.Sprintf(`
		storage "raft" {
			path = %q
			node_id = %q
			performance_multiplier = 1
		}
		listener "tcp" {
			address = %q
			tls_disable = true
		}
		api_addr = %q
		cluster_addr = "https://%s:%d"
		disable_mlock = true
		`, t.TempDir(), port, address, p.Address, host, next+1))}
	p.Restart(t)
	return p
}

// vaultAddress returns an address of which the next port is free too, as Vault
// binds both.
func vaultAddress(t testing.TB) string {
	t.Helper()
	for range 50 {
		first, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatalf("peertest: %v", err)
		}
		address := first.Addr().(*net.TCPAddr)
		second, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", address.Port+1))
		first.Close()
		if err == nil {
			second.Close()
			return address.String()
		}
	}
	t.Fatal("peertest: no two free ports in a row")
	return ""
}

func vaultConfig(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vault.hcl")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatalf("peertest: %v", err)
	}
	return path
}

// guarded runs its arguments and kills that process when its own input ends,
// so that no server outlives the tests, whatever becomes of them.
const guarded = `"$@" & cat >/dev/null; kill -KILL $! 2>/dev/null; wait`

// Restart starts the server again after Stop, and returns once it answers.
func (p *VaultPeer) Restart(t testing.TB) {
	t.Helper()
	cmd := exec.Command("/bin/sh", append([]string{"-c", guarded, "sh", p.binary}, p.args...)...)
	cmd.Env = []string{"HOME=" + os.TempDir(), "PATH=" + os.Getenv("PATH")}
	output := &tail{limit: 16 << 10}
	cmd.Stdout, cmd.Stderr = output, output
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatalf("peertest: %v", err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("peertest: start %s: %v", p.binary, err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // always tells of the signal
		close(ended)
	}()
	p.stop = func() {
		stdin.Close()
		<-ended
	}
	t.Cleanup(p.stop)
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if status, _, err := p.ask(http.MethodGet, "sys/health", nil); err == nil && (p.Token != "root" || status == http.StatusOK) {
			return
		}
		if time.Since(began) > 30*time.Second {
			p.stop()
			t.Fatalf("peertest: Vault does not answer\n%s", output)
		}
	}
}

// Stop ends the server and returns once it is gone. The end of the test does
// it otherwise.
func (p *VaultPeer) Stop() { p.stop() }

// Init gives a new server its key and its root token, and leaves it sealed.
func (p *VaultPeer) Init(t testing.TB) {
	t.Helper()
	got := p.Do(t, http.MethodPut, "sys/init", map[string]any{"secret_shares": 1, "secret_threshold": 1})
	p.Token = got["root_token"].(string)
	p.key = got["keys"].([]any)[0].(string)
}

// Unseal opens the server, and returns once it is active.
func (p *VaultPeer) Unseal(t testing.TB) {
	t.Helper()
	p.unseal(t, http.StatusOK)
}

func (p *VaultPeer) unseal(t testing.TB, health int) {
	t.Helper()
	p.Do(t, http.MethodPut, "sys/unseal", map[string]any{"key": p.key})
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if status, _, err := p.ask(http.MethodGet, "sys/health", nil); err == nil && status == health {
			return
		}
		if time.Since(began) > 30*time.Second {
			t.Fatalf("peertest: Vault is unsealed, but its health is not %d", health)
		}
	}
}

// Standby starts a server that joins the cluster of p, and returns once it
// stands by.
func (p *VaultPeer) Standby(t testing.TB) *VaultPeer {
	t.Helper()
	other := vaultServer(t)
	other.Do(t, http.MethodPut, "sys/storage/raft/join", map[string]any{"leader_api_addr": p.Address})
	other.Token, other.key = p.Token, p.key
	other.unseal(t, http.StatusTooManyRequests) // what sys/health says of a standby
	return other
}

// Seal closes the server.
func (p *VaultPeer) Seal(t testing.TB) {
	t.Helper()
	p.Do(t, http.MethodPut, "sys/seal", nil)
}

// Do asks the server something with the root token, and returns the answer.
// The test ends here unless the answer is a good one.
func (p *VaultPeer) Do(t testing.TB, method, path string, body any) map[string]any {
	t.Helper()
	status, answer, err := p.ask(method, path, body)
	if err != nil || status > 299 {
		t.Fatalf("peertest: Vault: %s %s: %d %v %v", method, path, status, answer, err)
	}
	return answer
}

func (p *VaultPeer) ask(method, path string, body any) (int, map[string]any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var content []byte
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return 0, nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, p.Address+"/v1/"+path, bytes.NewReader(content))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("X-Vault-Token", p.Token)
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	var answer map[string]any
	decoder := json.NewDecoder(io.LimitReader(res.Body, 8<<20))
	decoder.UseNumber() // so that numbers are as Vault has them
	if err := decoder.Decode(&answer); err != nil && err != io.EOF {
		return res.StatusCode, nil, err
	}
	return res.StatusCode, answer, nil
}

// tail keeps the end of what is written to it.
type tail struct {
	limit int
	mu    sync.Mutex
	kept  []byte
}

func (w *tail) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kept = append(w.kept, b...)
	w.kept = w.kept[max(len(w.kept)-w.limit, 0):]
	return len(b), nil
}

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.kept)
}
