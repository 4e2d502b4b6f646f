package auth

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/internal/crypto"
	"github.com/sallyport/sallyport/internal/secrets"
)

const goodKey = "sk_live_5f2b9c0d5f2b9c0d5f2b9c0d5f2b9c0d5f2b9c0d5f2b9c0d5f2b9c0d5f2b9c0d"

func keyOf(key string) fields { return fields{"X-Api-Key": {key}} }

func listOf(t testing.TB, records ...APIKeyRecord) string {
	t.Helper()
	return string(toJSON(t, records))
}

// newAPIKeys returns the list "partners", which never changes.
func newAPIKeys(t testing.TB, list string) *APIKeys {
	t.Helper()
	keys, err := NewAPIKeys(APIKeysOptions{Name: "partners", Keys: secrets.Fixed(secrets.NewSecret(list))})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// slowRecord is a record with a password hash that is as cheap as they come.
func slowRecord(t testing.TB, id, key string) APIKeyRecord {
	t.Helper()
	hash, err := crypto.HashPassword(key, crypto.PasswordOptions{Iterations: crypto.MinIterations})
	if err != nil {
		t.Fatal(err)
	}
	return APIKeyRecord{ID: id, Prefix: key[:16], Hash: hash}
}

func TestAPIKeyTellsWhoCalls(t *testing.T) {
	t.Parallel()
	expires := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	list := listOf(t,
		APIKeyRecord{ID: "acme-1", Hash: sha256Hash(goodKey), Subject: "acme", Scopes: []string{"orders:write", "orders:read"}, Claims: map[string]any{"tenant": "acme", "n": json.Number("1.50")}, Expires: &expires},
		APIKeyRecord{ID: "plain", Hash: sha256Hash("an older key")},
		slowRecord(t, "slow", slowKey),
	)
	a := NewAuthenticator(newAPIKeys(t, list))
	p, err := a.Authenticate(t.Context(), keyOf(goodKey))
	if err != nil {
		t.Fatal(err)
	}
	if p.Subject != "acme" || p.Issuer != "partners" || p.KeyID != "acme-1" || strings.Join(p.Scopes, " ") != "orders:read orders:write" || !p.Expires.Equal(expires) {
		t.Errorf("%+v", p)
	}
	if p.Claims["tenant"] != "acme" || p.Claims["n"] != json.Number("1.50") || p.Claims["sub"] != "acme" || p.Claims["scope"] != "orders:read orders:write" {
		t.Errorf("claims %v", p.Claims)
	}
	if _, err := a.Authenticate(t.Context(), keyOf("an older key")); !errors.Is(err, ErrMalformed) { // it has spaces
		t.Errorf("a key with spaces: %v", err)
	}
	if p, err := a.Authenticate(t.Context(), keyOf(slowKey)); err != nil || p.Subject != "slow" || p.KeyID != "slow" || !p.Expires.IsZero() {
		t.Errorf("%+v, %v", p, err)
	}
	if a.Scheme() != "ApiKey" || fmt.Sprint(a.Places()) != "[{header X-Api-Key}]" {
		t.Errorf("scheme %s, places %v", a.Scheme(), a.Places())
	}
}

// apikey-01 and apikey-02: nothing but the whole key is the key.
func TestAPIKey01And02NothingElseIsTheKey(t *testing.T) {
	t.Parallel()
	for name, record := range map[string]APIKeyRecord{"digest": {ID: "a", Hash: sha256Hash(goodKey)}, "slow hash": slowRecord(t, "a", goodKey)} {
		a := NewAuthenticator(newAPIKeys(t, listOf(t, record)))
		for what, c := range map[string]struct{ key, reason string }{
			"the key":                 {goodKey, ""},
			"the first byte differs":  {"t" + goodKey[1:], "unknown_key"},
			"the last byte differs":   {goodKey[:71] + "e", "unknown_key"},
			"truncated":               {goodKey[:71], "unknown_key"},
			"the prefix alone":        {goodKey[:16], "unknown_key"},
			"less than the prefix":    {goodKey[:15], "unknown_key"},
			"extended":                {goodKey + "0", "unknown_key"},
			"twice":                   {goodKey + goodKey, "unknown_key"},
			"in another case":         {strings.ToUpper(goodKey), "unknown_key"},
			"escaped":                 {strings.Replace(goodKey, "_", "%5F", 1), "unknown_key"},
			"in quotes":               {`"` + goodKey + `"`, "unknown_key"},
			"with a scheme":           {"ApiKey:" + goodKey, "unknown_key"},
			"a wildcard":              {"*", "unknown_key"},
			"its hash":                {record.Hash, "unknown_key"},
			"with a line break":       {goodKey + "\n", "malformed"},
			"with a space before":     {" " + goodKey, "malformed"},
			"with a NUL":              {goodKey + "\x00", "malformed"},
			"with another script's _": {strings.Replace(goodKey, "_", "＿", 1), "malformed"},
			"empty":                   {"", "malformed"},
			"very long":               {strings.Repeat("x", 513), "malformed"},
			"two, with a comma":       {goodKey + ", x", "malformed"},
		} {
			if _, err := a.Authenticate(t.Context(), keyOf(c.key)); Reason(err) != c.reason || (err != nil) != (c.reason != "") {
				t.Errorf("%s, %s: %v, want %q", name, what, err, c.reason)
			} else if err != nil && strings.Contains(err.Error(), goodKey[8:]) {
				t.Errorf("%s, %s: the error quotes the key: %v", name, what, err)
			}
		}
	}
}

// apikey-04: of two credentials nobody should have to know which one counts.
func TestAPIKey04MoreThanOneCredentialIsRefused(t *testing.T) {
	t.Parallel()
	s := signer(t, []byte(testSecret), "HS256", "")
	token := sign(t, s, claims(nil))
	issuer := newIssuer(t, IssuerOptions{Keys: []KeySource{static(t, fixed("", "HS256", []byte(testSecret)))}})
	both := NewAuthenticator(Tokens(issuer), newAPIKeys(t, listOf(t, APIKeyRecord{ID: "a", Hash: sha256Hash(goodKey)})))
	only := NewAuthenticator(newAPIKeys(t, listOf(t, APIKeyRecord{ID: "a", Hash: sha256Hash(goodKey)})))
	for name, c := range map[string]struct {
		a       *Authenticator
		sent    fields
		subject string
		want    error
	}{
		"two keys":                               {both, fields{"X-Api-Key": {goodKey, "other"}}, "", ErrMultiple},
		"the same key twice":                     {only, fields{"X-Api-Key": {goodKey, goodKey}}, "", ErrMultiple},
		"a token and a key":                      {both, fields{"Authorization": {"Bearer " + token}, "X-Api-Key": {goodKey}}, "", ErrMultiple},
		"a token and an empty key":               {both, fields{"Authorization": {"Bearer " + token}, "X-Api-Key": {""}}, "", ErrMultiple},
		"a key and Basic":                        {both, fields{"Authorization": {"Basic YTpi"}, "X-Api-Key": {goodKey}}, "", ErrMultiple},
		"a token":                                {both, fields{"Authorization": {"Bearer " + token}}, "alice", nil},
		"a key":                                  {both, fields{"X-Api-Key": {goodKey}}, "a", nil},
		"a key where Authorization is no matter": {only, fields{"Authorization": {"Bearer " + token}, "X-Api-Key": {goodKey}}, "a", nil},
		"a token where only keys are taken":      {only, fields{"Authorization": {"Bearer " + token}}, "", ErrNoCredential},
		"the token as a key":                     {both, fields{"X-Api-Key": {token}}, "", ErrInvalidToken},
		"the key as a token":                     {both, fields{"Authorization": {"Bearer " + goodKey}}, "", ErrInvalidToken},
	} {
		p, err := c.a.Authenticate(t.Context(), c.sent)
		if !errors.Is(err, c.want) || c.want == nil && p.Subject != c.subject {
			t.Errorf("%s: %+v, %v; want %q, %v", name, p, err, c.subject, c.want)
		}
	}
}

// apikey-05 and cache-03: what the list says of a key counts at once.
func TestAPIKey05DisabledAndExpiredKeysAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := slowRecord(t, "slow", slowKey)
		fast := APIKeyRecord{ID: "fast", Hash: sha256Hash(goodKey)}
		b := &backend{values: map[string]string{"keys": listOf(t, slow, fast)}}
		store := secrets.NewStore(b, secrets.Options{MaxStale: time.Hour})
		keys, err := NewAPIKeys(APIKeysOptions{Name: "partners", Keys: store.Watch(secrets.Reference{Path: "keys"})})
		if err != nil {
			t.Fatal(err)
		}
		a := NewAuthenticator(keys)
		check := func(step, reason string) {
			t.Helper()
			for _, key := range []string{goodKey, slowKey} {
				if _, err := a.Authenticate(t.Context(), keyOf(key)); Reason(err) != reason {
					t.Errorf("%s, %s…: %v, want %q", step, key[:16], err, reason)
				}
				if p, err := a.Remembered(keyOf(key)); err != nil || (p != nil) != (reason == "") {
					t.Errorf("%s, %s…: remembered as %+v, %v", step, key[:16], p, err)
				}
			}
		}
		check("before the first read", "keys_unavailable")
		soon := time.Now().Add(time.Minute)
		for _, step := range []struct {
			name   string
			change func(*APIKeyRecord)
			reason string
		}{
			{"good", func(*APIKeyRecord) {}, ""},
			{"disabled", func(r *APIKeyRecord) { r.Disabled = true }, "disabled"},
			{"good again", func(*APIKeyRecord) {}, ""},
			{"with an end", func(r *APIKeyRecord) { r.Expires = &soon }, ""},
		} {
			one, two := slow, fast
			step.change(&one)
			step.change(&two)
			b.set("keys", listOf(t, one, two))
			_ = store.Fetch(t.Context())
			check(step.name, step.reason)
		}
		time.Sleep(time.Until(soon) - time.Nanosecond)
		check("the last moment", "")
		time.Sleep(time.Nanosecond)
		check("the end", "expired")
		b.set("keys", `[{"id": "broken"`)
		_ = store.Fetch(t.Context())
		check("a list that does not parse, the last goes on", "expired")
		b.set("keys", "[]")
		_ = store.Fetch(t.Context())
		check("removed", "unknown_key")
		b.set("keys", listOf(t, slow, fast))
		_ = store.Fetch(t.Context())
		check("there again", "")
		delete(b.values, "keys")
		_ = store.Fetch(t.Context())
		check("the list is gone", "keys_unavailable")
	})
}

