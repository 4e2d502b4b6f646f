package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sealConfig writes a configuration with keyrings in files, and returns its name.
func sealConfig(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "gateway.yaml")
	text := fmt.Sprintf(`
secrets: {backend: file, file: {dir: %s}}
admin: {listen: ""}
keyrings:
  pii: {type: aes256-gcm, keys: "${secret:pii}"}
  fern: {type: fernet, keys: "${secret:fern#key}"}
  fixed: {type: aes256-gcm, keys: "${secret:fixed}"}
routes:
  - {name: a, path: /, auth: public, upstream: "http://127.0.0.1:1"}
`, dir)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// sealed runs the command with input and returns what it printed.
func sealed(t testing.TB, in string, args ...string) (out, errText string, status int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status = run(t.Context(), args, streams{strings.NewReader(in), &stdout, &stderr})
	return stdout.String(), stderr.String(), status
}

func TestKeyringsFromTheCommandLine(t *testing.T) {
	t.Parallel()
	file := sealConfig(t)
	must := func(in string, args ...string) string {
		t.Helper()
		out, text, status := sealed(t, in, append(args, "-c", file)...)
		if status != exitOK {
			t.Fatalf("%v: %d %s", args, status, text)
		}
		return out
	}
	for _, ring := range []string{"pii", "fern"} {
		if out := must("", "keyring", "rotate", ring); out != "keyring "+ring+": version 1 is the primary\n" {
			t.Errorf("%s", out)
		}
		for _, text := range []string{"ann@example.com", "", "two\nlines\n", "\x00\xff"} {
			if got := must(must(text, "encrypt", "--keyring", ring), "decrypt", "--keyring", ring); got != text {
				t.Errorf("%s: %q came back as %q", ring, text, got)
			}
		}
		column := "ann\n\nnaïve\nlast"
		first := must(column, "encrypt", "--keyring", ring, "--lines")
		if strings.Count(first, "\n") != 4 {
			t.Errorf("%s: %q", ring, first)
		}
		must("", "keyring", "rotate", ring)
		second := must(first, "rewrap", "--keyring", ring, "--lines")
		for _, lines := range []string{first, second} {
			if got := must(lines, "decrypt", "--keyring", ring, "--lines"); got != column+"\n" {
				t.Errorf("%s: %q", ring, got)
			}
		}
		if ring == "pii" && (!strings.HasPrefix(first, "gw:v1:") || !strings.HasPrefix(second, "gw:v2:")) {
			t.Errorf("%s, %s", first, second)
		}
		shown := must("", "keyring", "show", ring)
		if !strings.Contains(shown, "2        primary") || !strings.Contains(shown, "1        decrypts") {
			t.Errorf("%s", shown)
		}
	}
	in := filepath.Join(filepath.Dir(file), "column.txt")
	if err := os.WriteFile(in, []byte("a\nb\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := must(must("", "encrypt", "--keyring", "pii", "--lines", in), "decrypt", "--keyring", "pii", "--lines"); got != "a\nb\n" {
		t.Errorf("of a file: %q", got)
	}
	if got := must(must("x", "encrypt", "--keyring", "pii", "--context", "t1"), "decrypt", "--keyring", "pii", "--context", "t1"); got != "x" {
		t.Errorf("with context: %q", got)
	}
}

func TestSealingThatFailsSaysWhere(t *testing.T) {
	t.Parallel()
	file := sealConfig(t)
	if _, text, status := sealed(t, "", "keyring", "rotate", "pii", "-c", file); status != exitOK {
		t.Fatal(text)
	}
	good, _, _ := sealed(t, "x", "encrypt", "--keyring", "pii", "-c", file)
	lines, _, _ := sealed(t, "two\nlines", "encrypt", "--keyring", "pii", "-c", file)
	for name, c := range map[string]struct {
		in     string
		args   []string
		status int
		says   string
	}{
		"no keyring named":   {"", []string{"encrypt"}, exitUsage, "--keyring"},
		"unknown keyring":    {"", []string{"encrypt", "--keyring", "pi"}, exitFailure, "there are: fern, fixed, pii"},
		"not in the backend": {"", []string{"encrypt", "--keyring", "fixed"}, exitFailure, "not found"},
		"tampered":           {good[:12] + "AAAA" + good[16:], []string{"decrypt", "--keyring", "pii"}, exitFailure, "decryption failed"},
		"third line":         {good + good + "gw:v1:AAAA\n", []string{"decrypt", "--keyring", "pii", "--lines"}, exitFailure, "line 3: decryption failed"},
		"line break inside":  {lines, []string{"decrypt", "--keyring", "pii", "--lines"}, exitFailure, "line 1: the plaintext has a line break"},
		"long line":          {strings.Repeat("x", maxLine+1), []string{"encrypt", "--keyring", "pii", "--lines"}, exitFailure, "line 1 has more than 4 MiB"},
		"no such file":       {"", []string{"encrypt", "--keyring", "pii", "nowhere"}, exitFailure, "nowhere"},
		"age of aes":         {good, []string{"decrypt", "--keyring", "pii", "--max-age", "5m"}, exitFailure, "only a Fernet token"},
		"show, odd output":   {"", []string{"keyring", "show", "pii", "--output", "xml"}, exitUsage, "--output"},
	} {
		out, text, status := sealed(t, c.in, append(c.args, "-c", file)...)
		if status != c.status || !strings.Contains(text, c.says) {
			t.Errorf("%s: %d %s%s", name, status, out, text)
		}
	}
}

func BenchmarkEncryptLines(b *testing.B) {
	file := sealConfig(b)
	if _, text, status := sealed(b, "", "keyring", "rotate", "pii", "-c", file); status != exitOK {
		b.Fatal(text)
	}
	column := strings.Repeat("ann@example.com\n", 100_000)
	for b.Loop() {
		if _, text, status := sealed(b, column, "encrypt", "--keyring", "pii", "--lines", "-c", file); status != exitOK {
			b.Fatal(text)
		}
	}
	b.ReportMetric(float64(b.N)*100_000/b.Elapsed().Seconds(), "lines/s")
}
