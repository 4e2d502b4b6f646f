package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	neturl "net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const canary = "canary+/5f2b9c=="

// fileConfig makes folder the secret backend.
func fileConfig(t *testing.T, folder string) string {
	t.Helper()
	return write(t, "gateway.yaml", validConfig+"secrets: {backend: file, file: {dir: "+folder+"}}\n")
}

// secret runs a secrets command with that on stdin.
func secret(t *testing.T, in string, args ...string) (status int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	status = run(ctx, append([]string{"secrets"}, args...), streams{strings.NewReader(in), &o, &e})
	return status, o.String(), e.String()
}

func TestSecretThatIsSetIsGotAndListed(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	config := fileConfig(t, folder)
	for _, c := range []struct {
		name     string
		in       string
		args     []string
		out, err string // err: a part
	}{
		{"from stdin, said so", "value\n", []string{"set", "db/password", "-"}, "db/password is set\n", "secret backend: file (the configuration names it)"},
		{"got", "", []string{"get", "db/password"}, "value\n", "secret backend: file"},
		{"from stdin, left out", "two\nlines\r\n", []string{"set", "text"}, "text is set\n", ""},
		{"one newline is cut", "", []string{"get", "text"}, "two\nlines\n", ""},
		{"with spaces around", " x \n\n", []string{"set", "text"}, "text is set\n", ""},
		{"they stay", "", []string{"get", "text"}, " x \n\n", ""},
		{"a field", "ann", []string{"set", "batch#user"}, "batch#user is set\n", ""},
		{"another", "p<&>", []string{"set", "batch#password", "--output", "json"}, `{"field":"password","path":"batch"}` + "\n", ""},
		{"the first is still there", "", []string{"get", "batch#user"}, "ann\n", ""},
		{"as JSON", "", []string{"get", "batch#password", "--output", "json"}, `{"path":"batch","field":"password","value":"p<&>"}` + "\n", ""},
		{"as JSON, no field", "", []string{"get", "db/password", "--output=json"}, `{"path":"db/password","field":"","value":"value"}` + "\n", ""},
		{"on the command line, warned of", "", []string{"set", "open", "seen"}, "open is set\n", "warning: a value on the command line stands in the shell's history"},
		{"one that begins with -", "", []string{"set", "open", "--", "-seen"}, "open is set\n", "warning"},
		{"it is that", "", []string{"get", "open"}, "-seen\n", ""},
		{"all names", "", []string{"list"}, "batch\ndb/password\nopen\ntext\n", "secret backend: file"},
		{"some", "", []string{"list", "d*word"}, "db/password\n", ""},
		{"as a list", "", []string{"list", "*t*", "--output", "json"}, `["batch","text"]` + "\n", ""},
		{"none", "", []string{"list", "x*"}, "", ""},
		{"none, as a list", "", []string{"list", "x*", "--output", "json"}, "[]\n", ""},
	} {
		status, out, errs := secret(t, c.in, append(c.args[:1:1], append([]string{"-c", config}, c.args[1:]...)...)...)
		if status != 0 || out != c.out || !strings.Contains(errs, c.err) {
			t.Errorf("%s: status %d, printed %q, want %q\nstderr: %s", c.name, status, out, c.out, errs)
		}
	}
}

