package peertest_test

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/peertest"
)

func TestVaultKeepsWhatIsWritten(t *testing.T) {
	t.Parallel()
	peer := peertest.Vault(t)
	peer.Do(t, http.MethodPut, "secret/data/a", map[string]any{"data": map[string]any{"value": "x"}})
	answer := peer.Do(t, http.MethodGet, "secret/data/a", nil)
	if got := answer["data"].(map[string]any)["data"].(map[string]any)["value"]; got != "x" {
		t.Errorf("read %v, want x", got)
	}
	peer.Stop()
	if c, err := net.Dial("tcp", strings.TrimPrefix(peer.Address, "http://")); err == nil {
		c.Close()
		t.Error("the server still takes connections after Stop")
	}
}

func TestVaultSealedComesBackWithItsFiles(t *testing.T) {
	t.Parallel()
	peer := peertest.VaultSealed(t)
	sealed := func(want bool, when string) {
		t.Helper()
		if got := peer.Do(t, http.MethodGet, "sys/seal-status", nil)["sealed"]; got != want {
			t.Errorf("sealed is %v %s, want %v", got, when, want)
		}
	}
	sealed(true, "at first")
	peer.Init(t)
	peer.Unseal(t)
	peer.Do(t, http.MethodPut, "sys/mounts/kv", map[string]any{"type": "kv"})
	peer.Do(t, http.MethodPut, "kv/a", map[string]any{"value": "x"})
	peer.Seal(t)
	sealed(true, "after Seal")
	peer.Stop()
	peer.Restart(t)
	sealed(true, "after Restart")
	peer.Unseal(t)
	if got := peer.Do(t, http.MethodGet, "kv/a", nil)["data"].(map[string]any)["value"]; got != "x" {
		t.Errorf("read %v, want x", got)
	}
}

func TestVaultStandbyKnowsTheActiveOne(t *testing.T) {
	t.Parallel()
	active := peertest.VaultSealed(t)
	active.Init(t)
	active.Unseal(t)
	standby := active.Standby(t)
	if got := standby.Do(t, http.MethodGet, "sys/leader", nil)["leader_address"]; got != active.Address {
		t.Errorf("the leader is %v, want %s", got, active.Address)
	}
}
