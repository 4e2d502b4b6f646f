package secrets_test

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/internal/secrets"
)

// What one scope alone watched is no longer read once that is closed; what
// another watches too goes on, watchers and all.
func TestClosedScopeIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newCounted(t)
		write := func(value string) {
			for _, name := range []string{"shared", "alone"} {
				must(t, os.WriteFile(filepath.Join(b.dir, name), []byte(value), 0o600))
			}
		}
		write("one")
		s := secrets.NewStore(b, secrets.Options{Refresh: time.Minute, MaxStale: time.Hour})
		run(t, s)
		first, second := s.Scope(), s.Scope()
		alone, shared, other := first.Watch(secrets.Reference{Path: "alone"}), first.Watch(secrets.Reference{Path: "shared"}), second.Watch(secrets.Reference{Path: "shared"})
		var ofFirst, ofSecond atomic.Int32
		shared.Changed(func() { ofFirst.Add(1) })
		other.Changed(func() { ofSecond.Add(1) })
		after(time.Second)
		assertValue(t, alone, "one")
		assertValue(t, shared, "one")
		if first.Watch(secrets.Reference{Path: "shared"}) != shared {
			t.Error("a scope has two values of one reference")
		}

		first.Close()
		first.Close()
		write("two")
		reads := b.count("alone")
		after(5 * time.Minute)
		if n := b.count("alone"); n != reads {
			t.Errorf("%d reads for a scope that is closed", n-reads)
		}
		assertValue(t, alone, "one") // as it was
		assertValue(t, other, "two")
		if ofFirst.Load() != 1 || ofSecond.Load() != 2 {
			t.Errorf("%d calls of the closed scope's watcher, %d of the other's; want 1 and 2", ofFirst.Load(), ofSecond.Load())
		}
		if list := s.Status(); len(list) != 1 || list[0].Name != "shared" {
			t.Errorf("status of %v, want shared alone", list)
		}

		again := s.Scope().Watch(secrets.Reference{Path: "alone"})
		after(time.Second)
		assertValue(t, again, "two")
	})
}

// A field that nobody watches any more costs nothing, and is there at once for
// the next who does.
func TestScopeOfOneFieldOfMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newCounted(t)
		must(t, os.WriteFile(filepath.Join(b.dir, "pair"), []byte(`{"user": "ann", "password": "secret"}`), 0o600))
		s := secrets.NewStore(b, secrets.Options{})
		run(t, s)
		kept, going := s.Scope(), s.Scope()
		user := kept.Watch(secrets.Reference{Path: "pair", Field: "user"})
		going.Watch(secrets.Reference{Path: "pair", Field: "password"})
		after(time.Second)
		going.Close()
		if list := s.Status(); len(list) != 1 {
			t.Errorf("status of %v", list)
		}
		assertValue(t, user, "ann")
		assertValue(t, s.Scope().Watch(secrets.Reference{Path: "pair", Field: "password"}), "secret")
	})
}

// Scopes may come and go beside the reads.
func TestScopesAtOnce(t *testing.T) {
	t.Parallel()
	b := newCounted(t)
	must(t, os.WriteFile(filepath.Join(b.dir, "shared"), []byte("value"), 0o600))
	s := secrets.NewStore(b, secrets.Options{Refresh: time.Millisecond})
	run(t, s)
	done := make(chan struct{})
	for range 4 {
		go func() {
			defer func() { done <- struct{}{} }()
			for range 300 {
				scope := s.Scope()
				d := secrets.Derive(scope.Watch(secrets.Reference{Path: "shared"}), func(s secrets.Secret) (string, error) { return s.Reveal(), nil })
				_, _ = d.Get()
				_ = s.Status()
				_ = s.Fetch(t.Context())
				scope.Close()
			}
		}()
	}
	for range 4 {
		<-done
	}
	if list := s.Status(); len(list) != 0 {
		t.Errorf("left: %v", list)
	}
}

// FetchNew reads what is new, and nothing twice.
func TestFetchNewReadsWhatIsNewAlone(t *testing.T) {
	t.Parallel()
	b := newCounted(t)
	for _, name := range []string{"old", "new"} {
		must(t, os.WriteFile(filepath.Join(b.dir, name), []byte("value"), 0o600))
	}
	s := secrets.NewStore(b, secrets.Options{})
	s.Watch(secrets.Reference{Path: "old"})
	must(t, s.FetchNew(t.Context()))
	fresh := s.Watch(secrets.Reference{Path: "new"})
	must(t, s.FetchNew(t.Context()))
	assertValue(t, fresh, "value")
	must(t, s.FetchNew(t.Context()))
	if o, n := b.count("old"), b.count("new"); o != 1 || n != 1 {
		t.Errorf("%d and %d reads, want one each", o, n)
	}
}
