package ratelimit

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A clock stands still until it is moved.
type clock struct{ at atomic.Pointer[time.Time] }

func newClock() *clock {
	c := new(clock)
	start := time.Now()
	c.at.Store(&start)
	return c
}

func (c *clock) now() time.Time { return *c.at.Load() }

func (c *clock) move(d time.Duration) {
	at := c.now().Add(d)
	c.at.Store(&at)
}

func newLimiter(t testing.TB, table *Table, l Limit) *Limiter {
	t.Helper()
	limiter, err := table.Limiter(l)
	if err != nil {
		t.Fatal(err)
	}
	return limiter
}

// allowed counts how many of n requests pass.
func allowed(l *Limiter, key string, n int) (passed int) {
	for range n {
		if l.Allow(key).Allowed {
			passed++
		}
	}
	return passed
}

// The case ratelimit-01: N pass, the next does not, and is told when to return.
func TestBurstPassesAndTheNextIsTurnedAway(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]Limit{
		"100/s, burst 200":       {"r", 100, time.Second, 200},
		"6000/1m, burst 6000":    {"r", 6000, time.Minute, 6000},
		"1/1h, burst 1":          {"r", 1, time.Hour, 1},
		"7/3s, burst 3":          {"r", 7, 3 * time.Second, 3},
		"1000000/s, burst 10":    {"r", 1_000_000, time.Second, 10},
		"3/720h, burst 1":        {"r", 3, 720 * time.Hour, 1},
		"1/100ms, burst 1":       {"r", 1, 100 * time.Millisecond, 1},
		"a burst of 10 to the 6": {"r", 1, time.Second, 1_000_000},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			l := newLimiter(t, NewTable(10, c.now), limit)
			if got := allowed(l, "alice", limit.Burst); got != limit.Burst {
				t.Fatalf("%d of the burst of %d passed", got, limit.Burst)
			}
			d := l.Allow("alice")
			if d.Allowed || d.Remaining != 0 || d.RetryAfter <= 0 || d.Reset < d.RetryAfter {
				t.Fatalf("after the burst: %+v", d)
			}
			c.move(d.RetryAfter / 2)
			if l.Allow("alice").Allowed {
				t.Error("passed before the time it was told to wait")
			}
			c.move(d.RetryAfter - d.RetryAfter/2)
			if !l.Allow("alice").Allowed {
				t.Error("turned away after the time it was told to wait")
			}
			c.move(l.Allow("alice").Reset)
			if got := allowed(l, "alice", limit.Burst+1); got != limit.Burst {
				t.Errorf("after the reset %d passed, want the burst of %d", got, limit.Burst)
			}
		})
	}
}

// The case ratelimit-08: a limit of nothing is never "no limit".
func TestLimitsThatAreNotPositiveAreRefused(t *testing.T) {
	t.Parallel()
	table := NewTable(10, nil)
	for name, limit := range map[string]Limit{
		"count zero":                {"r", 0, time.Second, 1},
		"count negative":            {"r", -1, time.Second, 1},
		"period zero":               {"r", 1, 0, 1},
		"period negative":           {"r", 1, -time.Second, 1},
		"burst zero":                {"r", 1, time.Second, 0},
		"burst negative":            {"r", 1, time.Second, -5},
		"burst no header can state": {"r", 1, time.Second, maxInteger + 1},
	} {
		t.Run(name, func(t *testing.T) {
			if l, err := table.Limiter(limit); err == nil || l != nil {
				t.Errorf("Limiter = %v, %v; want an error alone", l, err)
			}
		})
	}
}

// The case ratelimit-09: what is told apart has a bucket of its own.
func TestKeysAndLimitersHaveBucketsOfTheirOwn(t *testing.T) {
	t.Parallel()
	table := NewTable(100, newClock().now)
	orders := newLimiter(t, table, Limit{"orders", 1, time.Hour, 1})
	bills := newLimiter(t, table, Limit{"bills", 1, time.Hour, 1})
	again := newLimiter(t, table, Limit{"orders", 1, time.Hour, 1})

	for _, step := range []struct {
		what    string
		limiter *Limiter
		key     string
		passes  bool
	}{
		{"a first request", orders, "issuer-a/1", true},
		{"the same again", orders, "issuer-a/1", false},
		{"the same subject of another issuer", orders, "issuer-b/1", true},
		{"the same key on another route", bills, "issuer-a/1", true},
		{"the same limit made anew, as by a reload", again, "issuer-a/1", false},
		{"the empty key", orders, "", true},
		{"the empty key again", orders, "", false},
	} {
		if got := step.limiter.Allow(step.key).Allowed; got != step.passes {
			t.Errorf("%s: allowed is %t", step.what, got)
		}
	}
}

func TestLongKeysAreToldApart(t *testing.T) {
	t.Parallel()
	table := NewTable(100, newClock().now)
	l := newLimiter(t, table, Limit{"r", 1, time.Hour, 1})
	long := strings.Repeat("x", 30_000)
	for _, key := range []string{long, long + "y", strings.Repeat("x", 31), strings.Repeat("x", 32)} {
		if got := allowed(l, key, 2); got != 1 {
			t.Errorf("a key of %d bytes passed %d times, want once", len(key), got)
		}
	}
}

