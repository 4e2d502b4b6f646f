package secrets_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport/internal/secrets"
)

// counted is a folder of secrets that counts how often each is read, and how
// many reads go on at once.
type counted struct {
	*secrets.File
	dir  string
	slow time.Duration // each read takes this long

	mu            sync.Mutex
	reads         map[string]int
	inside, most  int
	stuck         chan struct{} // not nil: reads wait for it and heed no context
	stuckArrivals atomic.Int32
}

func newCounted(t *testing.T) *counted {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "secrets")
	must(t, os.Mkdir(dir, 0o700))
	return &counted{File: newFile(t, dir, nil), dir: dir, reads: make(map[string]int)}
}

func (c *counted) Read(ctx context.Context, path string) (secrets.Document, error) {
	c.mu.Lock()
	c.reads[path]++
	c.inside++
	c.most = max(c.most, c.inside)
	stuck := c.stuck
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.inside--
		c.mu.Unlock()
	}()
	if stuck != nil {
		c.stuckArrivals.Add(1)
		<-stuck
	}
	if c.slow > 0 {
		time.Sleep(c.slow)
	}
	return c.File.Read(ctx, path)
}

func (c *counted) count(path string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reads[path]
}

// outage takes the whole folder away until the function returned is called.
func (c *counted) outage(t *testing.T) (end func()) {
	t.Helper()
	must(t, os.Rename(c.dir, c.dir+".away"))
	return func() {
		t.Helper()
		must(t, os.Rename(c.dir+".away", c.dir))
	}
}

// lines keeps what is logged.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(line))
	return len(line), nil
}

// take returns the lines since it was last called.
func (l *lines) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.all
	l.all = nil
	return all
}

// run runs s until the test ends.
func run(t *testing.T, s *secrets.Store) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// after lets the bubble's clock go on by d, and all that is due be done.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// assertValue fails unless v is want now.
func assertValue(t *testing.T, v *secrets.Value, want string) {
	t.Helper()
	if got, err := v.Get(); err != nil || got.Reveal() != want {
		t.Errorf("%s is %q, %v; want %q", v.Name(), got.Reveal(), err, want)
	}
}

// assertNone fails unless v has no value now, for that reason.
func assertNone(t *testing.T, v *secrets.Value, reason error) {
	t.Helper()
	if got, err := v.Get(); !errors.Is(err, reason) || !got.Empty() {
		t.Errorf("%s is %q, %v; want %v", v.Name(), got.Reveal(), err, reason)
	}
}

func TestStoreDefaultsFollowTheContract(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := newCounted(t)
		write(t, backend.dir, "a", "first")
		store := secrets.NewStore(backend, secrets.Options{})
		v := store.Watch(secrets.Reference{Path: "a"})
		assertNone(t, v, secrets.ErrPending)
		must(t, store.Fetch(t.Context()))
		run(t, store)
		after(0)
		if got := backend.count("a"); got != 1 {
			t.Errorf("Run reads again what Fetch has just read: %d reads", got)
		}
		write(t, backend.dir, "a", "second")
		after(53 * time.Second)
		assertValue(t, v, "first")
		after(14 * time.Second)
		assertValue(t, v, "second") // 1m, give or take a tenth
		backend.outage(t)
		after(59 * time.Minute)
		assertValue(t, v, "second")
		after(2*time.Minute + 6*time.Second)
		assertNone(t, v, secrets.ErrStale)
	})
}

func TestStoreReadsOncePerRefreshHoweverManyWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := newCounted(t)
		write(t, backend.dir, "a", "x")
		store := secrets.NewStore(backend, secrets.Options{Refresh: 10 * time.Second})
		first := store.Watch(secrets.Reference{Path: "a"})
		for range 100 {
			if store.Watch(secrets.Reference{Path: "a"}) != first {
				t.Fatal("the same reference is another Value")
			}
		}
		must(t, store.Fetch(t.Context()))
		run(t, store)
		after(100*time.Second - time.Millisecond)
		if got := backend.count("a"); got < 10 || got > 12 {
			t.Errorf("%d reads in ten refreshes, want 10 to 12", got)
		}
		if first.Version() != 1 {
			t.Errorf("version %d of a value that did not change", first.Version())
		}
	})
}

func TestStoreSharesTheReadThatGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := newCounted(t)
		backend.slow = time.Second
		write(t, backend.dir, "a", "x")
		store := secrets.NewStore(backend, secrets.Options{})
		v := store.Watch(secrets.Reference{Path: "a"})
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		var all sync.WaitGroup
		all.Go(func() {
			if err := store.Fetch(short); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("one who leaves early: %v", err)
			}
		})
		synctest.Wait() // it is the one who began the read
		for range 5 {
			all.Go(func() {
				if err := store.Fetch(t.Context()); err != nil {
					t.Errorf("one who stays: %v", err)
				}
			})
		}
		all.Wait()
		assertValue(t, v, "x")
		if got := backend.count("a"); got != 1 {
			t.Errorf("%d reads for six who wanted one at once", got)
		}
	})
}

func TestStoreFetchesEightAtATimeAndJoinsErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := newCounted(t)
		backend.slow = time.Second
		store := secrets.NewStore(backend, secrets.Options{})
		for i := range 20 {
			path := fmt.Sprintf("s%02d", i)
			if i != 3 && i != 17 {
				write(t, backend.dir, path, "x")
			}
			store.Watch(secrets.Reference{Path: path})
		}
		began := time.Now()
		err := store.Fetch(t.Context())
		if !errors.Is(err, secrets.ErrNotFound) || strings.Count(err.Error(), "\n") != 1 ||
			!strings.Contains(err.Error(), "s03") || !strings.Contains(err.Error(), "s17") {
			t.Errorf("%v, want the two that are missing, by name", err)
		}
		if took := time.Since(began); took != 3*time.Second || backend.most != 8 {
			t.Errorf("took %v with %d at once, want 3s with 8", took, backend.most)
		}
	})
}

func TestStoreReadsWhatIsWatchedDuringRunAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := newCounted(t)
		write(t, backend.dir, "a", "x")
		store := secrets.NewStore(backend, secrets.Options{})
		run(t, store)
		after(time.Hour)
		v := store.Watch(secrets.Reference{Path: "a"})
		after(0)
		assertValue(t, v, "x")
	})
}

// Case secrets-07.
func TestRotationReachesWatchers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := newCounted(t)
		write(t, backend.dir, "a", "first")
		store := secrets.NewStore(backend, secrets.Options{Refresh: 10 * time.Second})
		v := store.Watch(secrets.Reference{Path: "a"})
		var seen []string
		v.Changed(func() {
			got, err := v.Get()
			v.Changed(func() {})                             // holds no lock
			store.Watch(secrets.Reference{Path: "a"}).Name() // nor the store's
			seen = append(seen, fmt.Sprintf("%d %s %v", v.Version(), got.Reveal(), err != nil))
		})
		run(t, store)
		after(11 * time.Second)
		write(t, backend.dir, "a", "second")
		after(11 * time.Second)
		must(t, os.Remove(filepath.Join(backend.dir, "a")))
		after(22 * time.Second)
		write(t, backend.dir, "a", "second")
		after(22 * time.Second)
		want := "[1 first false 2 second false 3  true 4 second false]"
		if got := fmt.Sprint(seen); got != want {
			t.Errorf("the watcher saw %s, want %s", got, want)
		}
	})
}

// Case secrets-02.
func TestLastKnownValueLastsThroughOutageUntilMaxStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := newCounted(t)
		write(t, backend.dir, "a", "first")
		store := secrets.NewStore(backend, secrets.Options{Refresh: time.Minute, MaxStale: 10 * time.Minute})
		v := store.Watch(secrets.Reference{Path: "a"})
		run(t, store)
		after(0)
		end := backend.outage(t)
		after(10 * time.Minute) // to the nanosecond
		assertValue(t, v, "first")
		after(time.Nanosecond)
		assertNone(t, v, secrets.ErrStale)
		assertNone(t, v, secrets.ErrUnavailable) // and why
		if got := store.Status()[0]; !got.Stale || got.Ready || got.Error != "unavailable" || got.Age != 10*time.Minute+1 {
			t.Errorf("status %+v", got)
		}
		if got := backend.count("a"); got < 120 || got > 200 {
			t.Errorf("%d reads in 10 minutes of outage: want one every 3 to 4 s", got)
		}
		write(t, backend.dir+".away", "a", "second")
		end()
		after(5 * time.Second)
		assertValue(t, v, "second")
		if got := store.Status()[0]; got.Stale || !got.Ready || got.Error != "" || got.Age > 5*time.Second {
			t.Errorf("status %+v", got)
		}
	})
}

