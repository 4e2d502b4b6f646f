//go:build linux

package main

import (
	"bytes"
	"testing"
)

func TestColoursAreForTerminals(t *testing.T) {
	var b bytes.Buffer
	if newInk(&b) {
		t.Error("a buffer is no terminal")
	}
	if got := ink(true).verdict("deny"); got != "\x1b[31mdeny\x1b[0m" {
		t.Errorf("%q", got)
	}
	if got := printable("a \"b\" \x1b[31m\u202e é"); got != `a "b" \x1b[31m\u202e é` {
		t.Errorf("%s", got)
	}
	_, program := openTerminal(t)
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	if !newInk(program) {
		t.Error("no colours on a terminal")
	}
	t.Setenv("NO_COLOR", "1")
	if newInk(program) {
		t.Error("colours in spite of NO_COLOR")
	}
}
