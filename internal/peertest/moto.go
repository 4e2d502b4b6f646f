package peertest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"
)

// A MotoPeer is a running moto server on loopback: AWS Secrets Manager and STS,
// in memory. It checks no signature, so any key will do.
type MotoPeer struct {
	Endpoint string // its URL
	Region   string // the region that Do asks

	// Stop ends the server and returns once it is gone, with all it held. The
	// end of the test does it otherwise.
	Stop func()
}

// Moto starts the server and returns once it answers. The test ends here,
// skipped or failed, where the server is not installed.
func Moto(t testing.TB) *MotoPeer {
	t.Helper()
	path := Binary(t, "moto")
	cmd := exec.Command("/bin/sh", "-c", guarded, "sh", path, "-H", "127.0.0.1", "-p", "0")
	cmd.Env = []string{"HOME=" + os.TempDir(), "PATH=" + os.Getenv("PATH"), "PYTHONUNBUFFERED=1"}
	output := &tail{limit: 16 << 10}
	cmd.Stdout, cmd.Stderr = output, output
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatalf("peertest: %v", err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("peertest: start %s: %v", path, err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // always tells of the signal
		close(ended)
	}()
	p := &MotoPeer{Region: "eu-central-1", Stop: func() {
		stdin.Close()
		<-ended
	}}
	t.Cleanup(p.Stop)
	running := regexp.MustCompile(`Running on (http://127\.0\.0\.1:[0-9]+)\s`)
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if said := running.FindStringSubmatch(output.String()); said != nil {
			p.Endpoint = said[1]
			return p
		}
		if time.Since(began) > 30*time.Second {
			p.Stop()
			t.Fatalf("peertest: moto tells no address\n%s", output)
		}
	}
}

// Do asks Secrets Manager for an action, such as CreateSecret, past any proxy,
// and returns the answer. The test ends here unless it is a good one.
func (p *MotoPeer) Do(t testing.TB, action string, in map[string]any) map[string]any {
	t.Helper()
	content, err := json.Marshal(in)
	if err != nil {
		t.Fatalf("peertest: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.Endpoint, bytes.NewReader(content))
	if err != nil {
		t.Fatalf("peertest: %v", err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "secretsmanager."+action)
	// The region is read from here, and nothing is checked.
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=peertest/20260101/"+p.Region+"/secretsmanager/aws4_request, SignedHeaders=host, Signature=0")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("peertest: moto: %s: %v", action, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
	var answer map[string]any
	if err == nil {
		err = json.Unmarshal(body, &answer)
	}
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("peertest: moto: %s: %d %s %v", action, res.StatusCode, body, err)
	}
	return answer
}
