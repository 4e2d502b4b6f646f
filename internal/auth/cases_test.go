package auth

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// TestEveryCaseHasItsTest holds testdata/cases.json, the attack cases on tokens,
// keys and caches, against the tests: each has one that bears its id.
func TestEveryCaseHasItsTest(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("testdata/cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct{ ID, Group, Input, Expected string }
	if err := json.Unmarshal(doc, &cases); err != nil {
		t.Fatal(err)
	}
	named := make(map[string]bool)
	for _, folder := range []string{".", "../token", "../gateway"} {
		files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range regexp.MustCompile(`\b(jwtkeys|jwtclaims|jwtenc|jwks|cache)-\d\d\b`).FindAllString(string(text), -1) {
				named[id] = true
			}
		}
	}
	groups := make(map[string]int)
	for _, c := range cases {
		if groups[c.Group]++; !named[c.ID] {
			t.Errorf("%s has no test: %s, %s", c.ID, c.Input, c.Expected)
		}
	}
	for _, group := range slices.Sorted(maps.Keys(groups)) {
		t.Logf("%s: %d cases", group, groups[group])
	}
}
