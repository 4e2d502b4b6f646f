package auth

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestNoMutatedTokenIsAccepted changes one bit, claim, header parameter or
// encoding of a valid token, as often as SALLYPORT_MUTATIONS says, and never sees
// the result accepted. Only the token itself, byte for byte, is the token: there
// is no other form of it that passes.
//
// One thing is left out, for it is no mutation of what was signed: whoever has an
// ECDSA signature can write down its twin (r, n-s), which verifies as well. It
// says the same of the same claims, and nothing here takes the bytes of a token
// for its identity.
func TestNoMutatedTokenIsAccepted(t *testing.T) {
	t.Parallel()
	count := 20_000
	if n, err := strconv.Atoi(os.Getenv("SALLYPORT_MUTATIONS")); err == nil {
		count = n
	}
	var issuers []*Issuer
	var good []string
	for n, alg := range []string{"HS256", "RS256", "ES256", "EdDSA"} {
		iss := fmt.Sprintf("https://%d.example/", n)
		s := signer(t, materialFor(t, alg), alg, "k")
		issuers = append(issuers, newIssuer(t, IssuerOptions{Name: alg, Issuer: iss, Keys: []KeySource{static(t, fixed("k", alg, materialFor(t, alg)))}}))
		good = append(good, sign(t, s, claims(map[string]any{
			"iss": iss, "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Add(-time.Minute).Unix(), "scope": "orders:read", "tenant": "acme",
		})))
	}
	a := accepting(issuers...)
	for _, raw := range good {
		if _, err := a.Authenticate(t.Context(), bearerOf(raw)); err != nil {
			t.Fatalf("control: %v", err)
		}
	}
	rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 7))
	made, refused := make(map[string]int), make(map[string]int)
	names := slices.Sorted(maps.Keys(mutations))
	for done := 0; done < count; {
		raw, name := good[rnd.IntN(len(good))], names[rnd.IntN(len(names))]
		m := mutant{rnd, strings.Split(raw, "."), good}
		mutated := mutations[name](m)
		if mutated == raw {
			continue // the change changed nothing
		}
		done++
		made[name]++
		p, err := a.Authenticate(t.Context(), bearerOf(mutated))
		if err == nil {
			t.Fatalf("%s is accepted as %+v:\n%s\nof\n%s", name, p, mutated, raw)
		}
		refused[Reason(err)]++
	}
	t.Logf("%d mutations, none accepted; by kind %v; refused for %v", count, made, refused)
}

// materialFor is the key of an algorithm, the same each time.
func materialFor(t testing.TB, alg string) []byte {
	t.Helper()
	switch alg {
	case "HS256":
		return []byte(testSecret)
	case "RS256":
		return privatePEM(t, rsaKey())
	case "ES256":
		return privatePEM(t, ecKey())
	}
	return privatePEM(t, edKey())
}

// mutant is a token to change.
type mutant struct {
	*rand.Rand
	segments []string
	good     []string // valid tokens
}

func (m mutant) with(segment int, text string) string {
	changed := slices.Clone(m.segments)
	changed[segment] = text
	return strings.Join(changed, ".")
}

func (m mutant) any(texts ...string) string { return texts[m.IntN(len(texts))] }

// object changes a segment that is an object, in one member.
func (m mutant) object(segment int, change func(members []string) []string) string {
	doc, _ := base64.RawURLEncoding.DecodeString(m.segments[segment])
	var object map[string]json.RawMessage
	_ = json.Unmarshal(doc, &object)
	var members []string
	for name, value := range object {
		members = append(members, strconv.Quote(name)+":"+string(value))
	}
	slices.Sort(members)
	text := "{" + strings.Join(change(members), ",") + "}"
	return m.with(segment, base64.RawURLEncoding.EncodeToString([]byte(text)))
}

