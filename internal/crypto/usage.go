package crypto

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"
)

// The bound on encryptions with one AES-256-GCM key: with 2^32 random nonces of
// 96 bits the odds of a repeated one reach 2^-32 (NIST SP 800-38D, section 8.3).
const (
	NonceBound   = 1 << 32
	NonceWarning = 1 << 31
)

// Usage counts what keys were used for, by key: a keyring that is read again,
// or moved to another version number, goes on counting where it was. It counts
// for one process, from its start.
type Usage struct {
	mu   sync.Mutex
	keys map[[sha256.Size]byte]*counters
}

// NewUsage returns a Usage that has counted nothing.
func NewUsage() *Usage { return &Usage{keys: make(map[[sha256.Size]byte]*counters)} }

type counters struct {
	sealed, opened atomic.Uint64
	seen           atomic.Int64 // when a key was last used, Unix nanoseconds; 0: never
}

// of returns the counters of a key, the same ones each time. There are as many
// as there were keys, which operators make by hand.
func (u *Usage) of(t Type, key []byte) *counters {
	if u == nil {
		return new(counters)
	}
	id := sha256.Sum256(append([]byte(t+"\x00"), key...))
	u.mu.Lock()
	defer u.mu.Unlock()
	c := u.keys[id]
	if c == nil {
		c = new(counters)
		u.keys[id] = c
	}
	return c
}

func (c *counters) used(now time.Time) { c.seen.Store(now.UnixNano()) }

// VersionStatus is how a version of a keyring stands. It tells nothing of its
// key.
type VersionStatus struct {
	Version  int       `json:"version"`
	Primary  bool      `json:"primary"`
	Retired  bool      `json:"retired"`
	Created  time.Time `json:"created,omitzero"`
	Sealed   uint64    `json:"encryptions"` // by this process
	Opened   uint64    `json:"decryptions"`
	LastSeen time.Time `json:"last_seen,omitzero"`
}
