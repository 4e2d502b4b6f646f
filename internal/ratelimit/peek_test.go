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
