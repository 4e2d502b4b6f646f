package secrets_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/secrets"
)

func TestEnvNamesVariablesByTheContract(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prefix string
		ref    secrets.Reference
		want   string
	}{
		"a path":          {"", secrets.Reference{Path: "database/password"}, "DATABASE_PASSWORD"},
		"a dash, a dot":   {"", secrets.Reference{Path: "api-key.v2"}, "API_KEY_V2"},
		"a field":         {"", secrets.Reference{Path: "batch", Field: "user-name"}, "BATCH_USER_NAME"},
		"a prefix":        {"App_", secrets.Reference{Path: "batch", Field: "user"}, "App_BATCH_USER"},
		"already a name":  {"", secrets.Reference{Path: "DATABASE_URL"}, "DATABASE_URL"},
		"no ASCII letter": {"", secrets.Reference{Path: "größe"}, "GRößE"},
	} {
		t.Run(name, func(t *testing.T) {
			env := secrets.NewEnv(c.prefix, func(variable string) (string, bool) { return variable, variable == c.want })
			if got, err := secrets.Get(t.Context(), env, c.ref); err != nil || got.Reveal() != c.want {
				t.Errorf("%s is not %s: %v", c.ref, c.want, err)
			}
		})
	}
}

func TestEnvReadsTheEnvironment(t *testing.T) {
	t.Setenv("SALLYPORT_TEST_SECRET", "  value\r\n")
	t.Setenv("SALLYPORT_TEST_EMPTY", "")
	env := secrets.NewEnv("SALLYPORT_TEST_", nil)
	if got, err := secrets.Get(t.Context(), env, secrets.Reference{Path: "secret"}); err != nil || got.Reveal() != "  value\r\n" {
		t.Errorf("a variable is not taken as it stands: %v", err)
	}
	if _, err := secrets.Get(t.Context(), env, secrets.Reference{Path: "empty"}); !errors.Is(err, secrets.ErrEmpty) {
		t.Errorf("set to nothing: %v, want ErrEmpty", err)
	}
	if _, err := secrets.Get(t.Context(), env, secrets.Reference{Path: "unset"}); !errors.Is(err, secrets.ErrNotFound) {
		t.Errorf("unset: %v, want ErrNotFound", err)
	}
}

func TestEnvListsWhatItReads(t *testing.T) {
	t.Setenv("SALLYPORT_TEST_DB_USER", canary)
	t.Setenv("SALLYPORT_TEST_DB_PASSWORD", canary)
	t.Setenv("SALLYPORT_TEST_lower", canary) // no path leads there
	t.Setenv("SALLYPORT_OTHER", canary)
	for name, c := range map[string]struct{ prefix, pattern, want, hint string }{
		"all behind a prefix":       {"SALLYPORT_TEST_", "", "[DB_PASSWORD DB_USER]", "the variables SALLYPORT_TEST_*"},
		"a pattern behind a prefix": {"SALLYPORT_TEST_", "db/u*", "[DB_USER]", "db/u* stands for the variables SALLYPORT_TEST_DB_U*"},
		"no prefix":                 {"", "sallyport/test/*", "[SALLYPORT_TEST_DB_PASSWORD SALLYPORT_TEST_DB_USER]", "SALLYPORT_TEST_*"},
		"a name":                    {"", "sallyport-other", "[SALLYPORT_OTHER]", "SALLYPORT_OTHER"},
		"nothing to go by":          {"", "", "[]", "give a pattern"},
	} {
		env := secrets.NewEnv(c.prefix, nil)
		got, err := env.List(t.Context(), c.pattern)
		if err != nil || fmt.Sprint(got) != c.want {
			t.Errorf("%s: %v, %v; want %s", name, got, err, c.want)
		}
		if hint := env.Hint(c.pattern); !strings.Contains(hint, c.hint) {
			t.Errorf("%s: hint %q, want %q", name, hint, c.hint)
		}
		for _, path := range got {
			if _, err := secrets.Get(t.Context(), env, secrets.Reference{Path: path}); err != nil {
				t.Errorf("%s: %s is listed and not to be had: %v", name, path, err)
			}
		}
	}
}

func TestEnvIsReadOnlyAndSaysWhatToDo(t *testing.T) {
	t.Parallel()
	err := secrets.NewEnv("APP_", nil).Set(t.Context(), secrets.Reference{Path: "db", Field: "user"}, secrets.NewSecret(canary))
	if !errors.Is(err, secrets.ErrReadOnly) || !strings.Contains(err.Error(), "APP_DB_USER") {
		t.Errorf("%v, want ErrReadOnly that names the variable", err)
	}
	assertClean(t, "error", fmt.Sprint(err))
}

// In a chain, what Env does not have at all is then asked of the next in one go.
func TestEnvDoesNotHaveAPathWithoutAVariable(t *testing.T) {
	t.Setenv("SALLYPORT_TEST_DB_USER", "x")
	env := secrets.NewEnv("SALLYPORT_TEST_", nil)
	if _, err := env.Read(t.Context(), "none"); !errors.Is(err, secrets.ErrNotFound) {
		t.Errorf("%v, want ErrNotFound", err)
	}
	if got, err := secrets.Get(t.Context(), env, secrets.Reference{Path: "db", Field: "user"}); err != nil || got.Reveal() != "x" {
		t.Errorf("a path of fields alone: %q, %v", got.Reveal(), err)
	}
}
