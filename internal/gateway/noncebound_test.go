package gateway

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/crypto"
)

func TestAKeyNearItsBoundIsToldOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind    crypto.Type
		primary bool
		sealed  uint64
		says    string
	}{
		{crypto.AES256GCM, true, crypto.NonceWarning - 1, ""},
		{crypto.AES256GCM, true, crypto.NonceWarning, "over half"},
		{crypto.AES256GCM, true, crypto.NonceBound - 1, "over half"},
		{crypto.AES256GCM, true, crypto.NonceBound, "encrypts no more"},
		{crypto.AES256GCM, false, crypto.NonceBound, ""}, // it was rotated
		{crypto.XAES256, true, crypto.NonceBound, ""},
		{crypto.Fernet, true, crypto.NonceBound, ""},
	} {
		got := worn(c.kind, []crypto.VersionStatus{{Version: 2, Primary: c.primary, Sealed: c.sealed}, {Version: 1}})
		if !strings.Contains(got, c.says) || (c.says == "") != (got == "") {
			t.Errorf("%s, primary %t, %d: %q", c.kind, c.primary, c.sealed, got)
		}
	}
	var log strings.Builder
	(&Keyring{log: slog.New(slog.NewTextHandler(&log, nil))}).nearBound(2)
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "version=2") || !strings.Contains(log.String(), "encryptions=2147483648") {
		t.Errorf("logged %s", &log)
	}
}
