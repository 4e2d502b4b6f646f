package gateway_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/gateway"
)

// A keyring whose document is there and is none: validate says where, and what
// would be right; the gateway starts, and says so once, and answers 503.
func TestAKeyringsDocumentThatIsNoneIsNamedByItsPlace(t *testing.T) {
	t.Parallel()
	const key = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
	for name, c := range map[string]struct{ document, want string }{
		"a password":         {"correct horse battery staple", "not a keyring document: the key is not base64"},
		"a short key":        {"AQEBAQEBAQEBAQEBAQEBAQ==", "not a keyring document: a key has 32 bytes"},
		"no primary":         {`{"primary": 2, "versions": {"1": {"key": "` + key + `"}}}`, "primary is none of its versions"},
		"an unknown name":    {`{"primary": 1, "versions": {"1": {"key": "` + key + `", "retierd": true}}}`, "a member is unknown"},
		"a repeated version": {`{"primary": 1, "versions": {"1": {"key": "` + key + `"}, "1": {"key": "` + key + `"}}}`, "a name is repeated"},
		"cut off":            {`{"primary": 1, "versions": {"1": {"key": "` + key, "JSON is broken"},
	} {
		dir := keyFiles(t)
		if err := os.WriteFile(filepath.Join(dir, "crypto", "pii"), []byte(c.document), 0o600); err != nil {
			t.Fatal(err)
		}
		text := cryptoHead(dir)
		line := 1 + strings.Count(text[:strings.Index(text, "  pii:")], "\n")
		env := environment{"JWT_KEY": hmacKey}
		err := gateway.Validate(t.Context(), parse(t, text, env), gateway.Options{LookupEnv: env.lookup}, false)
		at := fmt.Sprintf("test.yaml:%d:33: keyrings.pii.keys: ", line)
		if got := fmt.Sprint(err); !strings.HasPrefix(got, at) || !strings.Contains(got, c.want) || !strings.Contains(got, "store a key as gateway generate key --type aes256-gcm prints it") || strings.Contains(got, key[:8]) || strings.Contains(got, "staple") || strings.Count(got, "\n") > 0 {
			t.Errorf("%s: got %s\nwant %s…%s", name, got, at, c.want)
		}
		if err := gateway.Validate(t.Context(), parse(t, text, env), gateway.Options{LookupEnv: env.lookup}, true); err != nil {
			t.Errorf("%s, offline: %v", name, err)
		}
		g := start(t, text, nil)
		if a := g.crypto(t, "/keyrings/pii/encrypt", `{"plaintext": "x"}`, "crypto:encrypt"); a.Status != 503 {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
		if log := g.Log.String(); !strings.Contains(log, "a keyring cannot be used") || strings.Contains(log, key[:8]) || strings.Contains(log, "staple") {
			t.Errorf("%s: logged %s", name, log)
		}
	}
}
