package secrets_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/internal/secrets"
)

var errTooSmall = errors.New("too small")

// number parses a positive number, and counts how often it is asked to.
func number(times *int) func(secrets.Secret) (int, error) {
	return func(s secrets.Secret) (int, error) {
		*times++
		n, err := strconv.Atoi(s.Reveal()) // whose error quotes what it got
		if err == nil && n < 1 {
			return 0, fmt.Errorf("number: %w", errTooSmall)
		}
		return n, err
	}
}

func TestDerivedIsParsedOnceAVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := newCounted(t)
		write(t, backend.dir, "n", "1")
		store := secrets.NewStore(backend, secrets.Options{Refresh: time.Minute})
		times := 0
		d := secrets.Derive(store.Watch(secrets.Reference{Path: "n"}), number(&times))
		if _, err := d.Get(); !errors.Is(err, secrets.ErrPending) || times != 0 {
			t.Errorf("before the first read: %v, parsed %d times", err, times)
		}
		run(t, store)
		for version := 1; version <= 3; version++ {
			write(t, backend.dir, "n", strconv.Itoa(version))
			after(5 * time.Minute)
			for range 100 {
				if n, err := d.Get(); err != nil || n != version {
					t.Fatalf("%d, %v; want %d", n, err, version)
				}
			}
			if times != version {
				t.Errorf("version %d: parsed %d times", version, times)
			}
		}
	})
}

func TestDerivedKeepsTheLastGoodUntilMaxStaleWhenANewValueIsBad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lines
		backend := newCounted(t)
		write(t, backend.dir, "n", "1")
		store := secrets.NewStore(backend, secrets.Options{
			Refresh: time.Minute, MaxStale: 10 * time.Minute, Log: slog.New(slog.NewTextHandler(&out, nil)),
		})
		times := 0
		d := secrets.Derive(store.Watch(secrets.Reference{Path: "n"}), number(&times))
		run(t, store)
		after(0)
		began := time.Now()
		write(t, backend.dir, "n", canary)
		after(2 * time.Minute)
		write(t, backend.dir, "n", "0") // a second bad one gives the good one no more time
		for time.Since(began) < 10*time.Minute {
			if n, err := d.Get(); err != nil || n != 1 {
				t.Fatalf("after %v: %d, %v; want the last good one", time.Since(began), n, err)
			}
			after(time.Minute)
		}
		after(time.Nanosecond)
		_, err := d.Get()
		if !errors.Is(err, secrets.ErrStale) || !errors.Is(err, secrets.ErrInvalid) || !errors.Is(err, errTooSmall) {
			t.Errorf("%v, want ErrStale, ErrInvalid and the reason", err)
		}
		logged := strings.Join(out.take(), "")
		if got := strings.Count(logged, "it does not parse"); got != 2 || times != 3 {
			t.Errorf("refused %d times in the log, parsed %d times; want 2, 3:\n%s", got, times, logged)
		}
		assertClean(t, "log", logged)
		write(t, backend.dir, "n", "7")
		after(67 * time.Second)
		if n, err := d.Get(); err != nil || n != 7 {
			t.Errorf("%d, %v; want the new one", n, err)
		}
	})
}

func TestDerivedIsGoneWithItsValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := newCounted(t)
		write(t, backend.dir, "n", "1")
		store := secrets.NewStore(backend, secrets.Options{Refresh: time.Minute})
		times := 0
		d := secrets.Derive(store.Watch(secrets.Reference{Path: "n"}), number(&times))
		run(t, store)
		after(0)
		must(t, os.Remove(filepath.Join(backend.dir, "n")))
		after(67 * time.Second)
		if n, err := d.Get(); !errors.Is(err, secrets.ErrNotFound) || n != 0 {
			t.Errorf("%d, %v; want ErrNotFound", n, err)
		}
		write(t, backend.dir, "n", "0") // what was before the deletion does not come back
		after(67 * time.Second)
		if n, err := d.Get(); !errors.Is(err, secrets.ErrInvalid) || n != 0 {
			t.Errorf("%d, %v; want ErrInvalid", n, err)
		}
	})
}

func TestDerivedGoesStaleWithItsValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := newCounted(t)
		write(t, backend.dir, "n", "1")
		store := secrets.NewStore(backend, secrets.Options{MaxStale: 10 * time.Minute})
		times := 0
		d := secrets.Derive(store.Watch(secrets.Reference{Path: "n"}), number(&times))
		run(t, store)
		after(0)
		backend.outage(t)
		after(10 * time.Minute)
		if n, err := d.Get(); err != nil || n != 1 {
			t.Errorf("%d, %v", n, err)
		}
		after(1)
		if _, err := d.Get(); !errors.Is(err, secrets.ErrStale) {
			t.Errorf("%v, want ErrStale", err)
		}
	})
}

func TestDerivedOfAFixedValue(t *testing.T) {
	t.Parallel()
	times := 0
	if n, err := secrets.Derive(secrets.Fixed(secrets.NewSecret("5")), number(&times)).Get(); err != nil || n != 5 {
		t.Errorf("%d, %v", n, err)
	}
	for name, text := range map[string]string{"whole": canary, "a word of it": "some words with " + canary} {
		_, err := secrets.Derive(secrets.Fixed(secrets.NewSecret(text)), func(s secrets.Secret) (int, error) {
			return 0, fmt.Errorf("cannot read %q", canary)
		}).Get()
		if !errors.Is(err, secrets.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
		assertClean(t, name, fmt.Sprint(err))
	}
}