// Case secrets-01. The folder is away at the start, as one that is mounted late.
func TestSecretsAreThereSoonAfterABackendThatWasDownAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := newCounted(t)
		write(t, backend.dir, "a", "x")
		end := backend.outage(t)
		store := secrets.NewStore(backend, secrets.Options{})
		v := store.Watch(secrets.Reference{Path: "a"})
		if err := store.Fetch(t.Context()); !errors.Is(err, secrets.ErrUnavailable) {
			t.Errorf("Fetch: %v, want ErrUnavailable", err)
		}
		run(t, store)
		after(3*time.Minute + 123*time.Millisecond)
		assertNone(t, v, secrets.ErrUnavailable)
		end()
		after(5 * time.Second)
		assertValue(t, v, "x")
	})
}

// Case secrets-04. A backend that hangs, and heeds no context, holds up neither Fetch nor Get,
// nor does it gather goroutines.
func TestBackendThatHangsIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := newCounted(t)
		write(t, backend.dir, "a", "first")
		store := secrets.NewStore(backend, secrets.Options{})
		v := store.Watch(secrets.Reference{Path: "a"})
		must(t, store.Fetch(t.Context()))
		stuck := make(chan struct{})
		backend.mu.Lock()
		backend.stuck = stuck
		backend.mu.Unlock()
		began := time.Now()
		if err := store.Fetch(t.Context()); !errors.Is(err, secrets.ErrUnavailable) || time.Since(began) != 5*time.Second {
			t.Errorf("%v after %v, want ErrUnavailable after 5s", err, time.Since(began))
		}
		run(t, store)
		after(30 * time.Minute)
		assertValue(t, v, "first")
		if got := backend.stuckArrivals.Load(); got != 1 {
			t.Errorf("%d reads hang", got)
		}
		write(t, backend.dir, "a", "second")
		backend.mu.Lock()
		backend.stuck = nil
		backend.mu.Unlock()
		close(stuck)
		after(5 * time.Second)
		assertValue(t, v, "second")
	})
}

// Case secrets-03.
func TestEmptiedOrBrokenValueKeepsTheLastGoodOneUntilMaxStale(t *testing.T) {
	for name, c := range map[string]struct {
		path, good, bad string
		ref             secrets.Reference
		kind            error
	}{
		"emptied":          {"a", "good", "", secrets.Reference{Path: "a"}, secrets.ErrEmpty},
		"only a newline":   {"a", "good", "\n", secrets.Reference{Path: "a"}, secrets.ErrEmpty},
		"field emptied":    {"a", `{"f":"good"}`, `{"f":""}`, secrets.Reference{Path: "a", Field: "f"}, secrets.ErrEmpty},
		"field a number":   {"a", `{"f":"good"}`, `{"f":1}`, secrets.Reference{Path: "a", Field: "f"}, secrets.ErrInvalid},
		"written by half":  {"a", `{"f":"good"}`, `{"f":"go`, secrets.Reference{Path: "a", Field: "f"}, secrets.ErrInvalid},
		"grown out of all": {"a", "good", strings.Repeat("x", 1<<20+1), secrets.Reference{Path: "a"}, secrets.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				backend := newCounted(t)
				write(t, backend.dir, c.path, c.good)
				store := secrets.NewStore(backend, secrets.Options{Refresh: time.Minute, MaxStale: 10 * time.Minute})
				v := store.Watch(c.ref)
				run(t, store)
				after(0)
				write(t, backend.dir, c.path, c.bad)
				after(10 * time.Minute)
				assertValue(t, v, "good")
				after(time.Nanosecond)
				assertNone(t, v, secrets.ErrStale)
				assertNone(t, v, c.kind)
				if got := backend.count(c.path); got > 13 {
					t.Errorf("%d reads: an answer is not asked for again before the refresh", got)
				}
				write(t, backend.dir, c.path, c.good)
				after(67 * time.Second)
				assertValue(t, v, "good")
				if v.Version() != 1 {
					t.Errorf("version %d of a value that came back the same", v.Version())
				}
			})
		})
	}
}

func TestDeletedValueIsGoneAtTheNextRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := newCounted(t)
		write(t, backend.dir, "a", "x")
		write(t, backend.dir, "doc", `{"f":"x"}`)
		store := secrets.NewStore(backend, secrets.Options{Refresh: time.Minute})
		whole := store.Watch(secrets.Reference{Path: "a"})
		field := store.Watch(secrets.Reference{Path: "doc", Field: "f"})
		run(t, store)
		after(0)
		must(t, os.Remove(filepath.Join(backend.dir, "a")))
		write(t, backend.dir, "doc", `{}`)
		after(67 * time.Second)
		for _, v := range []*secrets.Value{whole, field} {
			assertNone(t, v, secrets.ErrNotFound)
			if v.Version() != 2 {
				t.Errorf("%s: version %d, want 2", v.Name(), v.Version())
			}
		}
		backend.outage(t) // what is gone does not come back by an outage
		after(2 * time.Minute)
		assertNone(t, whole, secrets.ErrUnavailable)
	})
}

