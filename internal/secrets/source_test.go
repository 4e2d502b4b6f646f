package secrets_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sallyport/sallyport/internal/secrets"
)

// many is a folder of secrets that can be read many at a time.
type many struct {
	*counted
	batches [][]string
	short   bool // answers for one path too few
}

func (m *many) ReadMany(ctx context.Context, paths []string) []secrets.Result {
	m.mu.Lock()
	m.batches = append(m.batches, slices.Sorted(slices.Values(paths)))
	stuck := m.stuck
	m.mu.Unlock()
	if stuck != nil {
		m.stuckArrivals.Add(1)
		<-stuck
	}
	var results []secrets.Result
	for _, path := range paths {
		doc, err := m.File.Read(ctx, path)
		results = append(results, secrets.Result{Document: doc, Err: err})
	}
	if m.short {
		results = results[:len(results)-1]
	}
	return results
}

// seen returns the batches since it was last called.
func (m *many) seen() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	batches := m.batches
	m.batches = nil
	return fmt.Sprint(batches)
}

func TestPathIsReadOnceARefreshHoweverManyFieldsHangOnIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := newCounted(t)
		write(t, backend.dir, "db", `{"user": "u1", "password": "p1"}`)
		reg := prometheus.NewPedanticRegistry()
		store := secrets.NewStore(backend, secrets.Options{Refresh: time.Minute, Metrics: secrets.NewMetrics(reg)})
		user := store.Watch(secrets.Reference{Path: "db", Field: "user"})
		password := store.Watch(secrets.Reference{Path: "db", Field: "password"})
		whole := store.Watch(secrets.Reference{Path: "db"})
		must(t, store.Fetch(t.Context()))
		run(t, store)
		after(53 * time.Second)
		assertValue(t, user, "u1")
		assertValue(t, password, "p1")
		assertValue(t, whole, `{"user": "u1", "password": "p1"}`)
		if got := backend.count("db"); got != 1 {
			t.Errorf("%d reads", got)
		}
		write(t, backend.dir, "db", `{"user": "u2", "password": "p2", "host": "h2"}`)
		late := store.Watch(secrets.Reference{Path: "db", Field: "host"}) // has them all read again
		after(0)
		assertValue(t, late, "h2")
		assertValue(t, password, "p2")
		after(53 * time.Second)
		if got := backend.count("db"); got != 2 {
			t.Errorf("%d reads", got)
		}
		want := `
# HELP gateway_secret_reads_total Reads of the secret backend, by what they ended with.
# TYPE gateway_secret_reads_total counter
gateway_secret_reads_total{backend="file",result="ok"} 2
`
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "gateway_secret_reads_total"); err != nil {
			t.Error(err)
		}
	})
}

func TestFieldOfAPathThatIsBeingReadIsReadToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := newCounted(t)
		backend.slow = time.Second
		write(t, backend.dir, "db", `{"user": "u", "password": "p"}`)
		store := secrets.NewStore(backend, secrets.Options{})
		store.Watch(secrets.Reference{Path: "db", Field: "user"})
		run(t, store)
		after(time.Millisecond)
		fetched := store.Watch(secrets.Reference{Path: "db", Field: "password"})
		must(t, store.Fetch(t.Context())) // joins a read that began without it
		assertValue(t, fetched, "p")
		after(50 * time.Second)
		if got := backend.count("db"); got != 2 {
			t.Errorf("%d reads", got)
		}
	})
}

// One who sees a field of a version sees the others of it too, in watchers and
// between.
func TestFieldsOfAPathChangeTogether(t *testing.T) {
	backend := newCounted(t)
	turn := func(n int) { write(t, backend.dir, "db", fmt.Sprintf(`{"user": "u-%d", "password": "p-%d"}`, n, n)) }
	turn(0)
	store := secrets.NewStore(backend, secrets.Options{Refresh: time.Millisecond})
	user := store.Watch(secrets.Reference{Path: "db", Field: "user"})
	password := store.Watch(secrets.Reference{Path: "db", Field: "password"})
	number := func(v *secrets.Value) (n int) {
		got, err := v.Get()
		if err != nil {
			t.Errorf("%s: %v", v.Name(), err)
		}
		_, text, _ := strings.Cut(got.Reveal(), "-")
		_, err = fmt.Sscan(text, &n)
		if err != nil {
			t.Errorf("%s: %v", v.Name(), err)
		}
		return n
	}
	must(t, store.Fetch(t.Context()))
	var changes atomic.Int32
	for _, v := range []*secrets.Value{user, password} {
		v.Changed(func() {
			if u, p := number(user), number(password); u != p {
				t.Errorf("a watcher sees user %d with password %d", u, p)
			}
			changes.Add(1)
		})
	}
	run(t, store)
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				u := number(user)
				if p := number(password); p < u {
					t.Errorf("user %d is out, and still password %d", u, p)
				}
				p := number(password)
				if u := number(user); u < p {
					t.Errorf("password %d is out, and still user %d", p, u)
				}
			}
		})
	}
	for n := 1; n <= 20; n++ {
		turn(n)
		for began := time.Now(); int(changes.Load()) < 2*n; time.Sleep(100 * time.Microsecond) {
			if time.Since(began) > 10*time.Second {
				t.Fatal("the change does not show")
			}
		}
	}
	close(stop)
	all.Wait()
}

