package auth

import (
	"context"
	"fmt"
	"log"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/internal/secrets"
	"github.com/sallyport/sallyport/internal/token"
)

func discardLog() *log.Logger { return log.New(new(logs), "", 0) }

// backend is a secret backend in memory.
type backend struct {
	mu     sync.Mutex
	values map[string]string
	err    error
}

func (b *backend) Name() string { return "memory" }

func (b *backend) Read(_ context.Context, path string) (secrets.Document, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	value, ok := b.values[path]
	switch {
	case b.err != nil:
		return nil, b.err
	case !ok:
		return nil, secrets.ErrNotFound
	}
	return secrets.Text(b.Name(), path, secrets.NewSecret(value)), nil
}

func (b *backend) set(path, value string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.values[path] = value
}

func TestStaticKeysFollowRotation(t *testing.T) {
	t.Parallel()
	const first, second = "the first secret, of thirty-two bytes", "the second secret of thirty-two bytes"
	b := &backend{values: map[string]string{}}
	store := secrets.NewStore(b, secrets.Options{})
	value := store.Watch(secrets.Reference{Path: "jwt/secret"})
	source, err := StaticKeys([]StaticKey{{ID: "k", Algorithm: "HS256", Value: value}})
	if err != nil {
		t.Fatal(err)
	}
	a := accepting(newIssuer(t, IssuerOptions{Keys: []KeySource{source}}))
	header, payload := `{"alg":"HS256","kid":"k"}`, string(toJSON(t, claims(nil)))
	check := func(step, withFirst, withSecond string) {
		t.Helper()
		for secret, want := range map[string]string{first: withFirst, second: withSecond} {
			if _, err := a.Authenticate(t.Context(), bearerOf(forge(secret, header, payload))); Reason(err) != want {
				t.Errorf("%s: %v, want %q", step, err, want)
			}
		}
	}
	check("before the first read", "keys_unavailable", "keys_unavailable")
	for _, step := range []struct{ name, value, withFirst, withSecond string }{
		{"first", first, "", "signature"},
		{"rotated", second, "signature", ""},
		{"a weak value is refused, the last goes on", "short", "signature", ""},
		{"a broken JWKS is refused, the last goes on", `{"keys":[`, "signature", ""},
		{"an empty value is refused, the last goes on", "", "signature", ""},
		{"back", first, "", "signature"},
	} {
		b.set("jwt/secret", step.value)
		_ = store.Fetch(t.Context())
		check(step.name, step.withFirst, step.withSecond)
	}
	b.err = secrets.ErrUnavailable
	_ = store.Fetch(t.Context())
	check("the backend is down", "", "signature")
	b.err = nil
	delete(b.values, "jwt/secret")
	_ = store.Fetch(t.Context())
	check("it is gone", "keys_unavailable", "keys_unavailable")
}

