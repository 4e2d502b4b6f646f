package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/audit"
)

const auditKey = "an audit key of 32 bytes or more, for tests"

// auditLog writes a log of n records and returns its path, and a configuration
// whose key is in a folder that also has another.
func auditLog(t *testing.T, n int) (path, config string) {
	t.Helper()
	folder := t.TempDir()
	for name, text := range map[string]string{"audit-key": auditKey, "other-key": "another audit key of 32 bytes or more", "short": "short", "doc": `{"key":"` + auditKey + `"}`} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path = filepath.Join(t.TempDir(), "audit.jsonl")
	config = write(t, "gateway.yaml", validConfig+"secrets: {backend: file, file: {dir: "+folder+"}}\naudit: {path: "+path+", hmac_key: \"${secret:audit-key}\"}\n")
	l := audit.New(audit.Options{Path: path, Key: func() ([]byte, error) { return []byte(auditKey), nil }})
	stop := l.Start()
	for range n - 1 { // and the one that begins the file
		if err := l.Record(t.Context(), audit.Event{Kind: audit.KindDeny, Reason: "expired"}); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	return path, config
}

func TestAuditVerify(t *testing.T) {
	t.Parallel()
	path, config := auditLog(t, 5)
	plain := write(t, "plain.yaml", read(t, config)[:strings.Index(read(t, config), "audit:")])
	changed := filepath.Join(t.TempDir(), "audit.jsonl")
	text := strings.Replace(read(t, path), "expired", "exquire", 1)
	for name, content := range map[string]string{changed: text, changed + ".head": read(t, path+".head")} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		args   []string
		status int
		out    string
		errs   string
	}{
		"the configuration's key":     {[]string{"-c", config, path}, 0, "records 1 to 5 are as they were written\n", "secret backend: file"},
		"a named key":                 {[]string{"-c", plain, "--key", "audit-key", path}, 0, "records 1 to 5", ""},
		"a field":                     {[]string{"-c", plain, "--key", "doc#key", path}, 0, "records 1 to 5", ""},
		"old and new keys":            {[]string{"-c", config, "--key", "other-key", path}, 0, "records 1 to 5", ""},
		"another key":                 {[]string{"-c", plain, "--key", "other-key", path}, 1, "", "audit.jsonl.head: the head stands under the audit key"},
		"a short key":                 {[]string{"-c", plain, "--key", "short", path}, 1, "", "at least 32 bytes"},
		"no such key":                 {[]string{"-c", plain, "--key", "none", path}, 1, "", "secret not found"},
		"a path upwards":              {[]string{"-c", plain, "--key", "../a", path}, 2, "", "--key"},
		"no audit block":              {[]string{"-c", plain, path}, 1, "", "name the key with --key"},
		"no file named":               {[]string{"-c", config}, 2, "", "an argument is missing"},
		"no file there":               {[]string{"-c", config, path + ".none"}, 1, "", "no such file"},
		"no configuration":            {[]string{"-c", config + ".none", path}, 1, "", "--config FILE"},
		"changed":                     {[]string{"-c", config, changed}, 1, "", "audit.jsonl:2: record 2 was changed"},
		"the configuration, as a log": {[]string{"-c", config, config}, 1, "", "the first record was changed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, errs bytes.Buffer
			status := run(t.Context(), append([]string{"audit", "verify"}, c.args...), streams{nil, &out, &errs})
			if status != c.status || !strings.Contains(out.String(), c.out) || !strings.Contains(errs.String(), c.errs) {
				t.Errorf("status %d, want %d\nstdout: %s\nstderr: %s", status, c.status, out.String(), errs.String())
			}
			if status != 0 && out.Len() > 0 {
				t.Errorf("stdout: %s", out.String())
			}
			if strings.Contains(out.String()+errs.String(), auditKey) {
				t.Error("the key shows")
			}
		})
	}
}