func TestBackendOfManyIsAskedOnceForAllThatIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := &many{counted: newCounted(t)}
		for _, path := range []string{"a", "b", "c"} {
			write(t, backend.dir, path, `{"f": "x"}`)
		}
		store := secrets.NewStore(backend, secrets.Options{Refresh: time.Minute})
		for _, path := range []string{"a", "b", "missing"} {
			store.Watch(secrets.Reference{Path: path})
			store.Watch(secrets.Reference{Path: path, Field: "f"})
		}
		if err := store.Fetch(t.Context()); !errors.Is(err, secrets.ErrNotFound) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want ErrNotFound, once", err)
		}
		if got := backend.seen(); got != "[[a b missing]]" {
			t.Errorf("read %s", got)
		}
		run(t, store)
		after(3 * time.Second)
		v := store.Watch(secrets.Reference{Path: "c"})
		after(0)
		assertValue(t, v, "{\"f\": \"x\"}")
		after(4 * time.Minute)
		if got := backend.seen(); strings.Count(got, "]") > 6 || !strings.HasSuffix(got, "[a b c missing]]") {
			t.Errorf("in four minutes read %s", got) // c finds its way to the others
		}
		end := backend.outage(t)
		after(2 * time.Minute)
		end()
		backend.seen()
		after(5 * time.Second)
		if got := backend.seen(); got != "[[a b c missing]]" {
			t.Errorf("after an outage read %s", got)
		}
	})
}

func TestBatchIsBounded(t *testing.T) {
	backend := &many{counted: newCounted(t)}
	store := secrets.NewStore(backend, secrets.Options{})
	for i := range 250 {
		path := fmt.Sprintf("s%03d", i)
		write(t, backend.dir, path, "x")
		store.Watch(secrets.Reference{Path: path})
	}
	must(t, store.Fetch(t.Context()))
	if got := len(backend.batches); got != 3 {
		t.Errorf("%d batches of 250 paths, want 3", got)
	}
}

func TestBatchThatLacksAnAnswerIsAnOutageOfThatPath(t *testing.T) {
	backend := &many{counted: newCounted(t), short: true}
	store := secrets.NewStore(backend, secrets.Options{})
	var values []*secrets.Value
	for _, path := range []string{"a", "b"} {
		write(t, backend.dir, path, "x")
		values = append(values, store.Watch(secrets.Reference{Path: path}))
	}
	if err := store.Fetch(t.Context()); !errors.Is(err, secrets.ErrUnavailable) {
		t.Errorf("%v, want ErrUnavailable", err)
	}
	assertValue(t, values[0], "x")
	assertNone(t, values[1], secrets.ErrUnavailable)
}

// Case secrets-04, of a backend of many: what hangs is not asked again, and
// holds nothing else up.
func TestBatchThatHangsIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := &many{counted: newCounted(t)}
		for _, path := range []string{"a", "b", "c", "d"} {
			write(t, backend.dir, path, "first")
		}
		store := secrets.NewStore(backend, secrets.Options{})
		a, b := store.Watch(secrets.Reference{Path: "a"}), store.Watch(secrets.Reference{Path: "b"})
		must(t, store.Fetch(t.Context()))
		stuck := make(chan struct{})
		backend.mu.Lock()
		backend.stuck = stuck
		backend.mu.Unlock()
		began := time.Now()
		if err := store.Fetch(t.Context()); !errors.Is(err, secrets.ErrUnavailable) || time.Since(began) != 5*time.Second {
			t.Errorf("%v after %v, want ErrUnavailable after 5s", err, time.Since(began))
		}
		backend.mu.Lock()
		backend.stuck = nil
		backend.mu.Unlock()
		c, d := store.Watch(secrets.Reference{Path: "c"}), store.Watch(secrets.Reference{Path: "d"})
		run(t, store)
		after(30 * time.Minute)
		for _, v := range []*secrets.Value{a, b, c, d} {
			assertValue(t, v, "first")
		}
		if got := backend.stuckArrivals.Load(); got != 1 {
			t.Errorf("%d reads hang", got)
		}
		write(t, backend.dir, "a", "second")
		close(stuck)
		after(5 * time.Second)
		assertValue(t, a, "second")
	})
}

func TestEveryReadIsAnEventWithoutAValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := newCounted(t)
		backend.slow = time.Second
		write(t, backend.dir, "db", `{"user": "`+canary+`", "password": "`+canary+`"}`)
		var events []secrets.Event
		var user *secrets.Value
		store := secrets.NewStore(backend, secrets.Options{Refresh: time.Minute, OnRead: func(e secrets.Event) {
			_ = user.Name()
			_ = user.Version() // holds no lock
			events = append(events, e)
		}})
		user = store.Watch(secrets.Reference{Path: "db", Field: "user"})
		store.Watch(secrets.Reference{Path: "db", Field: "password"})
		began := time.Now()
		must(t, store.Fetch(t.Context()))
		must(t, store.Fetch(t.Context()))
		write(t, backend.dir, "db", `{"user": "`+canary+`"}`)
		_ = store.Fetch(t.Context()) // the event says it
		must(t, os.Remove(filepath.Join(backend.dir, "db")))
		_ = store.Fetch(t.Context())
		backend.outage(t)
		_ = store.Fetch(t.Context())
		want := []secrets.Event{
			{Result: "ok", Version: 1, Changed: true},
			{Result: "ok", Version: 1},
			{Result: "not_found", Version: 2, Changed: true},
			{Result: "not_found", Version: 3, Changed: true},
			{Result: "unavailable", Version: 3},
		}
		for i := range want {
			want[i].Backend, want[i].Path, want[i].Took, want[i].At = "file", "db", time.Second, began.Add(time.Duration(i)*time.Second)
		}
		if !slices.Equal(events, want) {
			t.Errorf("%+v\nwant %+v", events, want)
		}
		assertClean(t, "event", fmt.Sprintf("%+v", events))
	})
}
