package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestExampleCasesPass(t *testing.T) {
	t.Parallel()
	status, out, errs := invoke(t, "test", "-c", repository+"/configs/example.yaml", "--coverage", repository+"/configs/cases/example.yaml")
	if status != exitOK || errs != "" {
		t.Errorf("ended with %d:\n%s%s", status, out, errs)
	}
}

// The document's transcripts of explain are those of the golden file.
func TestTranscriptsInTheDocumentAreReal(t *testing.T) {
	t.Parallel()
	real, seen := read(t, "testdata/explain.txt"), 0
	for _, b := range blocks(read(t, repository+"/docs/testing-policies.md")) {
		if b.language != "text" {
			continue
		}
		seen++
		if !strings.Contains(real, b.text) {
			t.Errorf("testdata/explain.txt does not have\n%s", b.text)
		}
	}
	if seen < 2 {
		t.Errorf("only %d transcripts were found", seen)
	}
}

// The tables of the document name every key of a case file, and no other.
func TestDocumentNamesTheKeysOfACase(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("cases:\n  - {expect: {decision: allow}, request: {url: /x}, wrong: 1, token: {issuer: a, wrong: 1}}\n")
	b.WriteString("  - {expect: {decision: allow, wrong: 1}, request: {url: /x, wrong: 1}}\n")
	file := filepath.Join(t.TempDir(), "cases.yaml")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, errs := invoke(t, "test", "-c", write(t, "gateway.yaml", validConfig), file)
	documented := make(map[string]bool)
	for _, row := range table(read(t, repository+"/docs/testing-policies.md")) {
		documented[row[0]] = true
	}
	known := 0
	for line := range strings.Lines(errs) {
		_, list, ok := strings.Cut(strings.TrimSpace(line), "the keys here are ")
		if !ok {
			t.Errorf("%q lists no keys", line)
		}
		for _, key := range strings.Split(list, ", ") {
			known++
			if !documented[key] {
				t.Errorf("the document does not have the key %s", key)
			}
		}
	}
	if known < 20 {
		t.Errorf("%d keys in %s", known, errs)
	}
}
