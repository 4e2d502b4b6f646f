package token

import (
	"errors"
	"strings"
	"testing"
)

func TestAKeySetSignsWithTheKeyOfItsKidOrTheFirst(t *testing.T) {
	t.Parallel()
	keys := keysOnce()
	set := setOf(t, jwkOf(t, keys.ed, map[string]any{"kid": "new"}), jwkOf(t, keys.p256, map[string]any{"kid": "old"}))
	for kid, want := range map[string]string{"": "new", "new": "new", "old": "old"} {
		s, err := NewSigner(set, "", kid)
		if err != nil {
			t.Fatal(err)
		}
		if s.Public().ID != want {
			t.Errorf("kid %q: signs with %v", kid, s)
		}
	}
	if _, err := NewSigner(set, "", "none"); err == nil {
		t.Error("a kid that is not in the set")
	}
}

func TestSignersAreAllOfASetInItsOrder(t *testing.T) {
	t.Parallel()
	keys := keysOnce()
	set := setOf(t, jwkOf(t, keys.ed, nil), jwkOf(t, keys.p256, map[string]any{"kid": "old"}), jwkOf(t, keys.rsa, map[string]any{"alg": "PS384"}))
	signers, err := NewSigners(set)
	if err != nil || len(signers) != 3 || signers[1].Public().ID != "old" {
		t.Fatalf("%v, %v", signers, err)
	}
	published, err := PublicJWKS(signers...)
	if err != nil || strings.Contains(string(published), `"d"`) {
		t.Fatalf("%s, %v", published, err)
	}
	verifiers, skipped, err := ParseJWKS(published)
	if err != nil || len(verifiers) != 3 || len(skipped) != 0 {
		t.Fatalf("published: %v %v %v", verifiers, skipped, err)
	}
	for i, s := range signers {
		raw, err := s.Sign(map[string]any{"sub": "a"}, "")
		if err != nil {
			t.Fatal(err)
		}
		p, err := Parse(raw)
		if err != nil || p.Verify(verifiers[i]) != nil || p.Header.KeyID == "" || p.Header.KeyID != verifiers[i].ID {
			t.Errorf("key %d: %+v, %v, %v", i, p, err, p.Verify(verifiers[i]))
		}
	}
}

// RFC 7638: the same key has the same name, however it is written.
func TestAKeyWithoutKidIsNamedByItsThumbprint(t *testing.T) {
	t.Parallel()
	one, err := NewSigners(privatePEM(t, keysOnce().p256))
	if err != nil || len(one) != 1 || len(one[0].Public().ID) != 43 {
		t.Fatalf("%v, %v", one, err)
	}
	again, err := NewSigners(setOf(t, jwkOf(t, keysOnce().p256, nil)))
	if err != nil || again[0].Public().ID != one[0].Public().ID {
		t.Errorf("%v, %v; want %v", again, err, one)
	}
}

func TestASetWithAKeyOfNoUseIsRefusedWhole(t *testing.T) {
	t.Parallel()
	keys := keysOnce()
	good := jwkOf(t, keys.ed, map[string]any{"kid": "a"})
	for name, tt := range map[string]struct {
		material []byte
		want     error // nil: any
	}{
		"no key":           {setOf(t), nil},
		"a public one":     {setOf(t, good, jwkOf(t, keys.p256.Public(), nil)), nil},
		"the same kid":     {setOf(t, good, jwkOf(t, keys.p256, map[string]any{"kid": "a"})), nil},
		"no object":        {setOf(t, good, "key"), nil},
		"a wrong alg":      {setOf(t, good, jwkOf(t, keys.p256, map[string]any{"alg": "ES384"})), ErrAlgorithm},
		"for encryption":   {setOf(t, good, jwkOf(t, keys.p256, map[string]any{"use": "enc"})), nil},
		"a short HMAC key": {[]byte("short"), ErrWeakKey},
	} {
		if signers, err := NewSigners(tt.material); err == nil || signers != nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, %v", name, signers, err)
		}
	}
}
