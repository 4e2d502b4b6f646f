package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/sallyport/sallyport/internal/token"
)

// Bounds of a [Cache].
const (
	shards         = 16
	maxVerified    = 20_000   // tokens remembered
	maxVerifiedAll = 16 << 20 // bytes of them, as they were sent
	maxVerifiedOne = 4 << 10  // bytes of one that is remembered
)

// Cache remembers tokens whose signature was verified, so that it need not be
// verified again. It saves work and decides nothing: an entry counts only where
// it was made (for the same issuers, and one place), while the issuer's keys are
// those that verified it, and as long as the times in the token allow, which are
// judged each time. What was refused is not remembered, so that a flood of bad
// tokens pushes out no good one.
//
// Entries are found by a keyed hash of the token, under a key that this process
// made for itself: they hold no token, and nobody can aim at one.
type Cache struct {
	users  atomic.Uint64
	macs   sync.Pool // of *keyed
	shards [shards]shard
}

type verifiedKey [sha256.Size]byte

// keyed is a hash with the cache's key, and room for what goes into it.
type keyed struct {
	hash.Hash
	text []byte
}

// verified is a token that was accepted.
type verified struct {
	issuer     *Issuer
	generation uint64 // of the issuer's keys, from before the signature was verified
	claims     *token.Claims
	principal  *Principal
	size       int
}

// shard is a part of the entries, the one used last in front.
type shard struct {
	mu   sync.Mutex
	lru  *simplelru.LRU[verifiedKey, verified]
	size int // bytes of tokens
}

// NewCache returns an empty cache, for the Kinds of one configuration.
func NewCache() (*Cache, error) {
	key := make([]byte, sha256.Size)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("auth: cache key: %w", err)
	}
	c := &Cache{macs: sync.Pool{New: func() any { return &keyed{Hash: hmac.New(sha256.New, key)} }}}
	for i := range c.shards {
		s := &c.shards[i]
		lru, err := simplelru.NewLRU(maxVerified/shards, func(_ verifiedKey, v verified) { s.size -= v.size })
		if err != nil {
			return nil, fmt.Errorf("auth: cache: %w", err)
		}
		s.lru = lru
	}
	return c, nil
}

// user returns a number that no other user of the cache has.
func (c *Cache) user() uint64 { return c.users.Add(1) }

// key is what a token in one place is found by, for one user. Each part says how
// long it is, so that no two lists of parts are one text.
func (c *Cache) key(user uint64, place Place, raw string) verifiedKey {
	mac := c.macs.Get().(*keyed)
	defer c.macs.Put(mac)
	text := binary.BigEndian.AppendUint64(mac.text[:0], user)
	for _, part := range [...]string{string(place.In), place.Name, raw} {
		text = append(binary.BigEndian.AppendUint64(text, uint64(len(part))), part...)
	}
	mac.Reset()
	mac.Write(text)
	sum := verifiedKey(mac.Sum(text[:0]))
	clear(text) // a pool is no place for tokens
	mac.text = text[:0]
	return sum
}

func (c *Cache) shard(key verifiedKey) *shard { return &c.shards[key[0]%shards] }

// get returns the principal of a token that was verified before and would be
// accepted now.
func (c *Cache) get(key verifiedKey) (*Principal, bool) {
	s := c.shard(key)
	s.mu.Lock()
	v, found := s.lru.Get(key)
	s.mu.Unlock()
	if !found {
		return nil, false
	}
	if generation, whole := v.issuer.generation(); !whole || generation != v.generation || v.issuer.checkTimes(v.claims, false) != nil {
		s.mu.Lock()
		s.lru.Remove(key)
		s.mu.Unlock()
		return nil, false
	}
	return v.principal, true
}

// put remembers a token that was accepted.
func (c *Cache) put(key verifiedKey, v verified) {
	if v.size > maxVerifiedOne {
		return
	}
	v.principal.verdicts = new(verdicts)
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lru.Remove(key)
	s.size += v.size
	s.lru.Add(key, v)
	for s.size > maxVerifiedAll/shards {
		s.lru.RemoveOldest()
	}
}

// numbered is a KeySource that numbers the keys it has: another number for other
// keys, and none used twice. It reports false while keys are wanting.
type numbered interface {
	generation() (n uint64, whole bool)
}

// generation numbers the keys the issuer has now. It reports false where nothing
// can be remembered: while keys are not to be had, or a source numbers none.
func (i *Issuer) generation() (n uint64, whole bool) {
	for _, source := range i.keys {
		s, ok := source.(numbered)
		if !ok {
			return 0, false
		}
		one, whole := s.generation()
		if !whole {
			return 0, false
		}
		n += one // each only grows, so that the sum is another whenever one is
	}
	return n, len(i.keys) > 0
}

// verdicts is what policies found of a principal that is remembered.
type verdicts struct{ last atomic.Pointer[verdict] }

type verdict struct {
	by  any
	err error
}

// Verdict returns what by, which must be comparable, found of the principal the
// last time. It is for what depends on by and the principal alone.
func (p *Principal) Verdict(by any) (found error, ok bool) {
	if p.verdicts == nil {
		return nil, false
	}
	v := p.verdicts.last.Load()
	if v == nil || v.by != by {
		return nil, false
	}
	return v.err, true
}

// Remember keeps what by found of the principal, if the principal is remembered.
func (p *Principal) Remember(by any, found error) {
	if p.verdicts != nil {
		p.verdicts.last.Store(&verdict{by, found})
	}
}
