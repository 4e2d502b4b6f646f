package secrets_test

import (
	"errors"
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
