package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// environment is a LookupEnv of "NAME=value" texts.
func environment(settings ...string) Options {
	env := make(map[string]string)
	for _, setting := range settings {
		name, value, _ := strings.Cut(setting, "=")
		env[name] = value
	}
	return Options{LookupEnv: func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}}
}

// TestEachFaultIsNamedByItsPlace reads testdata/faults: the first line of each
// file is the one error it must give, the second may set variables.
func TestEachFaultIsNamedByItsPlace(t *testing.T) {
	files, err := filepath.Glob("testdata/faults/*.yaml")
	if err != nil || len(files) < 200 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(string(text), "\n")
			want := file + ":" + strings.TrimPrefix(lines[0], "# ")
			var settings []string
			if list, ok := strings.CutPrefix(lines[1], "# env: "); ok {
				settings = strings.Fields(strings.NewReplacer(`\r`, "\r", `\n`, "\n").Replace(list))
				if strings.Contains(list, `\n`) {
					settings = []string{strings.NewReplacer(`\r`, "\r", `\n`, "\n").Replace(list)}
				}
			}
			c, err := Load(file, environment(settings...))
			if c != nil || err == nil {
				t.Fatal("no error")
			}
			if err.Error() != want {
				t.Errorf("\n got %s\nwant %s", err, want)
			}
			var mistakes Errors
			if !errors.As(err, &mistakes) || len(mistakes) != 1 {
				t.Errorf("error is %#v, want one of Errors", err)
			}
			if strings.Contains(err.Error(), "CANARY") {
				t.Error("the error shows a secret")
			}
		})
	}
}

func TestAllMistakesAreToldAtOnceInOrder(t *testing.T) {
	_, err := Parse("gateway.yaml", []byte(`listen: nowhere
fast_lane: perhaps
limits: {drain: soon, nap: 1s}
issuers: {corp: {issuer: a}}
routes:
  - {name: a, path: x, auth: {issuers: [crop]}, upstream: "ftp://a"}
  - {name: a}
`), environment())
	want := `gateway.yaml:1:9: expected an address such as 127.0.0.1:8080 or :8080, got "nowhere"
gateway.yaml:2:12: expected true or false, got "perhaps"
gateway.yaml:3:17: expected a duration such as 30s, got "soon"
gateway.yaml:3:23: unknown key "nap"; the keys here are auth_failures, body_timeout, drain, drain_delay, header_timeout, idle_timeout, max_body, max_connections, max_header
gateway.yaml:4:17: issuers.corp needs audiences; name what its tokens are for, as their aud claim does; "*" accepts any
gateway.yaml:4:17: issuers.corp needs keys: set jwks_url or keys; discovery and introspection do it too
gateway.yaml:6:21: a path begins with /, got "x"; write /* for every path
gateway.yaml:6:41: unknown issuer "crop"; did you mean "corp"?
gateway.yaml:6:59: expected a URL such as http://legacy:8080, got "ftp://a"
gateway.yaml:7:5: a route needs path: a pattern such as /orders/* or /orders/{id}
gateway.yaml:7:5: a route needs auth: an auth block, or the word public
gateway.yaml:7:5: a route needs upstream: a URL, or an upstream block
gateway.yaml:7:12: two routes are named "a"; give each its own name; the first is on line 6`
	if err == nil || err.Error() != want {
		t.Errorf("\n got %v\nwant %s", err, want)
	}
}

func TestOnlyFiftyMistakesArePrinted(t *testing.T) {
	_, err := Parse("f", []byte(strings.Repeat("- a\n", 3)+"x"), environment())
	if err == nil {
		t.Fatal("no error")
	}
	var text strings.Builder
	for range 60 {
		text.WriteString("  - {}\n")
	}
	_, err = Parse("f", []byte("routes:\n"+text.String()), environment())
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 51 || lines[50] != "and 190 more" {
		t.Errorf("%d lines, the last %q", len(lines), lines[len(lines)-1])
	}
}

// The example of the whole configuration decodes, but for what is not there yet.
func TestContractExampleOnlyAsksForWhatIsToCome(t *testing.T) {
	_, err := Load("testdata/contract-example.yaml", environment())
	var mistakes Errors
	if !errors.As(err, &mistakes) {
		t.Fatalf("got %v", err)
	}
	for _, m := range mistakes {
		if !strings.Contains(m.Problem, "is not supported in this version") {
			t.Error(m)
		}
	}
	if len(mistakes) == 0 {
		t.Errorf("%d keys are not supported, expected more", len(mistakes))
	}
}
