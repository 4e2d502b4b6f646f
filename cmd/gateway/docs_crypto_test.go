package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/token"
)

// TestCryptoDocumentWorks does what docs/crypto.md says: its configuration, its
// commands, and its examples in every language that this machine has.
func TestCryptoDocumentWorks(t *testing.T) {
	t.Parallel()
	all := blocks(read(t, repository+"/docs/crypto.md"))
	dir := t.TempDir()
	bin, program := t.TempDir(), testProgram(t)
	put(t, filepath.Join(bin, "gateway"), fmt.Sprintf("#!/bin/sh\n%s=1 exec '%s' \"$@\"\n", asGateway, program))
	if err := os.Chmod(filepath.Join(bin, "gateway"), 0o700); err != nil {
		t.Fatal(err)
	}
	const key = "an HMAC key of 32 bytes or more, for tests alone"
	writeAll(t, dir, map[string]string{"secrets/jwt/key": key})
	address := freeAddress(t)
	environment := append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "GATEWAY=http://"+address, "TOKEN="+cryptoToken(t, key))
	shell := func(name, script string, program ...string) string {
		t.Helper()
		c := exec.CommandContext(t.Context(), program[0], append(program[1:], script)...)
		c.Dir, c.Env = dir, environment
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s\n%s", name, err, script, out)
		}
		return string(out)
	}
	var commands []string
	examples := make(map[string]string)
	for _, b := range all {
		switch {
		case b.title() == "gateway.yaml":
			text := strings.Replace(b.text, "127.0.0.1:8080", address, 1) + "admin: {listen: \"\"}\n"
			writeAll(t, dir, map[string]string{"gateway.yaml": text})
		case b.language == "sh":
			commands = append(commands, b.text)
		default:
			examples[b.language] = b.text
		}
	}
	if len(commands) != 3 {
		t.Fatalf("%d blocks of commands", len(commands))
	}
	shell("set up", commands[0], "sh", "-euc")
	serving := exec.CommandContext(t.Context(), program, "run", "-c", "gateway.yaml")
	serving.Dir, serving.Env = dir, append(environment, asGateway+"=1")
	if err := serving.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = serving.Process.Signal(os.Interrupt)
		_ = serving.Wait()
	})
	awaitDial(t, address)
	out := shell("curl", commands[1], "sh", "-euc")
	if !strings.Contains(out, `"version":2`) || !strings.Contains(out, `"plaintext":"ann@example.com"`) || !strings.Contains(out, `"ciphertext":"gw:v2:`) {
		t.Errorf("curl printed %s", out)
	}
	if out := shell("commands", commands[2], "sh", "-euc"); !strings.Contains(out, "3        primary") {
		t.Errorf("the commands printed %s", out)
	}
	if exec.CommandContext(t.Context(), "python3", "-c", "import cryptography.fernet").Run() == nil {
		if out := shell("python", examples["python"], "python3", "-c"); out != "ann@example.com\nbob@example.com\n" {
			t.Errorf("python printed %s", out)
		}
	}
	if exec.CommandContext(t.Context(), "node", "--input-type=module", "-e", "await fetch").Run() == nil {
		if out := shell("node", examples["javascript"], "node", "--input-type=module", "-e"); out != "{ valid: true, needs_rehash: false }\n" {
			t.Errorf("node printed %s", out)
		}
	}
	writeAll(t, dir, map[string]string{"client/main.go": examples["go"]})
	if out := shell("go", "client/main.go", "go", "run"); strings.Count(out, "gw:v") != 2 || strings.Contains(out, "gw:v1:") {
		t.Errorf("go printed %s", out)
	}
}

func testProgram(t *testing.T) string {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return program
}

func cryptoToken(t *testing.T, key string) string {
	t.Helper()
	signer, err := token.NewSigner([]byte(key), "HS256", "")
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(map[string]any{
		"iss": "https://idp.example.com/", "aud": "crypto", "sub": "orders-service", "exp": time.Now().Add(time.Hour).Unix(),
		"scope": "crypto:encrypt crypto:decrypt crypto:admin crypto:password",
	}, "JWT")
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func writeAll(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func awaitDial(t *testing.T, address string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(fmt.Errorf("nothing listens at %s: %w", address, err))
		}
	}
}
