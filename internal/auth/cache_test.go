package auth

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/internal/secrets"
	"github.com/sallyport/sallyport/internal/token"
)

func newCache(t testing.TB) *Cache {
	t.Helper()
	c, err := NewCache()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *Cache) len() (entries, bytes int) {
	for i := range c.shards {
		c.shards[i].mu.Lock()
		entries, bytes = entries+c.shards[i].lru.Len(), bytes+c.shards[i].size
		c.shards[i].mu.Unlock()
	}
	return entries, bytes
}

// counting is a source whose look-ups are counted, which is to say the
// signatures verified.
type counting struct {
	mu      sync.Mutex
	keys    []token.Key
	n       uint64
	whole   bool
	lookups atomic.Int64
}

func (s *counting) Lookup(kid, alg string) (found []token.Key, err error) {
	s.lookups.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.whole {
		return nil, ErrUnavailable
	}
	for _, key := range s.keys {
		if isCandidate(key, kid, alg) {
			found = append(found, key)
		}
	}
	return found, nil
}

func (s *counting) generation() (uint64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n, s.whole
}

func (s *counting) set(whole bool, keys ...token.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys, s.whole, s.n = keys, whole, s.n+1
}

func countedKeys(t testing.TB) *counting {
	t.Helper()
	keys, _, err := token.ParseKeys([]byte(testSecret), token.KeyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return &counting{keys: keys, n: 1, whole: true}
}

// caching is a route with a cache, which takes the tokens of these issuers.
func caching(c *Cache, issuers ...*Issuer) *Authenticator {
	return NewAuthenticator(CachedTokens(c, issuers...))
}

func good(t testing.TB, changes map[string]any) fields {
	t.Helper()
	return bearerOf(sign(t, signer(t, []byte(testSecret), "HS256", ""), claims(changes)))
}

func TestHitTakesNoSignatureWork(t *testing.T) {
	t.Parallel()
	source := countedKeys(t)
	a := caching(newCache(t), newIssuer(t, IssuerOptions{Keys: []KeySource{source}}))
	alice := good(t, map[string]any{"scope": "b a", "level": 7})
	var first *Principal
	for range 100 {
		p, err := a.Authenticate(t.Context(), alice)
		if err != nil || p.Subject != "alice" || strings.Join(p.Scopes, " ") != "a b" || fmt.Sprint(p.Claims["level"]) != "7" {
			t.Fatalf("%+v, %v", p, err)
		}
		if first == nil {
			first = p
		} else if p != first {
			t.Fatal("another principal for the same token")
		}
	}
	if n := source.lookups.Load(); n != 1 {
		t.Errorf("keys were asked for %d times, want once", n)
	}
	if _, err := a.Authenticate(Explaining(t.Context()), alice); err != nil || source.lookups.Load() != 2 {
		t.Errorf("an explanation is answered from memory: %v", err)
	}
}

// A cached token that reaches exp is refused as any other (cache-01).
func TestCache01TokenThatExpiresIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := countedKeys(t)
		a := caching(newCache(t), newIssuer(t, IssuerOptions{Keys: []KeySource{source}, Leeway: 30 * time.Second}))
		alice := good(t, map[string]any{"exp": time.Now().Add(time.Minute).Unix()})
		for range 89 {
			if _, err := a.Authenticate(t.Context(), alice); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(time.Second) // exp + leeway
		_, err := a.Authenticate(t.Context(), alice)
		wantReason(t, err, "expired")
		if n := source.lookups.Load(); n != 2 {
			t.Errorf("keys were asked for %d times, want 2", n)
		}
	})
}

