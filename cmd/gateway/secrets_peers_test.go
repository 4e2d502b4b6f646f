package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/peertest"
)

// The commands against the real servers: what is set is there to be got and
// listed, a field beside another, and no list shows a value.
func TestSecretsCommandsOnRealBackends(t *testing.T) {
	vault, moto := peertest.Vault(t), peertest.Moto(t)
	tokenFile := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(tokenFile, []byte(vault.Token), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key", "AWS_REGION": moto.Region, "VAULT_ADDR": "",
	} {
		t.Setenv(name, value)
	}
	for backend, block := range map[string]string{
		"vault": fmt.Sprintf("{address: %q, auth: {token_file: %q}}", vault.Address, tokenFile),
		"aws":   fmt.Sprintf("{endpoint: %q}", moto.Endpoint),
	} {
		file := write(t, backend+".yaml", strings.Replace(validConfig, "routes:", "secrets: {backend: "+backend+", "+backend+": "+block+"}\nroutes:", 1))
		secrets := func(input string, args ...string) (status int, out, errs string) {
			var o, e bytes.Buffer
			status = run(t.Context(), append([]string{"secrets", "-c", file}, args...), streams{strings.NewReader(input), &o, &e})
			return status, o.String(), e.String()
		}
		for _, c := range []struct {
			input  string
			args   []string
			status int
			out    string
		}{
			{"canary-one\n", []string{"set", "app/db#user", "-"}, 0, "app/db#user is set\n"},
			{"canary-two\n", []string{"set", "app/db#password", "-"}, 0, "app/db#password is set\n"},
			{"canary-three\n", []string{"set", "app/key", "-"}, 0, "app/key is set\n"},
			{"", []string{"get", "app/db#user"}, 0, "canary-one\n"},
			{"", []string{"get", "app/db#password"}, 0, "canary-two\n"},
			{"", []string{"get", "app/key"}, 0, "canary-three\n"},
			{"", []string{"list", "app/*"}, 0, "app/db\napp/key\n"},
			{"", []string{"get", "app/none"}, 1, ""},
		} {
			status, out, errs := secrets(c.input, c.args...)
			if status != c.status || out != c.out {
				t.Errorf("%s: %v: status %d, want %d; %q, want %q\n%s", backend, c.args, status, c.status, out, c.out, errs)
			}
			if strings.Contains(errs, "canary") || !strings.Contains(errs, backend) {
				t.Errorf("%s: %v: stderr: %s", backend, c.args, errs)
			}
		}
	}
}