// apikey-07: an empty key is none, whatever is stored.
func TestAPIKey07EmptyKeyNeverMatches(t *testing.T) {
	t.Parallel()
	for name, list := range map[string]string{
		"an empty list": `[]`, "the hash of nothing": `[{"id": "a", "hash": "` + sha256Hash("") + `"}]`,
		"an empty hash": `[{"id": "a", "hash": ""}]`, "an empty digest": `[{"id": "a", "hash": "sha256:"}]`,
	} {
		keys, err := NewAPIKeys(APIKeysOptions{Name: "partners", Keys: secrets.Fixed(secrets.NewSecret(list))})
		if (err == nil) != (list == "[]") {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			continue
		}
		if _, err := NewAuthenticator(keys).Authenticate(t.Context(), keyOf("")); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewAPIKeys(APIKeysOptions{Name: "partners"}); err == nil {
		t.Error("a list without keys was made")
	}
}

// counted returns the list, and how many slow hashes it has computed.
func counted(t testing.TB, list string) (*Authenticator, *APIKeys, *atomic.Int64) {
	t.Helper()
	keys, computed := newAPIKeys(t, list), new(atomic.Int64)
	keys.slow.onComputed = func() { computed.Add(1) }
	return NewAuthenticator(keys), keys, computed
}

func TestSlowHashIsComputedOnceForEachKey(t *testing.T) {
	t.Parallel()
	other := slowKey[:71] + "1"
	a, _, computed := counted(t, listOf(t, slowRecord(t, "a", slowKey), slowRecord(t, "b", other), APIKeyRecord{ID: "c", Hash: sha256Hash(goodKey)}))
	for range 5 {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if p, err := a.Authenticate(t.Context(), keyOf(slowKey)); err != nil || p.Subject != "a" {
					t.Errorf("%+v, %v", p, err)
				}
			})
		}
		all.Wait()
	}
	if n := computed.Load(); n != 1 {
		t.Errorf("%d hashes for one key, want 1", n)
	}
	for range 3 {
		if p, err := a.Authenticate(t.Context(), keyOf(other)); err != nil || p.Subject != "b" {
			t.Errorf("%+v, %v", p, err)
		}
	}
	if n := computed.Load(); n != 3 {
		t.Errorf("%d hashes for two keys of one prefix, want 3", n)
	}
	for range 3 {
		if _, err := a.Authenticate(t.Context(), keyOf(slowKey[:71]+"2")); Reason(err) != "unknown_key" {
			t.Error(err)
		}
	}
	if n := computed.Load(); n != 5 {
		t.Errorf("%d hashes after a wrong key of the prefix, want 5", n)
	}
}

