package main

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// What a machine may read has a form for it.
func TestOutputJSON(t *testing.T) {
	t.Parallel()
	for line, members := range map[string][]string{
		"version":               {"commit", "go", "version"},
		"generate key":          {"key"},
		"generate token":        {"token"},
		"generate api-key":      {"key", "record"},
		"generate jwk":          {"alg", "crv", "d", "kid", "kty", "use", "x", "y"},
		"schema":                nil,
		"healthcheck":           nil,
		"validate -c none.yaml": nil,
	} {
		status, out, errs := invoke(t, append(strings.Fields(line), "--output", "json")...)
		if members == nil {
			if status == exitOK {
				t.Errorf("%s: %d, %s", line, status, out)
			}
			continue
		}
		var got map[string]any
		if err := json.Unmarshal([]byte(out), &got); err != nil || status != exitOK {
			t.Errorf("%s: %d, %v: %s%s", line, status, err, out, errs)
			continue
		}
		var names []string
		for name := range got {
			names = append(names, name)
		}
		if slices.Sort(names); !slices.Equal(names, members) {
			t.Errorf("%s: %v, want %v", line, names, members)
		}
		if status, _, errs := invoke(t, append(strings.Fields(line), "--output", "yaml")...); status != exitUsage || !strings.Contains(errs, "text or json") {
			t.Errorf("%s --output yaml: %d, %s", line, status, errs)
		}
	}
}

// manyMistakes has one of each kind that is found in its own way: by reading the
// file, by compiling an expression, by asking the secret backend.
const manyMistakes = `secrets: {backend: file, file: {dir: /nonexistent/sallyport}}
issuers:
  corp: {issuer: "https://a/", jwks_url: "https://a/jwks", audiences: [a]}
credentials:
  up: {type: static, token: "${secret:up/token}"}
routes:
  - {name: a, path: /a/*, auth: {issuers: [corp], allow: 'claims.tenant == parms.tenant'}, inject: up, upstream: "http://u"}
  - {name: b, path: "/b/{id}", auth: {issuers: [corp], allow: 'params.id == 1'}, rate_limt: {rate: 1/s}, upstream: "http://u"}
`

func TestValidateTellsAllKindsOfMistakesAtOnce(t *testing.T) {
	t.Parallel()
	file := write(t, "gateway.yaml", manyMistakes)
	name := filepath.Base(file)
	status, _, errs := invoke(t, "validate", "-c", file)
	lines := strings.Split(strings.TrimSpace(errs), "\n")
	if status != exitFailure || len(lines) != 4 {
		t.Fatalf("%d:\n%s", status, errs)
	}
	for i, want := range []string{
		name + ":5:29: credentials.up.token: file: read up/token:",
		name + ":7:76: routes[0].auth.allow: undeclared reference to 'parms'",
		name + ":8:74: routes[1].auth.allow: ",
		name + `:8:82: unknown key "rate_limt"; did you mean "rate_limit"?`,
	} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("%s\nwant %s", lines[i], want)
		}
	}
	if _, _, errs := invoke(t, "validate", "--offline", "-c", file); strings.Contains(errs, "up/token") || !strings.Contains(errs, "parms") {
		t.Errorf("offline:\n%s", errs)
	}

	status, out, errs := invoke(t, "validate", "-c", file, "--output", "json")
	var verdict struct {
		File   string
		Valid  bool
		Errors []map[string]any
	}
	if err := json.Unmarshal([]byte(out), &verdict); err != nil || status != exitFailure || verdict.Valid || len(verdict.Errors) != 4 {
		t.Fatalf("%d, %v: %s%s", status, err, out, errs)
	}
	want := map[string]any{"line": 8.0, "column": 82.0, "problem": `unknown key "rate_limt"`, "advice": `did you mean "rate_limit"?`}
	if !reflect.DeepEqual(verdict.Errors[3], want) || verdict.File != file {
		t.Errorf("%v of %s, want %v", verdict.Errors[3], verdict.File, want)
	}
	if strings.Count(strings.TrimSpace(errs), "\n") != 0 || !strings.Contains(errs, "is not valid: 4 found") {
		t.Errorf("stderr: %s", errs)
	}
	status, out, _ = invoke(t, "validate", "-c", write(t, "valid.yaml", validConfig), "--output", "json")
	if status != exitOK || !strings.Contains(out, `"valid":true,"errors":[]`) {
		t.Errorf("%d: %s", status, out)
	}
}

func TestHealthcheckNeedsNoConfiguration(t *testing.T) {
	t.Parallel()
	none := filepath.Join(t.TempDir(), "gateway.yaml")
	if url, err := readyURL(none, false); err != nil || url != "http://127.0.0.1:9090/readyz" {
		t.Errorf("%s, %v", url, err)
	}
	if _, err := readyURL(none, true); err == nil {
		t.Error("a file that was named and is not there was not missed")
	}
}

func TestArgumentsAreNotRepeated(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"password hash hunter2", "generate token hunter2", "secrets set a b hunter2", "version hunter2"} {
		status, _, errs := invoke(t, strings.Fields(line)...)
		if status != exitUsage || strings.Contains(errs, "hunter2") || !strings.Contains(errs, "too many arguments; write gateway ") {
			t.Errorf("%s: %d, %s", line, status, errs)
		}
	}
	if status, out, _ := invoke(t, "--version"); status != exitOK || !strings.HasPrefix(out, "gateway ") {
		t.Errorf("--version: %d, %s", status, out)
	}
}
