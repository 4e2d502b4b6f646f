package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// layers is who may import whom: a package imports only from the lines below
// its own. peertest is for tests alone.
var layers = [][]string{
	{"cmd/gateway"},
	{"gateway"},
	{"proxy", "api", "admin"},
	{"policy", "credentials"},
	{"auth", "ratelimit", "demo"},
	{"secrets", "token"},
	{"audit", "config", "crypto", "fields", "http1", "problem", "telemetry", "upstream"},
}

const module = "github.com/sallyport/sallyport/"

// rooms is where each outside module may be imported (docs/DEPENDENCIES.md).
var rooms = map[string][]string{
	"github.com/golang-jwt/jwt":           {"token"},
	"github.com/go-jose/go-jose":          {"token"},
	"github.com/go-json-experiment/json":  {"auth", "token", "secrets", "credentials", "crypto", "api"},
	"github.com/trustelem/zxcvbn":         {"api"},
	"github.com/fernet/fernet-go":         {"crypto"},
	"github.com/tink-crypto/tink-go":      {"crypto"},
	"golang.org/x/crypto":                 {"crypto"},
	"golang.org/x/oauth2":                 {"credentials"},
	"golang.org/x/time":                   {"ratelimit"},
	"github.com/hashicorp/golang-lru":     {"ratelimit", "auth", "credentials", "api"},
	"github.com/cenkalti/backoff":         {"auth", "credentials"},
	"go.yaml.in/yaml":                     {"config"},
	"cel.dev/cel-go":                      {"policy"},
	"github.com/agnivade/levenshtein":     {"config"},
	"github.com/go-chi/chi":               {"proxy", "api", "admin"},
	"github.com/schollz/progressbar":      {"cmd/gateway"},
	"github.com/spf13/cobra":              {"cmd/gateway"},
	"golang.org/x/net":                    {"gateway"},
	"golang.org/x/sync":                   {"gateway", "cmd/gateway", "secrets", "auth", "credentials"},
	"golang.org/x/term":                   {"telemetry", "cmd/gateway"},
	"github.com/hashicorp/vault/api":      {"secrets"},
	"github.com/aws/aws-sdk-go-v2":        {"secrets"},
	"github.com/aws/smithy-go":            {"secrets"},
	"github.com/prometheus/client_golang": {"proxy", "api", "admin", "gateway", "auth", "credentials", "secrets"},
}

func TestImportsPointDownwards(t *testing.T) {
	line := make(map[string]int)
	for i, names := range layers {
		for _, name := range names {
			line[name] = i
		}
	}
	files := 0
	for _, root := range []string{"../../internal", "../../cmd"} {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			own := packageOf(strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), "../../"))
			if own == "peertest" {
				return nil
			}
			files++
			if _, ok := line[own]; !ok {
				t.Errorf("%s: package %s has no line in the table", path, own)
			}
			source, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
			if err != nil {
				return err
			}
			for _, spec := range source.Imports {
				name, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					return err
				}
				checkImport(t, path, own, name, line)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 50 {
		t.Errorf("only %d files were seen", files)
	}
}

// packageOf turns internal/auth into auth and leaves cmd/gateway.
func packageOf(dir string) string { return strings.TrimPrefix(dir, "internal/") }

func checkImport(t *testing.T, path, own, name string, line map[string]int) {
	t.Helper()
	if inner, ok := strings.CutPrefix(name, module); ok {
		other := packageOf(inner)
		if line[other] <= line[own] {
			t.Errorf("%s: %s imports %s, which is not below it", path, own, other)
		}
		if other == "config" && own != "gateway" && own != "cmd/gateway" {
			t.Errorf("%s: only gateway and cmd/gateway know config", path)
		}
		return
	}
	if !strings.Contains(strings.Split(name, "/")[0], ".") {
		return // the standard library
	}
	for outside, room := range rooms {
		if name == outside || strings.HasPrefix(name, outside+"/") {
			if !slices.Contains(room, own) {
				t.Errorf("%s: %s is not a room of %s", path, own, outside)
			}
			return
		}
	}
	t.Errorf("%s: %s has no room; see docs/DEPENDENCIES.md", path, name)
}