// classed answers as no good backend should.
type classed struct{ err error }

func (c classed) Name() string                                           { return "classed" }
func (c classed) Read(context.Context, string) (secrets.Document, error) { return nil, c.err }

func TestOnlyAPlainNotFoundTakesAValueAway(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"no kind":              {errors.New("something"), "unavailable"},
		"no error, no value":   {nil, "empty"},
		"not found and outage": {fmt.Errorf("%w, %w", secrets.ErrNotFound, secrets.ErrUnavailable), "unavailable"},
		"sealed":               {fmt.Errorf("%w: %w", secrets.ErrUnavailable, secrets.ErrSealed), "sealed"},
		"throttled":            {fmt.Errorf("%w: %w", secrets.ErrUnavailable, secrets.ErrThrottled), "throttled"},
		"not found and sealed": {fmt.Errorf("%w, %w", secrets.ErrNotFound, secrets.ErrSealed), "sealed"},
		"not found and denied": {fmt.Errorf("%w, %w", secrets.ErrNotFound, secrets.ErrDenied), "denied"},
		"not found":            {secrets.ErrNotFound, "not_found"},
	} {
		t.Run(name, func(t *testing.T) {
			store := secrets.NewStore(classed{c.err}, secrets.Options{})
			v := store.Watch(secrets.Reference{Path: "a"})
			if err := store.Fetch(t.Context()); err == nil {
				t.Error("Fetch has no error")
			}
			if _, err := v.Get(); err == nil || store.Status()[0].Error != c.want {
				t.Errorf("%v with status %q, want %q", err, store.Status()[0].Error, c.want)
			}
		})
	}
}

func TestTwoHundredGetsDuringRefresh(t *testing.T) {
	backend := newCounted(t)
	write(t, backend.dir, "a", "value-0")
	store := secrets.NewStore(backend, secrets.Options{Refresh: 2 * time.Millisecond})
	v := store.Watch(secrets.Reference{Path: "a"})
	derived := secrets.Derive(v, func(s secrets.Secret) (string, error) { return "parsed " + s.Reveal(), nil })
	must(t, store.Fetch(t.Context()))
	run(t, store)
	stop := make(chan struct{})
	var all sync.WaitGroup
	defer all.Wait()
	defer close(stop)
	for range 200 {
		all.Go(func() {
			for last := uint64(0); ; {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
				}
				got, err := v.Get()
				if err != nil || !strings.HasPrefix(got.Reveal(), "value-") || v.Version() < last {
					t.Errorf("%v, %v at version %d after %d", got.Empty(), err, v.Version(), last)
					return
				}
				last = v.Version()
				if text, err := derived.Get(); err != nil || !strings.HasPrefix(text, "parsed value-") {
					t.Errorf("derived: %q, %v", text, err)
					return
				}
				_ = store.Status()
			}
		})
	}
	for i := uint64(2); i <= 10; i++ {
		write(t, backend.dir, "a", fmt.Sprintf("value-%d", i))
		for began := time.Now(); v.Version() < i; time.Sleep(time.Millisecond) {
			if time.Since(began) > 10*time.Second {
				t.Fatal("the rotation does not show")
			}
		}
	}
}

func TestGetDoesNotAllocate(t *testing.T) {
	backend := newCounted(t)
	write(t, backend.dir, "a", "x")
	store := secrets.NewStore(backend, secrets.Options{})
	v := store.Watch(secrets.Reference{Path: "a"})
	must(t, store.Fetch(t.Context()))
	if n := testing.AllocsPerRun(100, func() { _, _ = v.Get() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestValueIsReadAgainBeforeItGoesStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := newCounted(t)
		write(t, backend.dir, "a", "x")
		store := secrets.NewStore(backend, secrets.Options{Refresh: time.Hour, MaxStale: time.Minute})
		v := store.Watch(secrets.Reference{Path: "a"})
		run(t, store)
		for range 300 {
			after(time.Second)
			assertValue(t, v, "x")
		}
	})
}

func TestNegativeMaxStaleIsNoLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := newCounted(t)
		write(t, backend.dir, "a", "x")
		store := secrets.NewStore(backend, secrets.Options{MaxStale: -1})
		v := store.Watch(secrets.Reference{Path: "a"})
		run(t, store)
		after(0)
		backend.outage(t)
		after(3 * time.Hour)
		assertValue(t, v, "x")
	})
}

func TestFixedValue(t *testing.T) {
	t.Parallel()
	v := secrets.Fixed(secrets.NewSecret("x"))
	v.Changed(func() { t.Error("it changed") })
	assertValue(t, v, "x")
	if v.Version() != 1 {
		t.Errorf("version %d", v.Version())
	}
	assertNone(t, secrets.Fixed(secrets.Secret{}), secrets.ErrEmpty)
}

func TestLogTellsEachChangeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lines
		log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
		backend := newCounted(t)
		write(t, backend.dir, "a", canary)
		store := secrets.NewStore(backend, secrets.Options{MaxStale: 10 * time.Minute, Log: log})
		store.Watch(secrets.Reference{Path: "a"})
		run(t, store)
		// expect fails unless these lines came in that time, and no others.
		expect := func(d time.Duration, want ...string) {
			t.Helper()
			after(d)
			got := out.take()
			ok := len(got) == len(want)
			for i := 0; ok && i < len(got); i++ {
				ok = strings.Contains(got[i], want[i])
			}
			if !ok {
				t.Errorf("logged %q, want %q", got, want)
			}
			assertClean(t, "log", strings.Join(got, "\n"))
		}
		expect(5 * time.Minute)
		write(t, backend.dir, "a", canary+"2")
		expect(5*time.Minute, "secret rotated")
		end := backend.outage(t)
		expect(8*time.Minute, "the last known value goes on")
		expect(5*time.Minute, "level=ERROR msg=\"secret not read for too long")
		end()
		expect(5*time.Minute, "can be read again")
		write(t, backend.dir, "a", "")
		expect(5*time.Minute, "the last known value goes on\" reference=a backend=file reason=empty")
		must(t, os.Remove(filepath.Join(backend.dir, "a")))
		expect(5*time.Minute, "there is none\" reference=a backend=file reason=not_found")
		write(t, backend.dir, "a", canary+"3")
		expect(5*time.Minute, "can be read again\" reference=a backend=file rotated=true")
	})
}

// Each failure there is, with the secret where it could be quoted.
func TestCanaryIsInNoErrorLogMetricOrStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lines
		reg := prometheus.NewPedanticRegistry()
		backend := newCounted(t)
		store := secrets.NewStore(backend, secrets.Options{
			MaxStale: 5 * time.Minute, Log: slog.New(slog.NewJSONHandler(&out, nil)), Metrics: secrets.NewMetrics(reg),
		})
		good := `{"f": "` + canary + `", "` + canary + `": 1}`
		values := []*secrets.Value{store.Watch(secrets.Reference{Path: "a"}), store.Watch(secrets.Reference{Path: "a", Field: "f"})}
		var derived []*secrets.Derived[int]
		for _, v := range values {
			derived = append(derived, secrets.Derive(v, func(s secrets.Secret) (int, error) { return strconv.Atoi(s.Reveal()) }))
		}
		run(t, store)
		var shown []string
		for _, content := range []string{
			good, good + good, good[:10], canary, `{"f": ["` + canary + `"]}`, `{"` + canary + `": "` + canary + `"}`,
			"", good, strings.Repeat(canary, 100_000), `{"f":"` + canary + `","f":"` + canary + `"}`,
		} {
			write(t, backend.dir, "a", content)
			after(67 * time.Second)
			shown = append(shown, fmt.Sprint(store.Fetch(t.Context())))
		}
		end := backend.outage(t)
		after(20 * time.Minute)
		for i, v := range values {
			got, err := v.Get()
			_, parseErr := derived[i].Get()
			shown = append(shown, fmt.Sprintf("%v %#v %v %v", got, got, err, parseErr))
		}
		end()
		after(5 * time.Second)
		families, err := reg.Gather()
		must(t, err)
		shown = append(shown, out.take()...)
		shown = append(shown, fmt.Sprintf("%v %+v %#v", families, store.Status(), store.Status()))
		for _, text := range shown {
			assertClean(t, "what is shown", text)
		}
		if len(shown) < 20 {
			t.Errorf("only %d things shown", len(shown))
		}
	})
}