func TestStaticKeysThatAreRefused(t *testing.T) {
	t.Parallel()
	secret := []byte(testSecret)
	for name, entries := range map[string][]StaticKey{
		"a kid twice":       {fixed("a", "HS256", secret), fixed("b", "", secret), fixed("a", "", secret)},
		"unknown algorithm": {fixed("a", "RS1", secret)},
		"algorithm none":    {fixed("a", "none", secret)},
		"no value":          {{ID: "a"}},
	} {
		if _, err := StaticKeys(entries); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := StaticKeys([]StaticKey{fixed("", "", secret), fixed("", "", secret)}); err != nil {
		t.Errorf("two without kid: %v", err)
	}
}

// A kid that two entries bring along in their documents shows only when they
// are read.
func TestAKidOfTwoEntriesIsRefused(t *testing.T) {
	t.Parallel()
	one, two := signer(t, privatePEM(t, newECKey(t)), "ES256", "k"), signer(t, privatePEM(t, newECKey(t)), "ES256", "k")
	a := accepting(newIssuer(t, IssuerOptions{Keys: []KeySource{static(t,
		fixed("", "", setOf(t, jwk(t, one, nil))), fixed("", "", toJSON(t, jwk(t, two, nil))))}}))
	for _, s := range []*token.Signer{one, two} {
		_, err := a.Authenticate(t.Context(), bearerOf(sign(t, s, claims(nil))))
		wantReason(t, err, "ambiguous_key")
	}
}

// One entry that cannot be had does not take the others along, and a kid that it
// might hold is not called unknown.
func TestOneEntryThatIsNotThere(t *testing.T) {
	t.Parallel()
	missing := secrets.Fixed(secrets.NewSecret(""))
	payload := string(toJSON(t, claims(nil)))
	token := func(kid string) fields {
		if kid != "" {
			kid = `,"kid":"` + kid + `"`
		}
		return bearerOf(forge(testSecret, `{"alg":"HS256"`+kid+`}`, payload))
	}
	named := accepting(newIssuer(t, IssuerOptions{Keys: []KeySource{static(t,
		fixed("a", "HS256", []byte(testSecret)), StaticKey{ID: "b", Algorithm: "HS256", Value: missing})}}))
	open := accepting(newIssuer(t, IssuerOptions{Keys: []KeySource{static(t,
		fixed("a", "HS256", []byte(testSecret)), StaticKey{Value: missing})}}))
	for kid, want := range map[string][2]string{
		"a": {"", ""}, "b": {"keys_unavailable", "keys_unavailable"}, "c": {"unknown_key", "keys_unavailable"}, "": {"", ""},
	} {
		_, err := named.Authenticate(t.Context(), token(kid))
		wantReason(t, err, want[0])
		_, err = open.Authenticate(t.Context(), token(kid))
		wantReason(t, err, want[1])
	}
	other := forge("another secret of thirty-two bytes", `{"alg":"HS256"}`, payload)
	_, err := named.Authenticate(t.Context(), bearerOf(other))
	wantReason(t, err, "keys_unavailable") // b might have signed it
	_, err = named.Authenticate(t.Context(), bearerOf(forge("another secret of thirty-two bytes", `{"alg":"HS256","kid":"a"}`, payload)))
	wantReason(t, err, "signature")
}

func TestKeysOfAStoredSetThatDoNotServeAreWarnedOf(t *testing.T) {
	t.Parallel()
	var log logs
	s := signer(t, privatePEM(t, newECKey(t)), "ES256", "good")
	doc := setOf(t, jwk(t, s, nil), jwk(t, s, map[string]any{"kid": "bad", "use": "enc"}))
	a := accepting(newIssuer(t, IssuerOptions{Log: log.logger(), Keys: []KeySource{static(t, fixed("", "", doc))}}))
	for range 3 {
		if _, err := a.Authenticate(t.Context(), bearerOf(sign(t, s, claims(nil)))); err != nil {
			t.Fatal(err)
		}
	}
	if log.count(`"kid":"bad"`) != 1 || log.count("not for signatures") != 1 {
		t.Errorf("log: %s", log.String())
	}
}

// A static source and a remote one stand together: each serves its own kids, and
// the remote one's absence is no matter for the other's.
func TestStaticAndRemoteKeysTogether(t *testing.T) {
	t.Parallel()
	remote := signer(t, privatePEM(t, newECKey(t)), "ES256", "remote")
	k := servedKeySet(t, KeySetOptions{}, setOf(t, jwk(t, remote, nil)))
	down, err := NewKeySet(KeySetOptions{URL: "http://127.0.0.1:1/"})
	if err != nil {
		t.Fatal(err)
	}
	raw := map[string]string{
		"remote":  sign(t, remote, claims(nil)),
		"static":  forge(testSecret, `{"alg":"HS256","kid":"static"}`, string(toJSON(t, claims(nil)))),
		"unknown": forge(testSecret, `{"alg":"HS256","kid":"x"}`, string(toJSON(t, claims(nil)))),
	}
	for name, c := range map[string]struct {
		set  *KeySet
		want map[string]string
	}{
		"up":   {k, map[string]string{"remote": "", "static": "", "unknown": "unknown_key"}},
		"down": {down, map[string]string{"remote": "keys_unavailable", "static": "", "unknown": "keys_unavailable"}},
	} {
		a := accepting(newIssuer(t, IssuerOptions{Keys: []KeySource{c.set, static(t, fixed("static", "HS256", []byte(testSecret)))}}))
		for which, want := range c.want {
			if _, err := a.Authenticate(t.Context(), bearerOf(raw[which])); Reason(err) != want {
				t.Errorf("%s, %s: %v, want %q", name, which, err, want)
			}
		}
	}
}

func TestErrorsHoldNoSecret(t *testing.T) {
	t.Parallel()
	const canary = "canary-of-a-secret-key"
	for _, material := range []string{canary, `{"kty":"oct","k":"` + canary + `"}`, "-----BEGIN PUBLIC KEY-----\n" + canary, "base64:" + canary + "!"} {
		_, err := NewIssuer(IssuerOptions{Name: "corp", Issuer: testIssuer, Audiences: []string{"a"}, Keys: []KeySource{static(t, fixed("", "", []byte(material)))}})
		if err == nil || strings.Contains(fmt.Sprintf("%+v", err), canary) {
			t.Errorf("%v", err)
		}
	}
}
