package secrets_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/peertest"
	"github.com/sallyport/sallyport/internal/secrets"
)

// swapper is a backend that can read and swap.
type swapper interface {
	secrets.Backend
	secrets.Swapper
}

// swaps is what must hold of every backend that swaps.
func swaps(t *testing.T, b swapper) {
	t.Helper()
	refs := []secrets.Reference{{Path: "doc", Field: "key"}, {Path: "text"}}
	secret := secrets.NewSecret
	for _, ref := range refs {
		swap := func(old, value string) error {
			return b.Swap(t.Context(), ref, secret(old), secret(value))
		}
		if err := swap("something", "1"); !errors.Is(err, secrets.ErrConflict) {
			t.Errorf("%s: in the place of what is not there: %v", ref, err)
		}
		must(t, swap("", "1"))
		if err := swap("", "2"); !errors.Is(err, secrets.ErrConflict) {
			t.Errorf("%s: as if nothing was there: %v", ref, err)
		}
		must(t, swap("1", "2"))
		if err := swap("1", "3"); !errors.Is(err, secrets.ErrConflict) {
			t.Errorf("%s: in the place of one that went: %v", ref, err)
		}
		if err := swap("2", ""); !errors.Is(err, secrets.ErrEmpty) {
			t.Errorf("%s: by nothing: %v", ref, err)
		}
		if got, err := secrets.Get(t.Context(), b, ref); err != nil || got.Reveal() != "2" {
			t.Errorf("%s: it is %q, %v", ref, got.Reveal(), err)
		}
		var won atomic.Int32
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				if err := swap("2", fmt.Sprint("by ", i)); err == nil {
					won.Add(1)
				} else if !errors.Is(err, secrets.ErrConflict) {
					t.Errorf("%s: at the same time: %v", ref, err)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 {
			t.Errorf("%s: %d of 8 swapped the same value", ref, won.Load())
		}
	}
}

func TestFileSwaps(t *testing.T) {
	t.Parallel()
	swaps(t, newFile(t, t.TempDir(), nil))
}

func TestVaultSwaps(t *testing.T) {
	t.Parallel()
	swaps(t, newVault(t, peertest.Vault(t).Address, nil))
}

func TestAWSSwaps(t *testing.T) {
	t.Parallel()
	swaps(t, newAWS(t, peertest.Moto(t).Endpoint, func(*secrets.AWSOptions) {}))
}

func TestSwapInAChainIsInTheFirst(t *testing.T) {
	t.Parallel()
	ref := secrets.Reference{Path: "a"}
	env := secrets.NewEnv("", func(string) (string, bool) { return "", false })
	file := newFile(t, t.TempDir(), nil)
	for name, c := range map[string]struct {
		b    secrets.Backend
		want error
	}{
		"file first": {secrets.Chain(file, env), nil},
		"env first":  {secrets.Chain(env, file), secrets.ErrReadOnly},
	} {
		if err := c.b.(secrets.Swapper).Swap(t.Context(), ref, secrets.Secret{}, secrets.NewSecret("x")); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRereadBringsAChangeAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "a"), []byte("old"), 0o600))
	store := secrets.NewStore(newFile(t, dir, nil), secrets.Options{Refresh: time.Hour})
	ref := secrets.Reference{Path: "a"}
	value := store.Watch(ref)
	must(t, store.Fetch(t.Context()))
	must(t, os.WriteFile(filepath.Join(dir, "a"), []byte("new"), 0o600))
	must(t, store.Reread(t.Context(), ref))
	if got, err := value.Get(); err != nil || got.Reveal() != "new" {
		t.Errorf("it is %q, %v", got.Reveal(), err)
	}
	if err := store.Reread(t.Context(), secrets.Reference{Path: "b"}); !errors.Is(err, secrets.ErrNotFound) {
		t.Errorf("of what is not watched: %v", err)
	}
}
