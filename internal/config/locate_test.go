package config

import (
	"strings"
	"testing"
)

// An allow that reads like nothing is an expression all the same.
func TestAllowIsNeverOff(t *testing.T) {
	t.Parallel()
	for _, written := range []string{"false", "'false'", "0", "'0s'", "'${env:FALSE}'", "|\n      false"} {
		c := parse(t, "issuers: {corp: {issuer: i, audiences: a, jwks_url: 'https://a/'}}\nroutes:\n- name: a\n  path: /*\n  upstream: 'http://a'\n  auth:\n    issuers: corp\n    allow: "+written+"\n", "FALSE=false")
		if got := strings.TrimSpace(string(c.Routes[0].Auth.Allow)); got != "false" && got != "0" && got != "0s" {
			t.Errorf("%s is read as %q", written, got)
		}
	}
}

// Whatever the style, a character of an expression is found where it stands.
func FuzzPlacesInExpressions(f *testing.F) {
	for _, written := range []string{
		"a == b", "'it''s' ", `"a\tb\"c" `, "|\n      one\n\n        two\n", ">-\n      one\n      two\n\n      three\n", "a\n      b\n\n      c", "'a\n      b'", "\"a\\\n      b\"", "|2\n      x\n", ">\n      a\n       b\n      c\n",
	} {
		f.Add(written)
	}
	f.Fuzz(func(t *testing.T, written string) {
		text := "issuers: {corp: {issuer: i, audiences: a, jwks_url: 'https://a/'}}\nroutes:\n- name: a\n  path: /*\n  upstream: 'http://a'\n  auth:\n    issuers: corp\n    allow: " + written + "\n"
		c, err := Parse("f", []byte(text), environment())
		if err != nil || len(c.Routes) == 0 || c.marks["routes[0].auth.allow"] == nil {
			return
		}
		found := c.marks["routes[0].auth.allow"].located
		if found == nil {
			return
		}
		lines := linesOf([]byte(text))
		line, column := 1, 1
		for i, r := range []rune(string(c.Routes[0].Auth.Allow)) {
			at := found.where[i]
			if l, col, exact := c.PositionIn("routes[0].auth.allow", line, column); !exact || l != at.line || col != at.column {
				t.Fatalf("%d:%d is at %d:%d, %v, want %v", line, column, l, col, exact, at)
			}
			if column++; r == '\n' {
				line, column = line+1, 1
			}
			if source := lines[at.line-1]; r > ' ' && source[at.column-1] != r && source[at.column-1] != '\\' {
				t.Fatalf("%q is at %v, where %q stands", r, at, source[at.column-1])
			}
		}
	})
}