func TestUnknownKeyCostsNoSlowHash(t *testing.T) {
	t.Parallel()
	a, _, computed := counted(t, listOf(t, slowRecord(t, "a", slowKey), APIKeyRecord{ID: "c", Hash: sha256Hash(goodKey)}))
	for i := range 10_000 {
		if _, err := a.Authenticate(t.Context(), keyOf(fmt.Sprintf("sk_none_%064d", i))); Reason(err) != "unknown_key" {
			t.Fatal(err)
		}
		if _, err := a.Authenticate(t.Context(), keyOf(fmt.Sprintf("sk_live_5f2b9c0d%048d", i))); Reason(err) != "unknown_key" {
			t.Fatal(err)
		}
	}
	if n := computed.Load(); n != 0 {
		t.Errorf("%d hashes were computed", n)
	}
}

func TestFloodOfWrongKeysForgetsNoRightOne(t *testing.T) {
	t.Parallel()
	a, keys, computed := counted(t, listOf(t, slowRecord(t, "a", slowKey)))
	if _, err := a.Authenticate(t.Context(), keyOf(slowKey)); err != nil {
		t.Fatal(err)
	}
	for i := range 2 * maxVerdicts {
		var q question
		copy(q[:], fmt.Sprint(i))
		keys.slow.wrong.Add(q, struct{}{})
	}
	if n := keys.slow.wrong.Len(); n != maxVerdicts {
		t.Errorf("%d wrong keys are remembered, want %d", n, maxVerdicts)
	}
	if _, err := a.Authenticate(t.Context(), keyOf(slowKey)); err != nil || computed.Load() != 1 {
		t.Errorf("%v after %d hashes", err, computed.Load())
	}
}