// mutations are by name what can be done to a token by who has no key.
var mutations = map[string]func(mutant) string{
	"bit": func(m mutant) string {
		raw := []byte(strings.Join(m.segments, "."))
		raw[m.IntN(len(raw))] ^= 1 << m.IntN(8)
		return string(raw)
	},
	"decoded bit": func(m mutant) string {
		n := m.IntN(3)
		doc, _ := base64.RawURLEncoding.DecodeString(m.segments[n])
		doc[m.IntN(len(doc))] ^= 1 << m.IntN(8)
		return m.with(n, base64.RawURLEncoding.EncodeToString(doc))
	},
	"byte": func(m mutant) string {
		raw := strings.Join(m.segments, ".")
		at := m.IntN(len(raw))
		c := string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/~ \t\n%"[m.IntN(72)])
		switch m.IntN(4) {
		case 0:
			return raw[:at] + raw[at+1:]
		case 1:
			return raw[:at] + c + raw[at:]
		case 2:
			return raw[:at] + raw[at:at+1] + raw[at:]
		}
		return raw[:at] + c + raw[at+1:]
	},
	"claim": func(m mutant) string {
		return m.object(1, func(members []string) []string {
			at := m.IntN(len(members))
			name, _, _ := strings.Cut(members[at], ":")
			value := m.any(`"root"`, `["orders-api"]`, `4000000000`, `0`, `null`, `true`, `"admin orders:write"`, `[]`, `{}`, `"https://0.example/"`, `"https://2.example/"`, `1e9`, `""`)
			switch m.IntN(5) {
			case 0:
				return slices.Delete(members, at, at+1)
			case 1:
				return append(members, strconv.Quote(m.any("admin", "scp", "roles", "nbf", "jti", "Sub", "EXP", "cnf", "azp"))+":"+value)
			case 2:
				return append(members, name+":"+value) // the name a second time
			case 3:
				members[at] = strings.ToUpper(name) + members[at][len(name):]
				return members
			}
			members[at] = name + ":" + value
			return members
		})
	},
	"header": func(m mutant) string {
		return m.object(0, func(members []string) []string {
			at := m.IntN(len(members))
			name, _, _ := strings.Cut(members[at], ":")
			switch m.IntN(4) {
			case 0:
				return slices.Delete(members, at, at+1)
			case 1:
				return append(members, m.any(`"crit":["exp"]`, `"b64":false`, `"jku":"https://evil.example/"`, `"jwk":{"kty":"oct","k":"AAAA"}`, `"x5u":"https://evil.example/"`,
					`"cty":"JWT"`, `"typ":"at+jwt"`, `"zip":"DEF"`, `"enc":"A128GCM"`, `"ALG":"none"`, `"alg":"none"`, `"kid":"k"`, `"x":1`))
			}
			members[at] = name + ":" + m.any(`"none"`, `"HS256"`, `"HS384"`, `"RS256"`, `"PS256"`, `"ES256"`, `"ES384"`, `"EdDSA"`, `"k"`, `"../../dev/null"`, `""`, `null`, `1`, `["HS256"]`)
			return members
		})
	},
	"encoding": func(m mutant) string {
		n := m.IntN(3)
		segment := m.segments[n]
		doc, _ := base64.RawURLEncoding.DecodeString(segment)
		switch m.IntN(9) {
		case 0:
			return m.with(n, base64.URLEncoding.EncodeToString(doc)) // with padding, where there is some
		case 1:
			return m.with(n, base64.StdEncoding.EncodeToString(doc))
		case 2:
			return m.with(n, base64.RawStdEncoding.EncodeToString(doc))
		case 3:
			at := m.IntN(len(segment))
			return m.with(n, segment[:at]+m.any("\n", "\r\n", " ", "=", "%0a", "\x00")+segment[at:])
		case 4: // bits that decoding drops
			const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
			last := strings.IndexByte(alphabet, segment[len(segment)-1])
			return m.with(n, segment[:len(segment)-1]+string(alphabet[last^1<<m.IntN(4)]))
		case 5: // the same object, spelled otherwise
			return m.with(n%2, base64.RawURLEncoding.EncodeToString([]byte(" "+string(m.decoded(n%2)))))
		case 6:
			return m.with(n%2, base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(m.decoded(n%2)), `"k`, `"\u006b`, 1)+m.any("", "\n", "{}", "\x00"))))
		case 7:
			return m.with(n, fmt.Sprintf("%%%02X", segment[0])+segment[1:])
		}
		return strings.Join(m.segments, m.any("..", ".A.", "%2E", " . "))
	},
	"signature": func(m mutant) string {
		doc := m.decoded(2)
		switch m.IntN(6) {
		case 0:
			return m.with(2, base64.RawURLEncoding.EncodeToString(doc[:m.IntN(len(doc))]))
		case 1:
			return m.with(2, base64.RawURLEncoding.EncodeToString(append(doc, byte(m.IntN(256)))))
		case 2:
			return m.with(2, base64.RawURLEncoding.EncodeToString(append([]byte{0}, doc...)))
		case 3:
			return m.with(2, base64.RawURLEncoding.EncodeToString(make([]byte, len(doc))))
		case 4:
			return m.with(2, strings.Split(m.good[m.IntN(len(m.good))], ".")[2])
		}
		slices.Reverse(doc)
		return m.with(2, base64.RawURLEncoding.EncodeToString(doc))
	},
	"another's": func(m mutant) string { // header or payload of another valid token
		n := m.IntN(2)
		return m.with(n, strings.Split(m.good[m.IntN(len(m.good))], ".")[n])
	},
	"own signature": func(m mutant) string { // signed again, with keys that anyone has
		secret := m.any("", "secret", "k", "another secret of thirty-two bytes", string(m.decoded(2)), m.segments[2])
		return forge(secret, `{"alg":"HS256","kid":"k"}`, string(m.decoded(1)))
	},
}

