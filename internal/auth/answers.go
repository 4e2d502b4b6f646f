package auth

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/sallyport/sallyport/internal/token"
)

const (
	maxAnswers    = 10_000  // answers remembered of each kind, for one issuer
	maxRemembered = 8 << 10 // bytes of an answer that is remembered
)

// answerKey is a keyed hash of a token.
type answerKey [sha256.Size]byte

// answer is what an issuer said of a token; nil claims for not active.
type answer struct {
	claims *token.Claims
	until  time.Time
}

// answers are those an issuer gave, a bounded number of each kind: the one that
// was not asked for the longest time makes room.
type answers struct {
	mu      *sync.Mutex
	yes, no *simplelru.LRU[answerKey, answer]
}

func newAnswers() answers {
	yes, _ := simplelru.NewLRU[answerKey, answer](maxAnswers, nil) // errs on a size below 1 only
	no, _ := simplelru.NewLRU[answerKey, answer](maxAnswers, nil)
	return answers{new(sync.Mutex), yes, no}
}

// get returns what is known of a token. What is too old is forgotten.
func (a answers) get(key answerKey, now time.Time) (claims *token.Claims, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, kind := range []*simplelru.LRU[answerKey, answer]{a.yes, a.no} {
		if found, ok := kind.Get(key); ok {
			if now.Before(found.until) {
				return found.claims, true
			}
			kind.Remove(key)
		}
	}
	return nil, false
}

// put remembers an answer in the place of what was known.
func (a answers) put(key answerKey, claims *token.Claims, until time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.yes.Remove(key)
	a.no.Remove(key)
	if claims == nil {
		a.no.Add(key, answer{until: until})
		return
	}
	a.yes.Add(key, answer{claims, until})
}
