package secrets

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestPatternStarStandsForAnyTextSlashesToo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern string
		fits    []string
		not     []string
	}{
		{"", []string{"a", "a/b", "*"}, nil},
		{"*", []string{"a", "a/b", "*"}, nil},
		{"a", []string{"a"}, []string{"A", "ab", "a/b", "ba"}},
		{"a/*", []string{"a/", "a/b", "a/b/c"}, []string{"a", "b/a/"}},
		{"*/b", []string{"a/b", "/b", "a/c/b"}, []string{"b", "a/bc"}},
		{"a*b*c", []string{"abc", "a/b/c", "abbcc"}, []string{"acb", "ab", "bc", "abcd"}},
		{"aba*aba", []string{"abaaba", "aba-aba"}, []string{"aba", "ababa"}},
		{"*a*a*", []string{"aa", "xaxax"}, []string{"a", "xax"}},
		{"**", []string{"", "a"}, nil},
		{"a?c", []string{"a?c"}, []string{"abc"}},
		{"[ab]", []string{"[ab]"}, []string{"a"}},
		{"ä*ö", []string{"äxö"}, []string{"ä"}},
	} {
		for _, name := range c.fits {
			if !fits(c.pattern, name) {
				t.Errorf("%q does not fit %q", c.pattern, name)
			}
		}
		for _, name := range c.not {
			if fits(c.pattern, name) {
				t.Errorf("%q fits %q", c.pattern, name)
			}
		}
	}
	if long := strings.Repeat("a", 1000); fits(strings.Repeat("*a", 900)+"b", long) {
		t.Error("a pattern of many stars fits")
	}
}

func TestListOfNamesIsSortedUniqueAndBounded(t *testing.T) {
	t.Parallel()
	if got, err := names([]string{"b", "a", "b"}); err != nil || !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("%v, %v", got, err)
	}
	var many []string
	for i := range maxNames + 1 {
		many = append(many, fmt.Sprint(i))
	}
	if _, err := names(many); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "narrower") {
		t.Errorf("one too many: %v", err)
	}
	if got, err := names(append(many[:maxNames:maxNames], many[0])); err != nil || len(got) != maxNames {
		t.Errorf("as many as may be, one of them twice: %d, %v", len(got), err)
	}
}

func TestFieldIsSetAndAllElseStands(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{}`:                              `{"user": "a\"b"}`,
		"{\n}\n":                          "{\"user\": \"a\\\"b\"\n}\n",
		`{"user":"old"}`:                  `{"user":"a\"b"}`,
		` {"n": 1e400, "user" : [1, 2] }`: ` {"n": 1e400, "user" : "a\"b" }`,
		"{\n  \"x\": {\"user\": 1}\n}":    "{\n  \"x\": {\"user\": 1}, \"user\": \"a\\\"b\"\n}",
		`{"\u0075ser": null, "z": "ß"}`:   `{"\u0075ser": "a\"b", "z": "ß"}`,
	} {
		got, err := withField([]byte(text), "user", NewSecret(`a"b`))
		if err != nil || string(got) != want {
			t.Errorf("%s becomes %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "secret", "[]", `{"a":1,"a":2}`, `{"user":"x"} {}`, `{"user":"x"`} {
		if got, err := withField([]byte(text), "user", NewSecret("x")); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s becomes %s, %v; want ErrInvalid", text, got, err)
		}
	}
	for name, c := range map[string]struct{ field, value string }{"value": {"user", "\xff"}, "name": {"\xff", "x"}} {
		if _, err := withField([]byte("{}"), c.field, NewSecret(c.value)); !errors.Is(err, ErrInvalid) {
			t.Errorf("a %s that is not UTF-8: %v", name, err)
		}
	}
}

// What was set is read back, and the other fields are as they were.
func FuzzFieldRoundTrip(f *testing.F) {
	f.Add(`{"user": "x", "a": {"user": 1}}`, "user", "value")
	f.Add("{ }\n", "a\"b", "\n\x00")
	f.Add(`{"a":1`, "", "x")
	f.Add(`{"é": "x", "b": [], "c": 1e999}`, "é", "\u2028")
	f.Fuzz(func(t *testing.T, text, field, value string) {
		if value == "" || field == "" {
			return
		}
		changed, err := withField([]byte(text), field, NewSecret(value))
		if err != nil {
			return
		}
		if got, err := JSONField(changed, field); err != nil || got.Reveal() != value {
			t.Fatalf("%q with %q = %q is %q, which reads as %q, %v", text, field, value, changed, got.Reveal(), err)
		}
		for _, other := range []string{"user", "a", "b", "c"} {
			before, errBefore := JSONField([]byte(text), other)
			after, errAfter := JSONField(changed, other)
			if other != field && (Reason(errBefore) != Reason(errAfter) || !before.Equal(after)) {
				t.Fatalf("%q with %q = %q changes %q", text, field, value, other)
			}
		}
	})
}
