package secrets_test

import (
	"errors"
	"testing"

	"github.com/sallyport/sallyport/internal/secrets"
)

func TestChainGoesOnOnlyWhereNothingWasFound(t *testing.T) {
	t.Parallel()
	variables := func(m map[string]string) *secrets.Env {
		return secrets.NewEnv("", func(name string) (string, bool) { v, ok := m[name]; return v, ok })
	}
	first := variables(map[string]string{"BOTH": "first", "EMPTY": ""})
	second := variables(map[string]string{"BOTH": "second", "EMPTY": "second", "SECOND": "second"})
	both := secrets.Chain(first, second)
	for path, want := range map[string]struct {
		value string
		err   error
	}{
		"both":    {value: "first"},
		"second":  {value: "second"},
		"empty":   {err: secrets.ErrEmpty},
		"neither": {err: secrets.ErrNotFound},
	} {
		got, err := both.Get(t.Context(), secrets.Reference{Path: path})
		if !errors.Is(err, want.err) || got.Reveal() != want.value {
			t.Errorf("%s: %q, %v, want %q, %v", path, got.Reveal(), err, want.value, want.err)
		}
	}
	if got := both.Name(); got != "env,env" {
		t.Errorf("name is %q", got)
	}
	if got := secrets.Chain(first).Name(); got != "env" {
		t.Errorf("a chain of one is called %q", got)
	}
}