// While all workers are taken nobody knows that a key is wrong: 503, not 401.
func TestBusyWorkersAreNoRefusal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		workers := crypto.NewWorkers(1)
		list := listOf(t, slowRecord(t, "a", slowKey), APIKeyRecord{ID: "c", Hash: sha256Hash(goodKey)})
		keys, err := NewAPIKeys(APIKeysOptions{Name: "partners", Keys: secrets.Fixed(secrets.NewSecret(list)), Workers: workers})
		if err != nil {
			t.Fatal(err)
		}
		a, release := NewAuthenticator(keys), make(chan struct{})
		go func() { _ = workers.Do(t.Context(), func() { <-release }) }()
		synctest.Wait()
		begun := time.Now()
		if _, err := a.Authenticate(t.Context(), keyOf(slowKey)); !errors.Is(err, ErrUnavailable) || time.Since(begun) > 3*time.Second {
			t.Errorf("%v after %s", err, time.Since(begun))
		}
		if _, err := a.Authenticate(t.Context(), keyOf(goodKey)); err != nil {
			t.Errorf("a key with a digest: %v", err)
		}
		if _, err := a.Authenticate(t.Context(), keyOf("sk_none_"+goodKey[8:])); Reason(err) != "unknown_key" {
			t.Errorf("a key that costs no hash: %v", err)
		}
		close(release)
		synctest.Wait()
		if _, err := a.Authenticate(t.Context(), keyOf(slowKey)); err != nil {
			t.Errorf("with a free worker: %v", err)
		}
	})
}