func TestSecretsNeedNoConfiguration(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"VAULT_ADDR", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("SALLYPORT_TEST_DB_PASSWORD", "value")
	for name, c := range map[string]struct {
		args      []string
		out, errs string
	}{
		"auto":                {[]string{"get", "sallyport/test/db#password"}, "value\n", "secret backend: env (auto, and neither Vault nor AWS is configured)"},
		"env":                 {[]string{"get", "sallyport/test/db-password", "--backend", "env"}, "value\n", "secret backend: env (it was asked for)"},
		"list":                {[]string{"list", "sallyport/test/*"}, "SALLYPORT_TEST_DB_PASSWORD\n", "env: sallyport/test/* stands for the variables SALLYPORT_TEST_*"},
		"list of what":        {[]string{"list"}, "", "give a pattern"},
		"what is listed, got": {[]string{"get", "SALLYPORT_TEST_DB_PASSWORD"}, "value\n", ""},
	} {
		status, out, errs := secret(t, "", c.args...)
		if status != 0 || out != c.out || !strings.Contains(errs, c.errs) {
			t.Errorf("%s: status %d, printed %q, want %q\nstderr: %s", name, status, out, c.out, errs)
		}
	}
	folder := t.TempDir()
	text := validConfig + "secrets: {backend: file, file: {dir: " + folder + "}}\n"
	if err := os.WriteFile("gateway.yaml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _, errs := secret(t, "value", "set", "a"); status != 0 || !strings.Contains(errs, "secret backend: file (the configuration names it)") {
		t.Errorf("gateway.yaml is here: status %d\n%s", status, errs)
	}
	if status, _, errs := secret(t, "", "get", "a", "--backend", "env"); status != 1 || !strings.Contains(errs, "secret backend: env (it was asked for)") {
		t.Errorf("--backend goes before it: status %d\n%s", status, errs)
	}
}

