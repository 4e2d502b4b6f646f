package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/config"
)

// key is what a document and the code must agree on.
type key struct{ standard, words string }

func TestConfigurationDocumentHasEveryKeyAndItsDefault(t *testing.T) {
	documented := make(map[string]string) // the default, by path
	meaning := make(map[string]string)
	under, heading := "", regexp.MustCompile("^#### (?:`([^`]+)`|top level)$")
	for line := range strings.Lines(read(t, repository+"/docs/configuration.md")) {
		if match := heading.FindStringSubmatch(strings.TrimSpace(line)); match != nil {
			under = match[1]
			continue
		}
		for _, row := range table(line) {
			if len(row) == 4 {
				path := strings.TrimPrefix(under+"."+row[0], ".")
				documented[path], meaning[path] = strings.Trim(row[2], "`"), row[3]
			}
		}
	}
	supported := make(map[string]key)
	keysOf(reflect.TypeFor[config.Config](), "", supported)
	if len(supported) < 70 {
		t.Fatalf("only %d keys were found", len(supported))
	}
	for path, key := range supported {
		standard, ok := documented[path]
		switch {
		case !ok:
			t.Errorf("%s is not in the document", path)
		case standard != key.standard:
			t.Errorf("%s: the document has the default %q, and the code %q", path, standard, key.standard)
		}
		for word := range strings.SplitSeq(key.words, "|") {
			if refused, isRefused := strings.CutSuffix(word, "!"); isRefused && strings.Contains(meaning[path], "`"+refused+"`") {
				t.Errorf("%s: the document offers %s, which this version refuses", path, refused)
			}
		}
	}
	for path := range documented {
		if _, ok := supported[path]; !ok && path != "routes[].auth" {
			t.Errorf("%s is in the document, and no key of this version", path)
		}
	}
}

// keysOf gathers the keys of t that this version supports.
func keysOf(t reflect.Type, path string, into map[string]key) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, ok := f.Tag.Lookup("yaml")
		if !ok || f.Tag.Get("soon") != "" {
			continue
		}
		at, of := strings.TrimPrefix(path+"."+name, "."), f.Type
		switch {
		case of.Kind() == reflect.Map && hasKeys(of.Elem()):
			at, of = at+".NAME", of.Elem()
		case of.Kind() == reflect.Slice && hasKeys(of.Elem()):
			at, of = at+"[]", of.Elem()
		case of.Kind() == reflect.Pointer:
			of = of.Elem()
		}
		if hasKeys(of) && at != "crypto.auth" { // which is as a route's
			keysOf(of, at, into)
			continue
		}
		standard := f.Tag.Get("default")
		if of.Kind() == reflect.Bool && standard == "" {
			standard = "false"
		}
		into[at] = key{standard, f.Tag.Get("enum")}
	}
}

// hasKeys reports whether t is a block of keys, and not a value of its own.
func hasKeys(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("yaml") != "" {
			return true
		}
	}
	return false
}

// sources returns the text of every Go file of the program, tests left out.
func sources(t *testing.T, visit func(path, text string)) {
	t.Helper()
	for _, root := range []string{repository + "/internal", repository + "/cmd"} {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && strings.HasSuffix(path, ".go") {
				visit(filepath.ToSlash(path), read(t, path))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestOperationsDocumentHasEveryMetricAndReason(t *testing.T) {
	operations := read(t, repository+"/docs/operations.md")
	metric := regexp.MustCompile(`Name: +"(gateway_[a-z_]+)"|NewDesc\("(gateway_[a-z_]+)"`)
	reason := regexp.MustCompile(`(?m)^\s*reason\w+ +reason += +"(\w+)"|reason: "(\w+)"`)
	made, listed := make(map[string]bool), make(map[string]bool)
	reasons := 0
	sources(t, func(path, text string) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		for _, match := range metric.FindAllStringSubmatch(text, -1) {
			made[match[1]+match[2]] = true
		}
		if !strings.Contains(path, "/auth/") && !strings.Contains(path, "/proxy/") {
			return
		}
		for _, match := range reason.FindAllStringSubmatch(text, -1) {
			if word := match[1] + match[2]; word != "error" { // the one for what has no other
				reasons++
				if !strings.Contains(operations, "`"+word+"`") {
					t.Errorf("%s: the reason %s is not in the document", path, word)
				}
			}
		}
	})
	for _, row := range table(section(t, operations, "## Metrics")) {
		listed[row[0]] = true
	}
	if len(made) < 12 || !maps.Equal(made, listed) {
		t.Errorf("the code has %v\nand the document %v", slices.Sorted(maps.Keys(made)), slices.Sorted(maps.Keys(listed)))
	}
	if reasons < 20 {
		t.Errorf("only %d reasons were found", reasons)
	}
}

func TestDependenciesDocumentIsTrue(t *testing.T) {
	required := regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllStringSubmatch(read(t, repository+"/go.mod"), -1)
	documented := make(map[string]string) // the rooms, by module
	for _, row := range table(read(t, repository+"/docs/DEPENDENCIES.md")) {
		documented[row[0]] = row[2]
	}
	inCode, inTests := importers(t)
	for _, match := range required {
		module := match[1]
		rooms, want := documented[module], packagesThatImport(inCode, module)
		delete(documented, module)
		if len(want) == 0 {
			want = packagesThatImport(inTests, module)
			if !strings.HasPrefix(rooms, "tests of ") {
				t.Errorf("%s is imported by tests only, and the document says %q", module, rooms)
			}
		}
		var got []string
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(rooms, -1) {
			got = append(got, name[1])
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s is imported by %v, and the document says %v", module, want, got)
		}
	}
	for module := range documented {
		t.Errorf("%s is in the document, and no direct requirement of go.mod", module)
	}
}

// importers returns, for each import path, the packages that have it.
func importers(t *testing.T) (inCode, inTests map[string][]string) {
	inCode, inTests = make(map[string][]string), make(map[string][]string)
	sources(t, func(path, text string) {
		file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), repository+"/"), "internal/")
		into := inCode
		if strings.HasSuffix(path, "_test.go") {
			into = inTests
		}
		for _, spec := range file.Imports {
			if imported, err := strconv.Unquote(spec.Path.Value); err == nil {
				into[imported] = append(into[imported], name)
			}
		}
	})
	return inCode, inTests
}

func packagesThatImport(by map[string][]string, module string) (names []string) {
	for imported, packages := range by {
		if imported == module || strings.HasPrefix(imported, module+"/") {
			names = append(names, packages...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
