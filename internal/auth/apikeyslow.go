package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"

	"github.com/sallyport/sallyport/internal/crypto"
)

// maxVerdicts bounds what is remembered of each kind: keys that fit their hash,
// and keys that do not. The two are kept apart, so that no flood of wrong keys
// pushes a right one out.
const maxVerdicts = 10_000

// slowKeys tells whether a key is the one of a password hash. Each answer is
// computed once: it never changes, since the hash is a part of the question.
type slowKeys struct {
	workers    *crypto.Workers
	secret     [sha256.Size]byte // of this process: what is remembered is of no use elsewhere
	right      *lru.Cache[question, struct{}]
	wrong      *lru.Cache[question, struct{}]
	computing  singleflight.Group
	onComputed func() // for tests
}

// question is a keyed digest of a hash and a key.
type question [sha256.Size]byte

func newSlowKeys(workers *crypto.Workers) *slowKeys {
	if workers == nil {
		workers = crypto.NewWorkers(0)
	}
	s := &slowKeys{workers: workers, onComputed: func() {}}
	_, _ = rand.Read(s.secret[:]) // never fails
	// The only error of New is a size below one.
	s.right, _ = lru.New[question, struct{}](maxVerdicts)
	s.wrong, _ = lru.New[question, struct{}](maxVerdicts)
	return s
}

// known reports whether key has been found to be the one that was hashed.
func (s *slowKeys) known(hash *crypto.PasswordHash, key string) bool {
	return s.right.Contains(s.ask(hash, key))
}

// matches reports whether key is the one that was hashed. The error is a
// [crypto.ErrBusy] where its turn did not come.
func (s *slowKeys) matches(hash *crypto.PasswordHash, key string) (bool, error) {
	q := s.ask(hash, key)
	if _, known := s.right.Get(q); known {
		return true, nil
	}
	if _, known := s.wrong.Get(q); known {
		return false, nil
	}
	verdict, err, _ := s.computing.Do(string(q[:]), func() (any, error) { return s.compute(hash, key, q) })
	if err != nil {
		return false, err
	}
	return verdict.(bool), nil
}

// compute is asked on behalf of all who present the key now, so that the leaving
// of one must not end it.
func (s *slowKeys) compute(hash *crypto.PasswordHash, key string, q question) (is bool, err error) {
	if busy := s.workers.Do(context.Background(), func() { is, err = hash.Verify(key) }); busy != nil {
		return false, busy
	}
	s.onComputed()
	if is {
		s.right.Add(q, struct{}{})
	} else {
		s.wrong.Add(q, struct{}{}) // one that cannot be hashed too
	}
	return is, nil
}

func (s *slowKeys) ask(hash *crypto.PasswordHash, key string) (q question) {
	text := hash.Text()
	mac := hmac.New(sha256.New, s.secret[:])
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(text))))
	mac.Write([]byte(text))
	mac.Write([]byte(key))
	mac.Sum(q[:0])
	return q
}
