package ratelimit

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"
)

// buckets counts what a table holds.
func (t *Table) count() (n int) {
	for i := range t.shards {
		n += t.shards[i].buckets.Len()
	}
	return n
}

func TestTableHoldsNoMoreThanMaxKeys(t *testing.T) {
	t.Parallel()
	for _, maxKeys := range []int{1, 2, 63, 64, 127, 128, 129, 1000, 10_000} {
		table := NewTable(maxKeys, newClock().now)
		l := newLimiter(t, table, Limit{"r", 1, time.Second, 1})
		for i := range 3 * maxKeys {
			l.Allow(strconv.Itoa(i))
		}
		if n := table.count(); n > maxKeys || n < maxKeys*9/10 {
			t.Errorf("%d buckets in a table of %d", n, maxKeys)
		}
	}
}

// The case ratelimit-03.
func TestMillionKeysFitIn64MiB(t *testing.T) {
	before := heap()
	table := NewTable(0, nil)
	l := newLimiter(t, table, Limit{"r", 1, time.Hour, 10})
	long := strings.Repeat("k", 1000)
	for i := range 1_000_000 {
		l.Allow(strconv.Itoa(i) + long)
	}
	if got := heap() - before; got > 64<<20 {
		t.Errorf("1 000 000 keys take %d MiB", got>>20)
	} else {
		t.Logf("1 000 000 keys take %d MiB", got>>20)
	}
	if n := table.count(); n > defaultKeys {
		t.Errorf("%d buckets in a table of %d", n, defaultKeys)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// The memory row of the threat model: a bounded table that does not refill a
// bucket on eviction.
func TestEvictionDoesNotRefillABucket(t *testing.T) {
	t.Parallel()
	c := newClock()
	table := NewTable(1000, c.now)
	l := newLimiter(t, table, Limit{"r", 1, time.Minute, 5})
	flood := 0
	pushOut := func() {
		for range 10_000 {
			l.Allow("flood " + strconv.Itoa(flood))
			flood++
		}
	}
	if got := allowed(l, "victim", 9); got != 5 {
		t.Fatalf("%d passed, want the burst of 5", got)
	}
	for round := range 3 {
		pushOut()
		if got := allowed(l, "victim", 9); got != 0 {
			t.Fatalf("round %d: %d more passed after eviction", round, got)
		}
	}
	c.move(90 * time.Second) // one and a half tokens
	if got := allowed(l, "victim", 9); got != 1 {
		t.Errorf("%d passed after 90 s at 1/m, want 1", got)
	}
	pushOut()
	c.move(30 * time.Second) // the other half
	if got := allowed(l, "victim", 9); got != 1 {
		t.Errorf("%d passed after 30 s more, want 1", got)
	}
	c.move(5 * time.Minute)
	if got := allowed(l, "newcomer", 9); got != 5 {
		t.Errorf("once all debts are paid %d of a newcomer's burst passed, want 5", got)
	}
}

// Whatever is pushed out when, no key gets more than its burst and its rate.
func TestNoKeyGetsMoreThanItsLimit(t *testing.T) {
	t.Parallel()
	c := newClock()
	table := NewTable(3, c.now)
	limits := []*Limiter{
		newLimiter(t, table, Limit{"a", 10, time.Second, 4}),
		newLimiter(t, table, Limit{"b", 1, time.Second, 7}),
	}
	passed := make(map[string]float64)
	random := rand.New(rand.NewPCG(1, 2))
	start := c.now()
	for range 50_000 {
		l, key := limits[random.IntN(2)], strconv.Itoa(random.IntN(8))
		if l.Allow(key).Allowed {
			passed[l.item+key]++
		}
		most := float64(l.burst) + c.now().Sub(start).Seconds()*float64(l.rate) + 0.001
		if passed[l.item+key] > most {
			t.Fatalf("%s %s passed %.0f times, at most %.1f are due", l.item, key, passed[l.item+key], most)
		}
		c.move(time.Duration(random.IntN(5)) * time.Millisecond)
	}
}

// The fast lane hands over strings that lie in a buffer it fills again.
func TestKeyIsNotKept(t *testing.T) {
	t.Parallel()
	l := newLimiter(t, NewTable(10, newClock().now), Limit{"r", 1, time.Hour, 1})
	buffer := []byte("alice")
	l.Allow(unsafe.String(&buffer[0], len(buffer)))
	copy(buffer, "XXXXX")
	if l.Allow("alice").Allowed {
		t.Error("the bucket of alice is lost")
	}
	if !l.Allow("XXXXX").Allowed {
		t.Error("the bucket of alice was taken for another's")
	}
}

func TestKnownKeyCostsNoAllocation(t *testing.T) {
	l := newLimiter(t, NewTable(1000, nil), Limit{"r", 1, time.Second, 1})
	for _, key := range []string{"alice", strings.Repeat("long ", 100)} {
		if got := testing.AllocsPerRun(1000, func() { l.Allow(key) }); got > 0 {
			t.Errorf("a key of %d bytes: %g allocations", len(key), got)
		}
	}
}

func BenchmarkAllow(b *testing.B) {
	keys := make([]string, 1000)
	for i := range keys {
		keys[i] = fmt.Sprintf("https://idp.example.com/|subject-%04d", i)
	}
	for name, pick := range map[string]func(i int) string{
		"one key":       func(int) string { return keys[0] },
		"thousand keys": func(i int) string { return keys[i%len(keys)] },
		"only new keys": func(i int) string { return strconv.Itoa(i) },
	} {
		b.Run(name, func(b *testing.B) {
			l := newLimiter(b, NewTable(0, nil), Limit{"r", 100, time.Second, 200})
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := rand.IntN(1 << 30); pb.Next(); i++ {
					l.Allow(pick(i))
				}
			})
		})
	}
}

// Many keys of a slow limit leave debts; they are not those of another limit.
func TestDebtsOfOneLimiterAreNotAnothers(t *testing.T) {
	t.Parallel()
	table := NewTable(1000, nil)
	slow, err := table.Limiter(Limit{Name: "slow", Count: 1, Per: time.Hour, Burst: 1})
	if err != nil {
		t.Fatal(err)
	}
	other, err := table.Limiter(Limit{Name: "other", Count: 5, Per: time.Minute, Burst: 5})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50_000 {
		slow.Allow(strconv.Itoa(i))
	}
	for i := range 500 {
		if d := other.Allow("newcomer " + strconv.Itoa(i)); !d.Allowed || d.Remaining != 4 {
			t.Fatalf("newcomer %d of another limit: %+v", i, d)
		}
	}
	if d := slow.Allow("0"); d.Allowed {
		t.Error("an evicted bucket was refilled")
	}
}

// Reloads make new limiters; the debts of those that are gone go too, once paid.
func TestDebtsOfLimitersThatAreGoneAreDropped(t *testing.T) {
	t.Parallel()
	clock := newClock()
	table := NewTable(8, clock.now)
	for i := range 10_000 {
		l := newLimiter(t, table, Limit{strconv.Itoa(i), 1, time.Second, 1})
		for k := range 20 {
			l.Allow(strconv.Itoa(k))
		}
		clock.move(time.Second)
	}
	for i := range table.shards {
		if n := len(table.shards[i].debts); n > 200 {
			t.Errorf("debts of %d limiters are held", n)
		}
	}
}