func TestRememberedIsWhatWasAccepted(t *testing.T) {
	t.Parallel()
	a, _, computed := counted(t, listOf(t, slowRecord(t, "a", slowKey), APIKeyRecord{ID: "c", Hash: sha256Hash(goodKey)}))
	for _, key := range []string{slowKey, goodKey, "other", "", strings.Repeat("x", 1000)} {
		if p, err := a.Remembered(keyOf(key)); p != nil || err != nil {
			t.Errorf("%.16s: %+v, %v before it was accepted", key, p, err)
		}
	}
	for _, key := range []string{slowKey, goodKey} {
		if _, err := a.Authenticate(t.Context(), keyOf(key)); err != nil {
			t.Fatal(err)
		}
		if p, err := a.Remembered(keyOf(key)); p == nil || err != nil {
			t.Errorf("%.16s: %v after it was accepted", key, err)
		}
	}
	if p, _ := a.Remembered(keyOf("other")); p != nil || computed.Load() != 1 {
		t.Errorf("%+v; %d hashes", p, computed.Load())
	}
	for want, sent := range map[error]fields{ErrNoCredential: {}, ErrMultiple: {"X-Api-Key": {goodKey, goodKey}}} {
		if _, err := a.Remembered(sent); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
}

// Two lists may share a header: a key of either is accepted.
func TestKeysOfTwoListsInOneHeader(t *testing.T) {
	t.Parallel()
	one := newAPIKeys(t, listOf(t, APIKeyRecord{ID: "a", Hash: sha256Hash(goodKey)}))
	two, err := NewAPIKeys(APIKeysOptions{Name: "others", Header: "x-api-KEY", Keys: secrets.Fixed(secrets.NewSecret(listOf(t, APIKeyRecord{ID: "b", Hash: sha256Hash("other")})))})
	if err != nil {
		t.Fatal(err)
	}
	for key, issuer := range map[string]string{goodKey: "partners", "other": "others"} {
		if p, err := NewAuthenticator(one, two).Authenticate(t.Context(), keyOf(key)); err != nil || p.Issuer != issuer {
			t.Errorf("%+v, %v; want one of %s", p, err, issuer)
		}
	}
	if two.Header() != "X-Api-Key" {
		t.Errorf("header %s", two.Header())
	}
}

func TestAPIKeysTellHowManyThereAre(t *testing.T) {
	t.Parallel()
	keys := newAPIKeys(t, listOf(t, slowRecord(t, "a", slowKey), APIKeyRecord{ID: "c", Hash: sha256Hash(goodKey)}))
	if n, err := keys.Status(); n != 2 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	store := secrets.NewStore(&backend{values: map[string]string{}}, secrets.Options{})
	gone, err := NewAPIKeys(APIKeysOptions{Name: "gone", Keys: store.Watch(secrets.Reference{Path: "keys"})})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gone.Status(); !errors.Is(err, secrets.ErrPending) {
		t.Errorf("%v", err)
	}
}

func FuzzAPIKey(f *testing.F) {
	a := NewAuthenticator(newAPIKeys(f, listOf(f, APIKeyRecord{ID: "a", Hash: sha256Hash(goodKey)})))
	f.Add(goodKey)
	f.Add("")
	f.Add(goodKey + "\n")
	f.Add(goodKey[:16])
	f.Fuzz(func(t *testing.T, key string) {
		p, err := a.Authenticate(t.Context(), keyOf(key))
		switch {
		case (err == nil) != (key == goodKey):
			t.Fatalf("%q: %v", key, err)
		case err == nil && p.KeyID != "a":
			t.Fatalf("%q: %+v", key, p)
		case err != nil && !errors.Is(err, ErrInvalidToken) && !errors.Is(err, ErrMalformed):
			t.Fatalf("%q: %v", key, err)
		}
	})
}

// certified is a request of a TLS client.
type certified struct {
	fields
	chain []*x509.Certificate
}

func (c certified) Certificates() []*x509.Certificate { return c.chain }
