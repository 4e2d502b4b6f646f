package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/peertest"
)

// asGateway in the environment makes the test's own program the gateway, for
// shells that run it.
const asGateway = "SALLYPORT_TEST_AS_GATEWAY"

func TestMain(m *testing.M) {
	if os.Getenv(asGateway) != "" {
		main()
	}
	os.Exit(m.Run())
}

// TestSecretsDocumentWorks runs the commands of docs/secrets.md as they are
// written, in the order of each section, with the real backend.
func TestSecretsDocumentWorks(t *testing.T) {
	t.Parallel()
	shell := requireShell(t)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text := read(t, repository+"/docs/secrets.md")
	for _, c := range []struct {
		heading string
		blocks  int
		start   func(t *testing.T, bin string) (environment []string)
		after   func(t *testing.T, do func(script string) (string, error))
	}{
		{"Environment", 1, nil, nil},
		{"Files", 1, nil, nil},
		{"Vault", 3, func(t *testing.T, bin string) []string {
			vault := peertest.Vault(t)
			if err := os.Symlink(peertest.Binary(t, "vault"), filepath.Join(bin, "vault")); err != nil {
				t.Fatal(err)
			}
			vault.Do(t, "POST", "secret/data/elsewhere", map[string]any{"data": map[string]any{"value": "x"}})
			return []string{"VAULT_ADDR=" + vault.Address, "VAULT_TOKEN=" + vault.Token}
		}, func(t *testing.T, do func(script string) (string, error)) {
			// The policies grant what they are for, and no more.
			for script, wanted := range map[string]string{
				"gateway secrets get -c gateway.yaml gateway/admin":                                "",
				"gateway secrets get -c gateway.yaml elsewhere":                                    "denies access",
				"gateway secrets list -c gateway.yaml 'gateway/*'":                                 "denies access",
				"echo x | gateway secrets set -c gateway.yaml gateway/admin -":                     "denies access",
				"cd operator; gateway secrets get --backend vault elsewhere":                       "denies access",
				"cd operator; echo x | gateway secrets set --backend vault elsewhere -":            "denies access",
				"cd operator; gateway secrets get --backend vault gateway/admin":                   "",
				"cd operator; printf y | gateway secrets set --backend vault 'gateway/pair#one' -": "",
				"cd operator; printf z | gateway secrets set --backend vault 'gateway/pair#two' -": "",
				"cd operator; gateway secrets list --backend vault 'elsewhere*'":                   "denies access",
			} {
				out, err := do(script)
				if (err == nil) != (wanted == "") || !strings.Contains(out, wanted) {
					t.Errorf("%s: %v, want %q:\n%s", script, err, wanted, out)
				}
			}
		}},
		{"AWS Secrets Manager", 1, func(t *testing.T, _ string) []string {
			moto := peertest.Moto(t)
			return []string{"AWS_ENDPOINT_URL=" + moto.Endpoint, "AWS_ACCESS_KEY_ID=id", "AWS_SECRET_ACCESS_KEY=key"}
		}, nil},
	} {
		t.Run(c.heading, func(t *testing.T) {
			t.Parallel()
			folder, bin := t.TempDir(), t.TempDir()
			shim := fmt.Sprintf("#!/bin/sh\n%s=1 exec '%s' \"$@\"\n", asGateway, program)
			if err := os.WriteFile(filepath.Join(bin, "gateway"), []byte(shim), 0o700); err != nil {
				t.Fatal(err)
			}
			environment := []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + folder}
			if c.start != nil {
				environment = append(environment, c.start(t, bin)...)
			}
			var scripts []string
			for _, b := range blocks(section(t, text, "## "+c.heading)) {
				switch name := b.title(); {
				case b.language == "sh":
					scripts = append(scripts, b.text)
				case b.language == "hcl" && strings.HasSuffix(name, ".hcl"):
					put(t, filepath.Join(folder, name), b.text)
				case name == "part of gateway.yaml":
					put(t, filepath.Join(folder, "gateway.yaml"), b.text+"listen: 127.0.0.1:0\n"+routeOfItsOwn)
				}
			}
			if len(scripts) != c.blocks {
				t.Fatalf("%d blocks of commands, want %d", len(scripts), c.blocks)
			}
			// One shell for all, so that what one exports the next has.
			do := func(script string) (string, error) {
				ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
				defer cancel()
				cmd := exec.CommandContext(ctx, shell, "-e", "-c", script)
				cmd.Dir, cmd.Env = folder, environment
				out, err := cmd.CombinedOutput()
				return string(out), err
			}
			all := strings.Join(scripts, "\n")
			out, err := do(all)
			if err != nil {
				t.Fatalf("%v:\n%s", err, out)
			}
			if !strings.Contains(out, "gateway.yaml is valid") || !strings.Contains(strings.ToLower(out), "gateway") {
				t.Errorf("the commands printed:\n%s", out)
			}
			if c.after != nil {
				exports := ""
				for line := range strings.Lines(all) {
					if strings.HasPrefix(line, "export ") {
						exports += line
					}
				}
				c.after(t, func(script string) (string, error) { return do(exports + script) })
			}
		})
	}
}

func put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The IAM policy is one, and grants what the gateway calls.
func TestIAMPolicyOfTheSecretsDocument(t *testing.T) {
	t.Parallel()
	for _, b := range blocks(section(t, read(t, repository+"/docs/secrets.md"), "## AWS Secrets Manager")) {
		if b.language != "json" {
			continue
		}
		var policy struct {
			Version   string
			Statement []struct {
				Effect   string
				Action   any
				Resource string
			}
		}
		if err := json.Unmarshal([]byte(b.text), &policy); err != nil || policy.Version != "2012-10-17" || len(policy.Statement) != 2 {
			t.Fatalf("%+v, %v", policy, err)
		}
		granted := []string{fmt.Sprint(policy.Statement[0].Action)}
		for _, action := range policy.Statement[1].Action.([]any) {
			granted = append(granted, fmt.Sprint(action))
		}
		want := []string{"secretsmanager:GetSecretValue", "secretsmanager:BatchGetSecretValue", "secretsmanager:ListSecrets"}
		if !slices.Equal(granted, want) || !strings.HasSuffix(policy.Statement[0].Resource, ":secret:prod/*") {
			t.Errorf("granted: %v on %s", granted, policy.Statement[0].Resource)
		}
		return
	}
	t.Error("there is no policy")
}
