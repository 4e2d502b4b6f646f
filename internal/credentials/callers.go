package credentials

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// callers keeps what was exchanged, by caller. The one not seen for longest makes
// room for a new one.
type callers struct {
	secret [sha256.Size]byte // of the hash

	mu   sync.Mutex
	last uint64 // number of what was put last
	kept *simplelru.LRU[hash, *exchanged]
}

// A hash tells callers apart without keeping their tokens.
type hash [sha256.Size]byte

// exchanged is what one caller's exchange came to. It is not changed once it is
// kept, only replaced.
type exchanged struct {
	lease
	number  uint64    // grows with each that is put
	renew   time.Time // after that it is exchanged anew, in the background
	counted time.Time // when a renewal of it was last begun; see Refresh
	refused error     // instead of a value: the endpoint's refusal, remembered until the lease's end
}

func newCallers(most int) *callers {
	c := new(callers)
	_, _ = rand.Read(c.secret[:]) // never fails (crypto/rand)
	c.kept, _ = simplelru.NewLRU[hash, *exchanged](most, nil)
	return c
}

func (c *callers) key(caller Caller) (key hash) {
	mac := hmac.New(sha256.New, c.secret[:])
	mac.Write([]byte(caller.Token.Reveal()))
	mac.Sum(key[:0])
	return key
}

// get returns what is kept for a caller and still good, nil if nothing is; and
// whether it is due to be renewed, which it tells one caller of, and no other for
// a while. seen is the number of what is there, good or not.
func (c *callers) get(key hash, now time.Time) (kept *exchanged, due bool, seen uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept, _ = c.kept.Get(key)
	if kept != nil {
		seen = kept.number
	}
	if kept == nil || !kept.good(now) {
		return nil, false, seen
	}
	if kept.refused == nil && !now.Before(kept.renew) {
		c.kept.Add(key, kept.renewedAt(now))
		due = true
	}
	return kept, due, seen
}

// newer returns what has been kept for a caller since seen was, if it is good.
func (c *callers) newer(key hash, seen uint64, now time.Time) *exchanged {
	c.mu.Lock()
	defer c.mu.Unlock()
	if kept, _ := c.kept.Get(key); kept != nil && kept.number > seen && kept.good(now) {
		return kept
	}
	return nil
}

// demand reports whether what is kept for a caller may be renewed now, and counts
// that. seen is the number of what is there.
func (c *callers) demand(key hash, now time.Time) (seen uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept, _ := c.kept.Get(key)
	switch {
	case kept == nil:
		return 0, true
	case !kept.good(now):
		return kept.number, true
	case kept.refused != nil || !kept.counted.IsZero() && now.Sub(kept.counted) < refreshPause:
		return 0, false
	}
	c.kept.Add(key, kept.renewedAt(now))
	return kept.number, true
}

func (e *exchanged) renewedAt(now time.Time) *exchanged {
	next := *e
	next.counted, next.renew = now, now.Add(refreshPause)
	return &next
}

// put keeps what an exchange came to. A refusal takes no good value away.
func (c *callers) put(key hash, fresh *exchanged) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, _ := c.kept.Get(key); old != nil {
		if fresh.refused != nil && old.refused == nil && old.until.After(fresh.until.Add(-refusedFor)) {
			return
		}
		fresh.counted = old.counted
	}
	c.last++
	fresh.number = c.last
	c.kept.Add(key, fresh)
}

// forget drops all that is kept.
func (c *callers) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept.Purge()
}