func TestDecisionsOfOneBucketAreAtomic(t *testing.T) {
	t.Parallel()
	const burst = 500
	l := newLimiter(t, NewTable(1000, newClock().now), Limit{"r", 1, time.Hour, burst})
	var passed atomic.Int64
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() { passed.Add(int64(allowed(l, "alice", burst))) })
	}
	group.Wait()
	if passed.Load() != burst {
		t.Errorf("%d passed, want %d", passed.Load(), burst)
	}
}

// Requests read the clock in one order and decide in another; wall clocks jump.
func TestClockThatGoesBackMakesNoTokens(t *testing.T) {
	t.Parallel()
	c := newClock()
	l := newLimiter(t, NewTable(10, c.now), Limit{"r", 1, time.Second, 2})
	passed := 0
	for range 1000 {
		passed += allowed(l, "alice", 1)
		c.move(time.Second)
		passed += allowed(l, "alice", 1)
		c.move(-time.Second)
	}
	if passed != 3 { // the burst, and the one second that passed
		t.Errorf("%d passed, want 3", passed)
	}
}

func TestBucketsFillWithTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, NewTable(10, time.Now), Limit{"r", 10, time.Second, 5})
		allowed(l, "alice", 5)
		time.Sleep(299 * time.Millisecond)
		if got := allowed(l, "alice", 5); got != 2 {
			t.Errorf("%d passed after 299ms at 10/s, want 2", got)
		}
	})
}

func TestHeadersRoundUp(t *testing.T) {
	t.Parallel()
	table := NewTable(10, nil)
	l := newLimiter(t, table, Limit{"orders", 6000, time.Minute, 200})
	if got, want := l.Policy(), `"orders";q=200;w=60`; got != want {
		t.Errorf("Policy() = %s, want %s", got, want)
	}
	for _, tt := range []struct {
		d                  Decision
		header, retryAfter string
	}{
		{Decision{Allowed: true, Remaining: 199, Reset: time.Nanosecond}, `"orders";r=199;t=1`, "1"},
		{Decision{Remaining: 0, RetryAfter: 10 * time.Millisecond, Reset: 2 * time.Second}, `"orders";r=0;t=2`, "1"},
		{Decision{RetryAfter: 2*time.Second + 1, Reset: 90*time.Second + 1}, `"orders";r=0;t=91`, "3"},
		{Decision{Remaining: 200}, `"orders";r=200;t=0`, "1"},
	} {
		if got := tt.d.Header(l); got != tt.header {
			t.Errorf("%+v: Header() = %s, want %s", tt.d, got, tt.header)
		}
		if got := tt.d.RetryAfterHeader(); got != tt.retryAfter {
			t.Errorf("%+v: RetryAfterHeader() = %s, want %s", tt.d, got, tt.retryAfter)
		}
	}
}

func TestPolicyStatesTheRatesOwnUnit(t *testing.T) {
	t.Parallel()
	for want, limit := range map[string]Limit{
		`"a";q=200;w=1`:               {"a", 100, time.Second, 200},
		`"a";q=1;w=3600`:              {"a", 5, time.Hour, 1},
		`"a";q=3;w=1`:                 {"a", 5, 100 * time.Millisecond, 3},
		`"say \"hi\"\\";q=1;w=1`:      {`say "hi"\`, 1, time.Second, 1},
		`"a%0D%0AX: 1%C3%A9";q=1;w=1`: {"a\r\nX: 1é", 1, time.Second, 1},
	} {
		if got := newLimiter(t, NewTable(1, nil), limit).Policy(); got != want {
			t.Errorf("Policy() = %s, want %s", got, want)
		}
	}
}

func FuzzLimiterKey(f *testing.F) {
	f.Add("alice", "bob")
	f.Add("", "\x00")
	f.Add("203.0.113.9", "2001:db8::/64")
	f.Add(strings.Repeat("k", 64), strings.Repeat("k", 65))
	f.Add("issuer-a\x00sub", "issuer-a\x00sub ")
	f.Add("\xff\xfe", "é")
	f.Fuzz(func(t *testing.T, a, b string) {
		c := newClock()
		table := NewTable(4, c.now)
		l := newLimiter(t, table, Limit{"r", 1, time.Minute, 2})
		if got := allowed(l, a, 3); got != 2 {
			t.Fatalf("%q passed %d times, want 2", a, got)
		}
		if got, want := l.Allow(b).Allowed, a != b; got != want {
			t.Fatalf("after %q was spent, %q passes is %t, want %t", a, b, got, want)
		}
		for _, key := range []string{a + "1", a + "2", a + "3", b + "4", b + "5"} { // pushes a and b out
			l.Allow(key)
		}
		if l.Allow(a).Allowed {
			t.Fatalf("%q passes once it was pushed out", a)
		}
		if got := table.shards[0].buckets.Len(); got > 4 {
			t.Fatalf("%d buckets in a table of 4", got)
		}
	})
}
