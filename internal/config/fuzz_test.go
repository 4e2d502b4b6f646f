package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// FuzzLoad: no text makes Parse panic, every error has a place in the file and
// one line, no error shows a secret variable, and the same text always reads as
// the same configuration.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/faults/*.yaml", "testdata/*.yaml", "../../configs/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	const canary = "c4nary-0123456789"
	options := environment("TOKEN="+canary, "UPSTREAM_URL=http://a", "EMPTY=")
	f.Fuzz(func(t *testing.T, text []byte) {
		if strings.Contains(string(text), "c4nary") {
			return
		}
		text = append(slices.Clip(text), "\nadmin: {token: '${env:TOKEN}'}\n"...)
		lines := 1 + strings.Count(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n")
		for _, end := range []string{"\r", "\u0085", "\u2028", "\u2029"} {
			lines += strings.Count(strings.ReplaceAll(string(text), "\r\n", "\n"), end)
		}
		c, err := Parse("f", text, options)
		if err == nil {
			again, err := Parse("f", text, options)
			if err != nil || !reflect.DeepEqual(c, again) {
				t.Fatalf("read twice: %v", err)
			}
			for _, use := range c.SecretUses() {
				if line, _ := c.Position(use.Where); use.Path == "" || line < 1 {
					t.Fatalf("%+v", use)
				}
			}
			return
		}
		var mistakes Errors
		if !errors.As(err, &mistakes) || len(mistakes) == 0 || c != nil {
			t.Fatalf("%#v", err)
		}
		told := false // that the token stands in a secret place, where the rest let it
		for _, m := range mistakes {
			if m.Line < 1 || m.Column < 1 || m.Line > lines || m.Problem == "" || strings.ContainsAny(m.Error(), "\n\r\x1b\x00") {
				t.Fatalf("%#v", m)
			}
			told = told || m.Problem == "a secret must not stand in this file" && m.Line == lines-1
		}
		if told && strings.Contains(err.Error(), canary) {
			t.Fatalf("the error shows a secret: %v", err)
		}
	})
}
