package auth

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Refreshes are spread, so that many gateways do not ask at one moment.
func TestRefreshesAreSpread(t *testing.T) {
	t.Parallel()
	k, err := NewKeySet(KeySetOptions{URL: "https://idp.example.com/jwks", Refresh: 10 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	shortest, longest := time.Hour, time.Duration(0)
	for range 1000 {
		p := k.pause()
		shortest, longest = min(shortest, p), max(longest, p)
	}
	if shortest < 9*time.Minute || longest > 11*time.Minute || longest-shortest < time.Minute {
		t.Errorf("pauses from %v to %v, want 9 to 11 minutes", shortest, longest)
	}
}

// What a published set must not bring, each judged through the route: the keys
// beside it go on, and the log names what is left out.
func TestKeysOfASetThatAreLeftOut(t *testing.T) {
	t.Parallel()
	good := signer(t, privatePEM(t, newECKey(t)), "ES256", "good")
	one, two := signer(t, privatePEM(t, newECKey(t)), "ES256", "bad"), signer(t, privatePEM(t, newECKey(t)), "ES256", "bad")
	for name, c := range map[string]struct {
		keys []map[string]any
		raw  string
		want string
		log  string
	}{
		"jwks-06 one kid, two keys":        {[]map[string]any{jwk(t, one, nil), jwk(t, two, nil)}, sign(t, one, claims(nil)), "unknown_key", "stands for different keys"},
		"jwks-06 one kid, two keys turned": {[]map[string]any{jwk(t, two, nil), jwk(t, one, nil)}, sign(t, one, claims(nil)), "unknown_key", "stands for different keys"},
		"one kid, one key twice":           {[]map[string]any{jwk(t, one, nil), jwk(t, one, nil)}, sign(t, one, claims(nil)), "", ""},
		"a private key":                    {[]map[string]any{jwk(t, one, map[string]any{"d": strings.Repeat("A", 43)})}, sign(t, one, claims(nil)), "unknown_key", "private parts"},
		"a symmetric key":                  {[]map[string]any{{"kty": "oct", "kid": "bad", "alg": "HS256", "k": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlBQkNERUY"}}, forge(testSecret, `{"alg":"HS256","kid":"bad"}`, string(toJSON(t, claims(nil)))), "unknown_key", "symmetric"},
		"an unknown kty":                   {[]map[string]any{{"kty": "AKP", "kid": "bad", "alg": "ML-DSA-44", "pub": "AAAA"}}, sign(t, one, claims(nil)), "unknown_key", "kty that is not read"},
		"an unknown curve":                 {[]map[string]any{jwk(t, one, map[string]any{"crv": "secp256k1"})}, sign(t, one, claims(nil)), "unknown_key", `"kid":"bad"`},
		"a point off its curve":            {[]map[string]any{jwk(t, one, map[string]any{"x": strings.Repeat("A", 43)})}, sign(t, one, claims(nil)), "unknown_key", `"kid":"bad"`},
	} {
		t.Run(name, func(t *testing.T) {
			var log logs
			k := servedKeySet(t, KeySetOptions{Log: log.logger()}, setOf(t, append(c.keys, jwk(t, good, nil))...))
			a := accepting(newIssuer(t, IssuerOptions{Keys: []KeySource{k}}))
			_, err := a.Authenticate(t.Context(), bearerOf(c.raw))
			wantReason(t, err, c.want)
			_, err = a.Authenticate(t.Context(), bearerOf(sign(t, good, claims(nil))))
			wantReason(t, err, "")
			if c.log != "" && log.count(c.log) == 0 {
				t.Errorf("no warning with %q: %s", c.log, log.String())
			}
			if log.count(strings.Repeat("A", 43)) != 0 {
				t.Errorf("the log holds key material: %s", log.String())
			}
		})
	}
}

// jwks-01, 10,000 unknown kids at once: one fetch, and those that follow within
// the cooldown cost none.
func TestTenThousandUnknownKidsAtOnce(t *testing.T) {
	t.Parallel()
	good := signer(t, privatePEM(t, newECKey(t)), "ES256", "good")
	synctest.Test(t, func(t *testing.T) {
		s := newKeySetTest(t, KeySetOptions{}, serve(setOf(t, jwk(t, good, nil))))
		defer running(t, s.set)()
		synctest.Wait()
		counts := []int64{s.idp.hits.Load()}
		payload := string(toJSON(t, claims(nil)))
		for minute := range 2 {
			for n := range 10_000 {
				s.want(forge(testSecret, fmt.Sprintf(`{"alg":"ES256","kid":"%d-%d"}`, minute, n), payload), "unknown_key")
			}
			synctest.Wait()
			counts = append(counts, s.idp.hits.Load())
			time.Sleep(31 * time.Second)
		}
		if fmt.Sprint(counts) != "[1 2 3]" {
			t.Errorf("fetches %v, want one at the start and one for each flood", counts)
		}
		t.Logf("fetches: %d at the start, %d after 10,000 unknown kids, %d after 10,000 more past the cooldown", counts[0], counts[1], counts[2])
	})
}

// Two key sets of one issuer, as with jwks_url and discovery: a kid that stands
// for two keys is refused, whichever set is asked first; the other kids go on.
func TestAKidOfTwoSetsIsRefused(t *testing.T) {
	t.Parallel()
	one, two := signer(t, privatePEM(t, newECKey(t)), "ES256", "k"), signer(t, privatePEM(t, newECKey(t)), "ES256", "k")
	other := signer(t, privatePEM(t, newECKey(t)), "ES256", "other")
	first := servedKeySet(t, KeySetOptions{}, setOf(t, jwk(t, one, nil), jwk(t, other, nil)))
	second := servedKeySet(t, KeySetOptions{}, setOf(t, jwk(t, two, nil), jwk(t, other, nil)))
	for _, sources := range [][]KeySource{{first, second}, {second, first}} {
		a := accepting(newIssuer(t, IssuerOptions{Keys: sources}))
		for raw, want := range map[string]string{sign(t, one, claims(nil)): "ambiguous_key", sign(t, two, claims(nil)): "ambiguous_key", sign(t, other, claims(nil)): ""} {
			_, err := a.Authenticate(t.Context(), bearerOf(raw))
			wantReason(t, err, want)
		}
	}
}

// One source down, the other up: a kid the one that is up has is no 503, one it
// does not have may be the other's.
func TestOneOfTwoSetsIsDown(t *testing.T) {
	t.Parallel()
	known, unknown := signer(t, privatePEM(t, newECKey(t)), "ES256", "known"), signer(t, privatePEM(t, newECKey(t)), "ES256", "unknown")
	synctest.Test(t, func(t *testing.T) {
		s := newKeySetTest(t, KeySetOptions{}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
		defer running(t, s.set)()
		synctest.Wait()
		a := accepting(newIssuer(t, IssuerOptions{Keys: []KeySource{s.set, staticOf(t, known)}}))
		_, err := a.Authenticate(t.Context(), bearerOf(sign(t, known, claims(map[string]any{"exp": 4000000000}))))
		wantReason(t, err, "")
		_, err = a.Authenticate(t.Context(), bearerOf(sign(t, unknown, claims(map[string]any{"exp": 4000000000}))))
		wantReason(t, err, "keys_unavailable")
	})
}

// staticOf is the signer's public key as a stored JWKS.
func staticOf(t testing.TB, s interface{ PublicJWKS() ([]byte, error) }) KeySource {
	t.Helper()
	set, err := s.PublicJWKS()
	if err != nil {
		t.Fatal(err)
	}
	return static(t, fixed("", "", set))
}