// failing has a case for each way to fail, with the secret wherever it could be
// quoted.
func failing(t *testing.T) map[string]struct {
	in     string
	args   []string
	status int
	says   string
} {
	t.Helper()
	folder := t.TempDir()
	config := fileConfig(t, folder)
	for name, text := range map[string]string{
		"text": canary, "empty": "", "doc": `{"user": "` + canary + `", "n": 1, "` + canary + `": "x"}`, "twice": `{"a":"` + canary + `","a":"b"}`, "bytes": canary + "\xff",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(folder, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	away := fileConfig(t, filepath.Join(folder, "away"))
	broken := write(t, "broken.yaml", "routes: 1\n")
	return map[string]struct {
		in     string
		args   []string
		status int
		says   string
	}{
		"not there":                 {"", []string{"get", "none", "-c", config}, 1, "gateway: file: read none: secret not found"},
		"no such field":             {"", []string{"get", "doc#none", "-c", config}, 1, "file: read doc#none: secret not found: there is no such field"},
		"a field that is no string": {"", []string{"get", "doc#n", "-c", config}, 1, "not a string"},
		"a field of no JSON":        {"", []string{"get", "text#user", "-c", config}, 1, "not one good JSON object"},
		"a field that is twice":     {"", []string{"get", "twice#a", "-c", config}, 1, "not one good JSON object"},
		"empty":                     {"", []string{"get", "empty", "-c", config}, 1, "secret is empty"},
		"no UTF-8, for JSON":        {"", []string{"get", "bytes", "--output", "json", "-c", config}, 1, "no UTF-8"},
		"a folder":                  {"", []string{"get", "folder", "-c", config}, 1, "it is a folder"},
		"backend away":              {"", []string{"get", "text", "-c", away}, 1, "secret backend unavailable"},
		"backend away, list":        {"", []string{"list", "-c", away}, 1, "secret backend unavailable"},
		"backend away, set":         {canary, []string{"set", "text", "-c", away}, 1, "secret backend unavailable"},
		"set nothing":               {"", []string{"set", "text", "-c", config}, 1, "the value is empty"},
		"set a newline":             {"\n", []string{"set", "text", "-c", config}, 1, "the value is empty"},
		"set the empty argument":    {"", []string{"set", "text", "", "-c", config}, 1, "the value is empty"},
		"set too much":              {strings.Repeat(canary, 1<<17), []string{"set", "text", "-c", config}, 1, "more than 1048576 bytes"},
		"set a field of no JSON":    {canary, []string{"set", "text#user", "-c", config}, 1, "not one good JSON object"},
		"set a field to no UTF-8":   {canary + "\xff", []string{"set", "doc#user", "-c", config}, 1, "must be UTF-8"},
		"set a folder":              {canary, []string{"set", "folder", "-c", config}, 1, "it is a folder"},
		"set below a file":          {canary, []string{"set", "text/below", "-c", config}, 1, "is a file"},
		"set in env":                {canary, []string{"set", "db/password", "--backend", "env", "-c", config}, 1, "secret backend is read-only: set DB_PASSWORD where the gateway is started"},
		"set in env, by argument":   {"", []string{"set", "db/password", canary, "--backend", "env", "-c", config}, 1, "read-only"},
		"no configuration":          {"", []string{"get", "text", "-c", config + "x"}, 1, "--config FILE"},
		"a broken configuration":    {"", []string{"get", "text", "-c", broken}, 1, "broken.yaml:1:"},
		"no path":                   {"", []string{"get"}, 2, "an argument is missing; write gateway "},
		"two paths":                 {"", []string{"get", "a", canary}, 2, "too many arguments; write gateway secrets get PATH[#FIELD]"},
		"an empty path":             {"", []string{"get", "", "-c", config}, 2, "the path is empty"},
		"an empty field":            {"", []string{"get", "a#", "-c", config}, 2, "the field after # is empty"},
		"a path upwards":            {"", []string{"get", "../a", "-c", config}, 2, "segment"},
		"a value in three":          {"", []string{"set", "a", "b", canary, "-c", config}, 2, "arg"},
		"a value that is a flag":    {"", []string{"set", "a", "-x" + canary}, 2, "must come by stdin"},
		"a value of many a flag":    {"", []string{"set", "a", "--" + canary}, 2, "must come by stdin"},
		"another output":            {"", []string{"get", "text", "--output", "xml", "-c", config}, 2, "--output must be"},
		"another backend":           {"", []string{"get", "text", "--backend", "etcd", "-c", config}, 2, "--backend must be"},
		"another command":           {"", []string{"gte", "text"}, 2, "gte"},
	}
}

func TestSecretsFailWithOneClearLine(t *testing.T) {
	t.Parallel()
	for name, c := range failing(t) {
		status, out, errs := secret(t, c.in, c.args...)
		if status != c.status || out != "" || !strings.Contains(errs, c.says) {
			t.Errorf("%s: status %d, want %d that says %q\nstdout: %.300s\nstderr: %.600s", name, status, c.status, c.says, out, errs)
		}
		lines := 0
		for line := range strings.Lines(errs) {
			if !strings.HasPrefix(line, "secret backend: ") && !strings.HasPrefix(line, "warning: ") && !strings.HasPrefix(line, "See ") {
				lines++
			}
		}
		if lines != 1 {
			t.Errorf("%s: %d lines of error:\n%s", name, lines, errs)
		}
	}
}

// Whatever goes wrong, no output but that of get has the secret in it, in any
// usual dress.
func TestCanaryIsInNoOutputOfSecretsCommands(t *testing.T) {
	t.Parallel()
	var shown []string
	for _, c := range failing(t) {
		_, out, errs := secret(t, c.in, c.args...)
		shown = append(shown, out, errs)
	}
	config := fileConfig(t, t.TempDir())
	for _, args := range [][]string{{"set", "a", "-"}, {"set", "b#c"}, {"set", "d", canary}, {"list"}, {"list", "--output", "json"}} {
		status, out, errs := secret(t, canary, append(args, "-c", config)...)
		if status != 0 {
			t.Errorf("%v: status %d: %s", args, status, errs)
		}
		shown = append(shown, out, errs)
	}
	dress := []string{
		canary, "5f2b9c", hex.EncodeToString([]byte(canary)), neturl.QueryEscape(canary), neturl.PathEscape(canary),
		base64.StdEncoding.EncodeToString([]byte(canary))[:18], base64.RawURLEncoding.EncodeToString([]byte(canary))[:18],
	}
	for _, text := range shown {
		for _, form := range dress {
			if strings.Contains(strings.ToLower(text), strings.ToLower(form)) {
				t.Errorf("the secret shows: %s", text)
			}
		}
	}
	if len(shown) < 60 {
		t.Errorf("only %d outputs", len(shown))
	}
}
