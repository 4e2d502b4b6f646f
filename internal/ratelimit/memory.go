package ratelimit

import (
	"hash/maphash"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
)

const (
	defaultKeys   = 100_000
	maxShards     = 64  // locks; a power of two
	keysPerShard  = 64  // a table too small for this many has fewer shards
	slotsPerShard = 128 // debts remembered of each limiter, 8 bytes each; a power of two
)

// A Table holds the buckets of all limiters, a bounded number of them.
type Table struct {
	now    func() time.Time
	base   time.Time
	seeds  [2]maphash.Seed // of this table: callers cannot aim at a bucket or a slot
	shards []shard
}

// A shard is the part of a table under one lock.
type shard struct {
	mu      sync.Mutex
	now     time.Time // of the decision being made; never goes back
	buckets *simplelru.LRU[bucketKey, bucket]
	debts   map[bucketKey]*debts // by limiter; none before a bucket of it was evicted
	sweepAt int                  // debts are looked through when there are as many
}

// A bucket knows whose it is.
type bucket struct {
	*rate.Limiter
	owner *Limiter
}

// debts are when the last of a slot's evicted buckets is full again, since base.
// Each limiter has its own, so that many keys of a slow limit say nothing of the
// keys of another.
type debts [slotsPerShard]time.Duration

// A bucketKey names a bucket: two keyed hashes, independent of each other, of
// the caller's key and the limiter. Should two keys ever meet in all 128 bits,
// they share one bucket, which is stricter than two.
type bucketKey [2]uint64

// NewTable returns a table of at most maxKeys buckets, 100 000 if maxKeys is not
// positive; there is no table without a bound. A nil now means time.Now.
func NewTable(maxKeys int, now func() time.Time) *Table {
	if maxKeys <= 0 {
		maxKeys = defaultKeys
	}
	if now == nil {
		now = time.Now
	}
	shards := 1
	for shards < maxShards && maxKeys/(2*shards) >= keysPerShard {
		shards *= 2
	}
	t := &Table{now: now, base: now(), seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, shards: make([]shard, shards)}
	for i := range t.shards {
		s := &t.shards[i]
		s.now, s.debts = t.base, make(map[bucketKey]*debts)
		// The only error of NewLRU is a size below one.
		s.buckets, _ = simplelru.NewLRU(maxKeys/shards, t.remember(s))
	}
	return t
}

// take makes one decision. The shard's lock covers it whole: the clock is read
// under it and never goes back, because rate.Limiter makes up tokens when it is
// asked about an earlier time after a later one (golang/go#56287).
func (t *Table) take(l *Limiter, text string) Decision {
	key, s := t.find(l, text)
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := t.now(); now.After(s.now) {
		s.now = now
	}
	b, ok := s.buckets.Get(key)
	if !ok {
		b = bucket{t.open(s, l, key), l}
		s.buckets.Add(key, b)
	}
	allowed := b.AllowN(s.now, 1)
	return l.decision(allowed, b.TokensAt(s.now))
}

// find returns the bucket's name, and the shard it is in.
func (t *Table) find(l *Limiter, text string) (bucketKey, *shard) {
	key := bucketKey{maphash.String(t.seeds[0], text) ^ l.id[0], maphash.String(t.seeds[1], text) ^ l.id[1]}
	return key, &t.shards[key[0]&uint64(len(t.shards)-1)]
}

// peek is take without taking: no bucket is made, emptied or found more recently
// used.
func (t *Table) peek(l *Limiter, text string) Decision {
	key, s := t.find(l, text)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := t.now()
	if now.Before(s.now) {
		now = s.now
	}
	b, ok := s.buckets.Peek(key)
	if !ok {
		b = bucket{t.open(s, l, key), l}
	}
	tokens := b.TokensAt(now)
	allowed := tokens >= 1
	if allowed {
		tokens--
	}
	return l.decision(allowed, tokens)
}

// open returns a bucket that is full but for the debt in its slot.
func (t *Table) open(s *shard, l *Limiter, key bucketKey) *rate.Limiter {
	fresh := rate.NewLimiter(l.rate, l.burst)
	owed := s.debts[l.id]
	if owed == nil {
		return fresh
	}
	full := t.base.Add(owed[slot(key)])
	if !full.After(s.now) {
		return fresh
	}
	// Emptied just so long ago that it is full when the debt is paid.
	empty := full.Add(-l.wait(float64(l.burst)))
	if empty.After(s.now) {
		empty = s.now
	}
	fresh.AllowN(empty, l.burst)
	return fresh
}

// remember returns what keeps the debt of each bucket that s evicts.
func (t *Table) remember(s *shard) simplelru.EvictCallback[bucketKey, bucket] {
	return func(key bucketKey, b bucket) {
		missing := float64(b.Burst()) - b.TokensAt(s.now)
		if missing <= 0 {
			return
		}
		full := s.now.Add(duration(missing / float64(b.Limit()))).Sub(t.base)
		owed := s.debts[b.owner.id]
		if owed == nil {
			if len(s.debts) >= s.sweepAt {
				s.sweep(t.base)
			}
			owed = new(debts)
			s.debts[b.owner.id] = owed
		}
		owed[slot(key)] = max(owed[slot(key)], full)
	}
}

// sweep drops the debts of limiters that are owed nothing any more: a reload may
// have taken the limiter away. It is due again when there are twice as many.
func (s *shard) sweep(base time.Time) {
	now := s.now.Sub(base)
	for id, owed := range s.debts {
		if !slices.ContainsFunc(owed[:], func(full time.Duration) bool { return full > now }) {
			delete(s.debts, id)
		}
	}
	s.sweepAt = max(2*len(s.debts), 64)
}

// slot is where key's debt is kept; the half of it that did not choose the shard
// chooses.
func slot(key bucketKey) uint64 { return key[1] & (slotsPerShard - 1) }

func (l *Limiter) decision(allowed bool, tokens float64) Decision {
	tokens = max(tokens, 0)
	return Decision{
		Allowed:    allowed,
		Remaining:  int(tokens),
		RetryAfter: l.wait(1 - tokens),
		Reset:      l.wait(float64(l.burst) - tokens),
	}
}

// wait is how long n tokens take to come.
func (l *Limiter) wait(n float64) time.Duration { return duration(max(n, 0) / float64(l.rate)) }

// duration rounds up to the nanosecond and stops short of overflow, with room to
// be added to a time.
func duration(seconds float64) time.Duration {
	return time.Duration(min(math.Ceil(seconds*float64(time.Second)), math.MaxInt64/4))
}
