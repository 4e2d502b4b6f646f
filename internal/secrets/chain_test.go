package secrets_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

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
		got, err := secrets.Get(t.Context(), both, secrets.Reference{Path: path})
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

// Case secrets-05.
func TestChainGoesOnForAFieldThatIsNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := &many{counted: newCounted(t)}, newCounted(t)
		write(t, first.dir, "db", `{"user": "first", "empty": "", "number": 1}`)
		write(t, second.dir, "db", `{"user": "second", "password": "second", "empty": "second", "number": "second"}`)
		write(t, second.dir, "only", "second")
		for name, list := range map[string][]secrets.Backend{
			"each path alone": {first.counted, second}, "many first": {first, second},
		} {
			both := secrets.Chain(list...)
			store := secrets.NewStore(both, secrets.Options{Refresh: time.Minute})
			watch := func(path, field string) *secrets.Value {
				return store.Watch(secrets.Reference{Path: path, Field: field})
			}
			user, password, host, empty := watch("db", "user"), watch("db", "password"), watch("db", "host"), watch("db", "empty")
			number, only, never := watch("db", "number"), watch("only", ""), watch("never", "")
			before := second.count("db")
			_ = store.Fetch(t.Context()) // the values say it
			assertValue(t, user, "first")
			assertValue(t, password, "second")
			assertValue(t, only, "second")
			assertNone(t, empty, secrets.ErrEmpty)
			assertNone(t, number, secrets.ErrInvalid)
			assertNone(t, host, secrets.ErrNotFound)
			assertNone(t, never, secrets.ErrNotFound)
			if got := second.count("db") - before; got != 1 {
				t.Errorf("%s: the second was read %d times for what the first lacks", name, got)
			}
			end := second.outage(t)
			_ = store.Fetch(t.Context())
			assertValue(t, user, "first")
			assertValue(t, password, "second") // the last known one
			assertNone(t, host, secrets.ErrUnavailable)
			end()
		}
	})
}
