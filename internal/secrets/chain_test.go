package secrets_test

import (
	"context"
	"errors"
	"fmt"
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

func TestChainSetsWhereItReadsFirst(t *testing.T) {
	t.Parallel()
	first, second := newFile(t, t.TempDir(), nil), newFile(t, t.TempDir(), nil)
	ref := secrets.Reference{Path: "a"}
	both := secrets.Chain(first, second)
	must(t, both.(secrets.Writer).Set(t.Context(), ref, secrets.NewSecret("x")))
	if got, err := secrets.Get(t.Context(), first, ref); err != nil || got.Reveal() != "x" {
		t.Errorf("%q, %v", got.Reveal(), err)
	}
	if _, err := secrets.Get(t.Context(), second, ref); !errors.Is(err, secrets.ErrNotFound) {
		t.Errorf("the second has it too: %v", err)
	}
	for name, list := range map[string][]secrets.Backend{
		"env first":         {secrets.NewEnv("", nil), second},
		"none that can set": {classed{}, second},
		"no backend":        {},
	} {
		err := secrets.Chain(list...).(secrets.Writer).Set(t.Context(), ref, secrets.NewSecret("x"))
		if !errors.Is(err, secrets.ErrReadOnly) {
			t.Errorf("%s: %v, want ErrReadOnly", name, err)
		}
	}
}

func TestChainListsAll(t *testing.T) {
	t.Setenv("SALLYPORT_TEST_A", "x")
	first, second := t.TempDir(), t.TempDir()
	write(t, first, "a", "x")
	write(t, first, "c", "x")
	write(t, second, "b", "x")
	write(t, second, "c", "x")
	all := secrets.Chain(newFile(t, first, nil), newFile(t, second, nil), secrets.NewEnv("SALLYPORT_TEST_", nil))
	got, err := all.(secrets.Lister).List(t.Context(), "")
	if err != nil || fmt.Sprint(got) != "[A a b c]" {
		t.Errorf("%v, %v", got, err)
	}
	if hint := all.(secrets.Hinter).Hint(""); hint != "env: the variables SALLYPORT_TEST_*" {
		t.Errorf("hint %q", hint)
	}
	if _, err := secrets.Chain(newFile(t, first, nil), classed{}).(secrets.Lister).List(t.Context(), ""); err == nil {
		t.Error("one that cannot tell its names goes unnoticed")
	}
}

// runner is a backend with work to do until its context ends.
type runner struct {
	classed
	err  error
	done chan struct{}
}

func (r runner) Run(ctx context.Context) error {
	defer close(r.done)
	if r.err != nil {
		return r.err
	}
	<-ctx.Done()
	return nil
}

func TestChainRunsThoseThatRun(t *testing.T) {
	t.Parallel()
	quiet := runner{done: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- secrets.Chain(quiet, classed{}).(secrets.Runner).Run(ctx) }()
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("%v", err)
	}
	<-quiet.done
	broken := runner{err: errors.New("broken"), done: make(chan struct{})}
	if err := secrets.Chain(broken, classed{}).(secrets.Runner).Run(t.Context()); !errors.Is(err, broken.err) {
		t.Errorf("%v, want the error of the one that failed", err)
	}
}
