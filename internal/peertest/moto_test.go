package peertest_test

import (
	"net"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/peertest"
)

func TestMotoKeepsWhatIsWrittenUntilStop(t *testing.T) {
	t.Parallel()
	peer := peertest.Moto(t)
	peer.Do(t, "CreateSecret", map[string]any{"Name": "a/b", "SecretString": "x"})
	answer := peer.Do(t, "GetSecretValue", map[string]any{"SecretId": "a/b"})
	if got := answer["SecretString"]; got != "x" {
		t.Errorf("read %v, want x", got)
	}
	if arn, _ := answer["ARN"].(string); !strings.HasPrefix(arn, "arn:aws:secretsmanager:"+peer.Region+":") {
		t.Errorf("the ARN is %q, which is not of region %s", arn, peer.Region)
	}
	peer.Stop()
	if c, err := net.Dial("tcp", strings.TrimPrefix(peer.Endpoint, "http://")); err == nil {
		c.Close()
		t.Error("the server still takes connections after Stop")
	}
}