func (m mutant) decoded(n int) []byte {
	doc, _ := base64.RawURLEncoding.DecodeString(m.segments[n])
	return doc
}

// jwtkeys-02, CVE-2026-39999: an issuer that takes HS256 with a secret and RS256,
// ES256 or EdDSA with published keys, so that no list of algorithms helps: no
// encoding of a public key is the secret of an HMAC.
func TestKeyConfusionThroughAnIssuerOfBothKinds(t *testing.T) {
	t.Parallel()
	payload := string(toJSON(t, claims(nil)))
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		s := signer(t, materialFor(t, alg), alg, "k")
		set, err := s.PublicJWKS()
		if err != nil {
			t.Fatal(err)
		}
		published := servedKeySet(t, KeySetOptions{}, set)
		a := accepting(newIssuer(t, IssuerOptions{
			Keys:       []KeySource{published, static(t, fixed("secret", "HS256", []byte(testSecret)))},
			Algorithms: []string{"HS256", "HS384", "HS512", alg},
		}))
		if _, err := a.Authenticate(t.Context(), bearerOf(sign(t, s, claims(nil)))); err != nil {
			t.Fatalf("%s, control: %v", alg, err)
		}
		for encoding, secret := range publicEncodings(t, alg, set) {
			for _, kid := range []string{`,"kid":"k"`, `,"kid":"secret"`, ``, `,"kid":"other"`} {
				raw := forge(string(secret), `{"alg":"HS256"`+kid+`}`, payload)
				if p, err := a.Authenticate(t.Context(), bearerOf(raw)); err == nil {
					t.Errorf("%s as %s, kid %s: accepted as %v", alg, encoding, kid, p)
				}
			}
			if source, err := StaticKeys([]StaticKey{fixed("", "HS256", secret)}); err == nil { // nor by the operator's mistake
				if _, err := NewIssuer(IssuerOptions{Name: "x", Issuer: testIssuer, Audiences: []string{"a"}, Keys: []KeySource{source}}); err == nil {
					t.Errorf("%s as %s became the secret of an issuer", alg, encoding)
				}
			}
		}
	}
}

// publicEncodings are the forms in which a public key lies about.
func publicEncodings(t testing.TB, alg string, set []byte) map[string][]byte {
	t.Helper()
	public := map[string]any{"RS256": &rsaKey().PublicKey, "ES256": &ecKey().PublicKey, "EdDSA": edKey().Public()}[alg]
	text := publicPEM(t, public)
	der := pemBytes(t, text)
	var keys struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(set, &keys); err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		"PEM": text, "PEM without its last line break": []byte(strings.TrimSpace(string(text))), "PEM with CRLF": []byte(strings.ReplaceAll(string(text), "\n", "\r\n")),
		"DER": der, "DER in base64": []byte(base64.StdEncoding.EncodeToString(der)), "DER in base64url": []byte(base64.RawURLEncoding.EncodeToString(der)),
		"JWK": keys.Keys[0], "JWKS": set,
	}
}
