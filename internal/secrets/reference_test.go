package secrets_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/secrets"
)

func TestReferenceIsParsed(t *testing.T) {
	for text, want := range map[string]secrets.Reference{
		"${secret:a}":                        {Path: "a"},
		"${secret:database/password}":        {Path: "database/password"},
		"${secret:batch#user}":               {Path: "batch", Field: "user"},
		"${secret:/prod/db}":                 {Path: "/prod/db"}, // a name in AWS may begin so
		"${secret:arn:aws:x:y-1:1:secret:z}": {Path: "arn:aws:x:y-1:1:secret:z"},
		"${secret:..data/a b.c#f/g}":         {Path: "..data/a b.c", Field: "f/g"},
		"${secret:schlüssel}":                {Path: "schlüssel"},
	} {
		got, err := secrets.ParseReference(text)
		if err != nil || got != want {
			t.Errorf("%s is %+v, %v; want %+v", text, got, err, want)
		}
	}
}

func TestBadReferenceIsRefusedAndNotQuoted(t *testing.T) {
	for name, c := range map[string]struct{ text, says string }{
		"nothing":              {"", "must be"},
		"a literal":            {canary, "must be"},
		"an environment value": {"${env:" + canary + "}", "must be"},
		"not closed":           {"${secret:" + canary, "must be"},
		"text before":          {canary + "${secret:a}", "must be"},
		"text after":           {"${secret:a}" + canary, "must be"},
		"two":                  {"${secret:" + canary + "}${secret:b}", "brace"},
		"nested":               {"${secret:${env:" + canary + "}}", "brace"},
		"no path":              {"${secret:}", "path is empty"},
		"no path, a field":     {"${secret:#" + canary + "}", "path is empty"},
		"no field":             {"${secret:" + canary + "#}", "field after # is empty"},
		"two fields":           {"${secret:a#b#" + canary + "}", "second #"},
		"a space before":       {"${secret: " + canary + "}", "space"},
		"a space after":        {"${secret:" + canary + " }", "space"},
		"a newline":            {"${secret:" + canary + "\n}", "printed"},
		"NUL":                  {"${secret:" + canary + "\x00}", "printed"},
		"an unseen character":  {"${secret:" + canary + "\u202e}", "printed"},
		"not UTF-8":            {"${secret:" + canary + "\xff}", "printed"},
		"the folder above":     {"${secret:a/../" + canary + "}", "segment"},
		"a dot segment":        {"${secret:./" + canary + "}", "segment"},
		"too long":             {"${secret:" + strings.Repeat("a", 1025) + "}", "longer"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := secrets.ParseReference(c.text)
			if !errors.Is(err, secrets.ErrInvalid) || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%v, want an error that says %q", err, c.says)
			}
			assertClean(t, "error", err.Error())
		})
	}
}

func FuzzParseReference(f *testing.F) {
	for _, seed := range []string{
		"${secret:a}", "${secret:database/password}", "${secret:a#b}", "${secret:a#b#c}", "${secret:}", "${secret:#}",
		"${secret:a}}", "${secret:${secret:a}}", "${secret: a}", "${secret:\xff}", "${env:A}", "${secret:../a}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ref, err := secrets.ParseReference(text)
		if err != nil {
			if !errors.Is(err, secrets.ErrInvalid) {
				t.Errorf("%q: %v is no ErrInvalid", text, err)
			}
			return
		}
		if again := "${secret:" + ref.String() + "}"; again != text {
			t.Errorf("%q reads as %q", text, again)
		}
	})
}
