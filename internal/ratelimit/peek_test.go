package ratelimit

import (
	"testing"
	"time"
)

// Peek foretells what Allow says, and takes nothing.
func TestPeekForetellsAndTakesNothing(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	table := NewTable(2, func() time.Time { return now }) // small: buckets are pushed out
	l, err := table.Limiter(Limit{Name: "r", Count: 1, Per: time.Second, Burst: 2})
	if err != nil {
		t.Fatal(err)
	}
	for n, key := range []string{"a", "a", "a", "b", "c", "d", "a", "a", "b"} {
		for range 5 {
			l.Peek(key)
			l.Peek("never asked")
		}
		if n == 6 {
			now = now.Add(time.Second)
		}
		foretold := l.Peek(key)
		if got := l.Allow(key); got != foretold {
			t.Errorf("%d, key %s: Allow said %+v, Peek %+v", n, key, got, foretold)
		}
	}
	if key, s := table.find(l, "never asked"); s.buckets.Contains(key) {
		t.Error("Peek made a bucket")
	}
}

func TestLimitIsToldAsItIsWritten(t *testing.T) {
	t.Parallel()
	for per, want := range map[time.Duration]string{
		time.Second: "10/s, burst 20", time.Minute: "10/1m, burst 20", time.Hour: "10/1h, burst 20",
		90 * time.Minute: "10/1h30m, burst 20", 10 * time.Second: "10/10s, burst 20", 100 * time.Millisecond: "10/100ms, burst 20",
	} {
		l, err := NewTable(1, nil).Limiter(Limit{Name: "r", Count: 10, Per: per, Burst: 20})
		if err != nil || l.String() != want {
			t.Errorf("%v: %v, %v; want %s", per, l, err, want)
		}
	}
}