// The clock may be put back: a token of the future is one, remembered or not.
func TestCacheJudgesNotBeforeEachTime(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a := caching(newCache(t), newIssuer(t, IssuerOptions{Now: func() time.Time { return now }}))
	alice := good(t, map[string]any{"nbf": now.Unix()})
	if _, err := a.Authenticate(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	now = now.Add(-time.Hour)
	_, err := a.Authenticate(t.Context(), alice)
	wantReason(t, err, "not_yet_valid")
}

// One route's entry is not another's: each asks its own issuers (cache-02; THREATS,
// decision cache).
func TestCache02EachRouteAsksItsOwnIssuers(t *testing.T) {
	t.Parallel()
	cache := newCache(t)
	ours := newIssuer(t, IssuerOptions{})
	narrow := newIssuer(t, IssuerOptions{Name: "narrow", Audiences: []string{"billing-api"}})
	typed := newIssuer(t, IssuerOptions{Name: "typed", TokenTypes: []string{"at+jwt"}})
	other := newIssuer(t, IssuerOptions{Name: "other", Issuer: "https://other.example.com/"})
	cookie := newIssuer(t, IssuerOptions{Name: "cookie", From: []Place{{InCookie, "session"}}})
	alice := good(t, nil)
	for range 3 {
		if _, err := caching(cache, ours).Authenticate(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
		for issuer, reason := range map[*Issuer]string{narrow: "audience", typed: "type", other: "issuer", cookie: "no_token"} {
			_, err := caching(cache, issuer).Authenticate(t.Context(), alice)
			wantReason(t, err, reason)
		}
	}
}

// Parts of keys cannot be joined to those of another (cache-02).
func TestCacheKeysHaveSeparateParts(t *testing.T) {
	t.Parallel()
	c := newCache(t)
	seen := make(map[verifiedKey]string)
	for _, user := range []uint64{1, 256, 1 << 56} {
		for _, place := range []Place{{InHeader, "ab"}, {InHeader, "a"}, {InHeader, ""}, {InCookie, "a"}, {In("headera"), "b"}, {In("header"), "ab\x00"}} {
			for _, raw := range []string{"", "b", "bc", "\x00b", "ab"} {
				what := fmt.Sprintf("%d %q %q", user, place, raw)
				if other, twice := seen[c.key(user, place, raw)]; twice {
					t.Errorf("%s and %s have one key", what, other)
				}
				seen[c.key(user, place, raw)] = what
			}
		}
	}
	own, again, others := c.key(1, Authorization, "x"), c.key(1, Authorization, "x"), newCache(t).key(1, Authorization, "x")
	if own != again || own == others {
		t.Error("a key is not of this cache's own secret")
	}
}

// A key that goes takes what it verified with it (cache-03).
func TestCache03KeyThatGoesTakesItsTokensWithIt(t *testing.T) {
	t.Parallel()
	source := countedKeys(t)
	keys := source.keys
	a := caching(newCache(t), newIssuer(t, IssuerOptions{Keys: []KeySource{source}}))
	alice := good(t, nil)
	other, _, err := token.ParseKeys([]byte(strings.ToUpper(testSecret)), token.KeyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for what, step := range map[string]struct {
		whole  bool
		keys   []token.Key
		reason string
	}{"removed": {true, nil, "unknown_key"}, "replaced": {true, other, "signature"}, "not to be had": {false, nil, "keys_unavailable"}} {
		source.set(true, keys...)
		if _, err := a.Authenticate(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
		source.set(step.whole, step.keys...)
		_, err := a.Authenticate(t.Context(), alice)
		t.Log(what)
		wantReason(t, err, step.reason)
	}
}

// The same with a published key set, fetched from a server that rotates.
func TestCache03PublishedKeyThatGoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		old := signer(t, privatePEM(t, newECKey(t)), "", "one")
		next := signer(t, privatePEM(t, newECKey(t)), "", "two")
		server, client := startIDP(t, serve(setOf(t, jwk(t, old, nil), jwk(t, next, nil))))
		k, err := NewKeySet(KeySetOptions{Issuer: "corp", URL: "http://idp/jwks", Client: client, Refresh: time.Minute, MaxStale: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		fetch := func() {
			if err := k.Fetch(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		fetch()
		cache := newCache(t)
		a := caching(cache, newIssuer(t, IssuerOptions{Keys: []KeySource{k}}))
		alice := bearerOf(sign(t, old, claims(map[string]any{"exp": time.Now().Add(24 * time.Hour).Unix()})))
		bob := bearerOf(sign(t, next, claims(map[string]any{"sub": "bob", "exp": time.Now().Add(24 * time.Hour).Unix()})))
		both := func() {
			for _, caller := range []fields{alice, bob} {
				if _, err := a.Authenticate(t.Context(), caller); err != nil {
					t.Fatal(err)
				}
			}
		}
		both()
		n, _ := k.generation()
		time.Sleep(time.Minute)
		if fetch(); func() uint64 { n, _ := k.generation(); return n }() != n {
			t.Error("the same keys have another number")
		}
		server.set(serve(setOf(t, jwk(t, next, nil))))
		fetch()
		_, err = a.Authenticate(t.Context(), alice)
		wantReason(t, err, "unknown_key")
		if _, err = a.Authenticate(t.Context(), bob); err != nil {
			t.Errorf("a key that stays: %v", err)
		}
		server.set(fail(http.StatusInternalServerError))
		time.Sleep(time.Hour + time.Second) // too old
		_, err = a.Authenticate(t.Context(), bob)
		wantReason(t, err, "keys_unavailable")
	})
}

// The same with a key in the secret store, which becomes another one.
func TestCache03StoredKeyThatChanges(t *testing.T) {
	t.Parallel()
	value := newStored(t, testSecret)
	a := caching(newCache(t), newIssuer(t, IssuerOptions{Keys: []KeySource{static(t, StaticKey{Algorithm: "HS256", Value: value.of})}}))
	alice := good(t, nil)
	for range 2 {
		if _, err := a.Authenticate(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
	}
	value.put(strings.ToUpper(testSecret))
	_, err := a.Authenticate(t.Context(), alice)
	wantReason(t, err, "signature")
}

// A million tokens that are none: nothing of them is kept, and who is known stays
// known (cache-04).
func TestCache04FloodOfBadTokens(t *testing.T) {
	t.Parallel()
	source := countedKeys(t)
	cache := newCache(t)
	a := caching(cache, newIssuer(t, IssuerOptions{Keys: []KeySource{source}}))
	alice := good(t, nil)
	if _, err := a.Authenticate(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	forged := sign(t, signer(t, []byte(strings.ToUpper(testSecret)), "HS256", ""), claims(nil))
	for i := range 1_000_000 {
		bad := "eyJ." + strconv.Itoa(i) + ".x"
		if i%50 == 0 { // one with a signature to verify
			bad = forged
		}
		if _, err := a.Authenticate(t.Context(), bearerOf(bad)); err == nil {
			t.Fatal("accepted")
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if entries, _ := cache.len(); entries != 1 {
		t.Errorf("%d entries, want the one good", entries)
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 64<<20 { // other tests run beside
		t.Errorf("the heap grew by %d bytes", grown)
	}
	asked := source.lookups.Load()
	if _, err := a.Authenticate(t.Context(), alice); err != nil || source.lookups.Load() != asked {
		t.Errorf("the good token was forgotten: %v", err)
	}
}

// Good tokens are bounded too, in number and in bytes; one that is too long is
// verified each time.
func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	cache := newCache(t)
	issuer := newIssuer(t, IssuerOptions{})
	user := cache.user()
	for i := range 60_000 {
		raw := fmt.Sprint(i)
		cache.put(cache.key(user, Authorization, raw), verified{issuer: issuer, principal: new(Principal), claims: new(token.Claims), size: 1 << 10 << (i % 3)})
	}
	entries, bytes := cache.len()
	if entries > maxVerified || bytes > maxVerifiedAll || entries < maxVerified/4 {
		t.Errorf("%d entries of %d bytes", entries, bytes)
	}
	if cache.put(cache.key(user, Authorization, "long"), verified{issuer: issuer, principal: new(Principal), size: maxVerifiedOne + 1}); cache.shard(cache.key(user, Authorization, "long")).lru.Contains(cache.key(user, Authorization, "long")) {
		t.Error("a token that is too long is remembered")
	}
	for i := range cache.shards {
		cache.shards[i].lru.Purge()
	}
	if entries, bytes = cache.len(); entries != 0 || bytes != 0 {
		t.Errorf("%d entries of %d bytes after a purge", entries, bytes)
	}
}

// Callers are never taken for one another, however many come at once (cache-05).
func TestCache05NobodyIsTakenForAnother(t *testing.T) {
	t.Parallel()
	a := caching(newCache(t), newIssuer(t, IssuerOptions{}))
	var callers []fields
	for i := range 50 {
		callers = append(callers, good(t, map[string]any{"sub": fmt.Sprint("caller", i)}))
	}
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for i := range 2000 {
				n := (i*7 + w) % len(callers)
				if p, err := a.Authenticate(context.Background(), callers[n]); err != nil || p.Subject != fmt.Sprint("caller", n) {
					t.Errorf("caller%d is %+v, %v", n, p, err)
					return
				}
			}
		})
	}
	all.Wait()
}

// That a key was not known is not remembered: once it is published its tokens
// pass (cache-06).
func TestCache06KeyThatComesLater(t *testing.T) {
	t.Parallel()
	source := countedKeys(t)
	keys := source.keys
	source.set(true)
	a := caching(newCache(t), newIssuer(t, IssuerOptions{Keys: []KeySource{source}}))
	alice := good(t, nil)
	_, err := a.Authenticate(t.Context(), alice)
	wantReason(t, err, "unknown_key")
	source.set(true, keys...)
	if _, err := a.Authenticate(t.Context(), alice); err != nil {
		t.Errorf("once the key is there: %v", err)
	}
}

// A key that changes between the look at its number and the signature leaves
// nothing behind that counts.
func TestCacheEntryOfKeysThatChangedMeanwhile(t *testing.T) {
	t.Parallel()
	source := countedKeys(t)
	cache := newCache(t)
	issuer := newIssuer(t, IssuerOptions{Keys: []KeySource{source}})
	key := cache.key(cache.user(), Authorization, "raw")
	n, _ := issuer.generation()
	source.set(true, source.keys...)
	cache.put(key, verified{issuer, n, &token.Claims{Expiry: time.Now().Add(time.Hour)}, new(Principal), 10})
	if _, ok := cache.get(key); ok {
		t.Error("an entry of other keys counts")
	}
	if entries, _ := cache.len(); entries != 0 {
		t.Error("it is kept")
	}
}

// stored is a secret that can be changed.
type stored struct {
	of    *secrets.Value
	store *secrets.Store
	mu    sync.Mutex
	text  string
}

func newStored(t testing.TB, text string) *stored {
	t.Helper()
	s := &stored{text: text}
	backend := secrets.NewEnv("", func(string) (string, bool) { s.mu.Lock(); defer s.mu.Unlock(); return s.text, true })
	s.store = secrets.NewStore(backend, secrets.Options{})
	s.of = s.store.Watch(secrets.Reference{Path: "key"})
	if err := s.store.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *stored) put(text string) {
	s.mu.Lock()
	s.text = text
	s.mu.Unlock()
	_ = s.store.Fetch(context.Background())
}

func BenchmarkAuthenticateHit(b *testing.B) {
	a := caching(newCache(b), newIssuer(b, IssuerOptions{Keys: []KeySource{static(b, fixed("k", "", privatePEM(b, rsaKey())))}}))
	h := bearerOf(sign(b, signer(b, privatePEM(b, rsaKey()), "", "k"), claims(map[string]any{"scope": "orders:read orders:write"})))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Authenticate(b.Context(), h); err != nil {
			b.Fatal(err)
		}
	}
}
