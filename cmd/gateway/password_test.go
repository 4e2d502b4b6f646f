package main

import (
	"bytes"
	"strings"
	"testing"
)

// gatewayWith runs a command with that on stdin.
func gatewayWith(t *testing.T, in string, args ...string) (status int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	status = run(t.Context(), args, streams{strings.NewReader(in), &o, &e})
	return status, o.String(), e.String()
}

func TestPasswordIsHashedAndVerified(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"default":         {},
		"more iterations": {"--iterations", "650000"},
		"argon2id":        {"--algorithm", "argon2id"},
		"bcrypt":          {"--algorithm", "bcrypt"},
		"scrypt":          {"--algorithm=scrypt"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, out, errs := gatewayWith(t, "hunter2\n", append([]string{"password", "hash"}, args...)...)
			if status != 0 || errs != "" || !strings.HasPrefix(out, "$") || strings.Count(out, "\n") != 1 {
				t.Fatalf("status %d, %q, %q", status, out, errs)
			}
			hash := strings.TrimSpace(out)
			if status, out, errs := gatewayWith(t, "hunter2\n", "password", "verify", hash); status != 0 || out != "true\n" || errs != "" {
				t.Errorf("the password: status %d, %q, %q", status, out, errs)
			}
			status, out, errs = gatewayWith(t, "hunter3", "password", "verify", hash)
			if status != 1 || out != "false\n" || strings.Count(errs, "\n") != 1 || strings.Contains(errs, "hunter3") || strings.Contains(errs, hash) {
				t.Errorf("another: status %d, %q, %q", status, out, errs)
			}
		})
	}
}

func TestPasswordCommandsRefuseWhatTheyMust(t *testing.T) {
	t.Parallel()
	const weak = "$pbkdf2-sha256$29000$j/Eeg/A.Z4yxVkrJeQ8BYA$cqypXe9MoklPDxbaEX3Z0hXMVO6wOm12fIDFMloTgD0"
	for _, c := range []struct {
		name, in  string
		args      []string
		status    int
		out, errs string // errs: a part
	}{
		{"empty", "\n", []string{"hash"}, 1, "", "it is empty"},
		{"over 1 KiB", strings.Repeat("x", 1025), []string{"hash"}, 1, "", "longer than 1024 bytes"},
		{"over 72 bytes", strings.Repeat("x", 73), []string{"hash", "--algorithm", "bcrypt"}, 1, "", "longer than 72 bytes"},
		{"an algorithm", "pw", []string{"hash", "--algorithm", "md5"}, 2, "", "the algorithms are"},
		{"too few iterations", "pw", []string{"hash", "--iterations", "99999"}, 2, "", "100000 to 10000000"},
		{"no iterations", "pw", []string{"hash", "--iterations", "0"}, 2, "", "100000 to 10000000"},
		{"a password on the command line", "pw", []string{"hash", "pw"}, 2, "", "too many arguments"},
		{"no hash", "pw", []string{"verify"}, 2, "", "an argument is missing; write gateway "},
		{"what is no hash", "pw", []string{"verify", "pw"}, 1, "", "not a password hash that can be checked"},
		{"an empty one verified", "", []string{"verify", weak}, 1, "false\n", "not the one that was hashed"},
		{"as JSON", "correct horse battery staple", []string{"verify", "--output", "json", weak}, 0, `{"valid":true,"needs_rehash":true}` + "\n", ""},
		{"as JSON, another", "x", []string{"verify", "--output=json", weak}, 1, `{"valid":false,"needs_rehash":true}` + "\n", "not the one"},
	} {
		status, out, errs := gatewayWith(t, c.in, append([]string{"password"}, c.args...)...)
		if status != c.status || out != c.out || !strings.Contains(errs, c.errs) {
			t.Errorf("%s: status %d, want %d; printed %q, want %q; stderr %q, want %q", c.name, status, c.status, out, c.out, errs, c.errs)
		}
	}
}
