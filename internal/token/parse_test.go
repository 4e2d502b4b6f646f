package token

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

const goodHeader, goodPayload = `{"alg":"HS256"}`, `{"iss":"https://idp.example/","sub":"alice","exp":2000000000}`

func TestParseReadsWhatIsUsed(t *testing.T) {
	t.Parallel()
	p, err := Parse(forge(t, "HS256", `{"alg":"HS256","kid":"k 1","typ":"at+jwt","cty":"x","jku":"https://evil.example/"}`,
		`{"iss":"i","sub":"s","aud":["a","b"],"exp":2000000000.25,"nbf":0,"iat":1.5e9,"n":123456789012345678901,"o":{"a":[null,true]}}`))
	if err != nil {
		t.Fatal(err)
	}
	if p.Header != (Header{"HS256", "k 1", "at+jwt"}) {
		t.Errorf("header %+v", p.Header)
	}
	c := p.Claims
	if c.Issuer != "i" || c.Subject != "s" || fmt.Sprint(c.Audience) != "[a b]" || !c.Expiry.Equal(time.Unix(2000000000, 250_000_000)) ||
		!c.NotBefore.Equal(time.Unix(0, 0)) || c.NotBefore.IsZero() || !c.IssuedAt.Equal(time.Unix(1500000000, 0)) {
		t.Errorf("claims %+v", c)
	}
	if c.All["n"] != json.Number("123456789012345678901") || fmt.Sprint(c.All["o"]) != "map[a:[<nil> true]]" {
		t.Errorf("other claims %v", c.All)
	}
}

func TestClaimsThatAreAbsentAreZero(t *testing.T) {
	t.Parallel()
	p, err := Parse(forge(t, "HS256", goodHeader, `{}`))
	if err != nil || p.Claims.Audience != nil || !p.Claims.Expiry.IsZero() || !p.Claims.NotBefore.IsZero() || !p.Claims.IssuedAt.IsZero() {
		t.Errorf("%+v, %v", p, err)
	}
}

// The segments: jwtenc-01, 02, 05, 06, 08 and jwtkeys-12.
func TestLooseEncodingsAreRefused(t *testing.T) {
	t.Parallel()
	good := forge(t, "HS256", goodHeader, goodPayload)
	if _, err := Parse(good); err != nil {
		t.Fatal(err)
	}
	s := strings.Split(good, ".")
	// The last character of a 43-character segment carries two bits that nothing
	// decodes to; setting them gives a second spelling of the same bytes.
	loose := s[2][:len(s[2])-1] + string(alphabet[strings.IndexByte(alphabet, s[2][len(s[2])-1])|1])
	for name, raw := range map[string]string{
		"empty":                             "",
		"dots only":                         "..",
		"one segment":                       s[0],
		"two segments (jwtkeys-12)":         s[0] + "." + s[1],
		"four segments (jwtenc-05)":         good + ".x",
		"five segments, a JWE":              good + ".x.y",
		"dot at the end":                    good + ".",
		"dot at the start":                  "." + good,
		"header empty (jwtenc-08)":          "." + s[1] + "." + s[2],
		"payload empty (jwtclaims-12)":      s[0] + ".." + s[2],
		"header padded (jwtenc-01)":         s[0] + "=." + s[1] + "." + s[2],
		"payload padded (jwtenc-01)":        s[0] + "." + s[1] + "=." + s[2],
		"signature padded (jwtenc-01)":      good + "=",
		"percent-encoded padding":           good + "%3D",
		"standard alphabet + (jwtenc-02)":   s[0] + "." + s[1] + "." + "+" + s[2][1:],
		"standard alphabet / (jwtenc-02)":   s[0] + "." + s[1] + "." + "/" + s[2][1:],
		"newline inside the signature":      good[:len(good)-4] + "\n" + good[len(good)-4:],
		"carriage return in the header":     good[:4] + "\r" + good[4:],
		"newline at the end":                good + "\n",
		"space at the end":                  good + " ",
		"space at the start":                " " + good,
		"NUL at the end":                    good + "\x00",
		"bits nothing decodes to":           s[0] + "." + s[1] + "." + loose,
		"length no base64 has":              s[0] + "." + s[1] + "." + s[2] + "AA",
		"a letter that is not ASCII":        s[0] + "." + s[1] + "." + s[2][1:] + "é",
		"one byte over the cap (jwtenc-06)": good + strings.Repeat("A", MaxSize+1-len(good)),
		"JSON serialisation":                `{"payload":"` + s[1] + `","signatures":[{"protected":"` + s[0] + `","signature":"` + s[2] + `"}]}`,
	} {
		if _, err := Parse(raw); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", name, err)
		}
	}
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

func TestATokenOfTheCapIsRead(t *testing.T) {
	t.Parallel()
	fill := func(n int) string {
		return b64(goodHeader) + "." + b64(`{"pad":"`+strings.Repeat("x", n)+`"}`) + "."
	}
	raw := fill(11 << 10)
	raw += strings.Repeat("A", (MaxSize-len(raw))/4*4)
	if _, err := Parse(raw); err != nil {
		t.Errorf("%d bytes: %v", len(raw), err)
	}
	if _, err := Parse(raw + strings.Repeat("A", 4)); !errors.Is(err, ErrMalformed) {
		t.Errorf("over the cap: %v, want ErrMalformed", err)
	}
}

// jwtenc-07, jwtenc-08, jwtkeys-14 and what a header may not say.
func TestHeadersThatAreRefused(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]error{
		`{"alg":"none","alg":"HS256"}`:                ErrMalformed, // jwtenc-07
		`{"alg":"HS256","\u0061lg":"none"}`:           ErrMalformed, // the same name, escaped
		`{"ALG":"HS256"}`:                             ErrMalformed,
		`{"alg":"HS256","Alg":"none"}`:                ErrMalformed,
		`{"alg":"HS256","KID":"a"}`:                   ErrMalformed,
		`{"alg":"HS256","` + "\u212a" + `id":"a"}`:    ErrMalformed, // KELVIN SIGN folds to k
		`{"alg":"HS256","CRIT":["x"]}`:                ErrMalformed,
		`{"alg":"HS256"}{}`:                           ErrMalformed,
		`{"alg":"HS256"} x`:                           ErrMalformed,
		"\ufeff" + `{"alg":"HS256"}`:                  ErrMalformed,
		`{"alg":"HS256","x":"` + "\xff" + `"}`:        ErrMalformed,
		`{"alg":"HS256","x":"\ud800"}`:                ErrMalformed, // unpaired surrogate
		`["HS256"]`:                                   ErrMalformed, // jwtenc-08
		`"HS256"`:                                     ErrMalformed,
		`null`:                                        ErrMalformed,
		`{}`:                                          ErrMalformed,
		`{"alg":""}`:                                  ErrMalformed,
		`{"alg":null}`:                                ErrMalformed,
		`{"alg":["HS256"]}`:                           ErrMalformed,
		`{"alg":256}`:                                 ErrMalformed,
		`{"alg":"HS256",}`:                            ErrMalformed,
		`{"alg":"HS256"/**/}`:                         ErrMalformed,
		`{'alg':'HS256'}`:                             ErrMalformed,
		`{"alg":"HS256"`:                              ErrMalformed,
		`{"alg":"HS256","kid":1}`:                     ErrMalformed,
		`{"alg":"HS256","kid":null}`:                  ErrMalformed,
		`{"alg":"HS256","kid":["a"]}`:                 ErrMalformed,
		`{"alg":"HS256","kid":"key1\u0000"}`:          ErrMalformed, // jwks-10
		`{"alg":"HS256","kid":"a\nb"}`:                ErrMalformed,
		`{"alg":"HS256","kid":"a\u0085b"}`:            ErrMalformed,
		`{"alg":"HS256","kid":"` + long(129) + `"}`:   ErrMalformed,
		`{"alg":"HS256","typ":1}`:                     ErrMalformed,
		`{"alg":"HS256","typ":null}`:                  ErrMalformed,
		`{"alg":"HS256","enc":"A256GCM"}`:             ErrMalformed,
		`{"alg":"HS256","zip":"DEF"}`:                 ErrMalformed,
		`{"alg":"HS256","pad":"` + long(4<<10) + `"}`: ErrMalformed, // a long header
		`{"alg":"HS256","x":` + nest(33) + `}`:        ErrMalformed,
		`{"alg":"HS256","crit":["x-unknown"]}`:        ErrCritical, // jwtkeys-14
		`{"alg":"HS256","crit":["exp"],"exp":1}`:      ErrCritical,
		`{"alg":"HS256","crit":[]}`:                   ErrCritical,
		`{"alg":"HS256","crit":null}`:                 ErrCritical,
		`{"alg":"HS256","crit":["b64"],"b64":false}`:  ErrCritical,
		`{"alg":"HS256","b64":true}`:                  ErrCritical,
	} {
		if _, err := Parse(forge(t, "HS256", header, goodPayload)); !errors.Is(err, want) {
			t.Errorf("%.80s: %v, want %v", header, err, want)
		}
	}
}

func long(n int) string { return strings.Repeat("x", n) }

func nest(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

func TestAnOddKidIsOnlyAString(t *testing.T) {
	t.Parallel()
	for _, kid := range []string{"../../dev/null", "x' UNION SELECT '1';--", "clé", " ", long(128)} {
		p, err := Parse(forge(t, "HS256", string(toJSON(t, map[string]string{"alg": "HS256", "kid": kid})), goodPayload))
		if err != nil || p.Header.KeyID != kid {
			t.Errorf("%q: %v, %v", kid, p, err)
		}
	}
}

// jwtclaims-03 to 07, 10, 12, 13.
func TestPayloadsThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{
		`[1]`, `null`, `"x"`, `{}{}`, `{}x`, "\ufeff{}", `{"a":1,}`, `{"a":1/*c*/}`, `{a:1}`, `{"a":01}`, `{`, ``, ` `, // jwtclaims-12
		`{"exp":NaN}`, `{"exp":Infinity}`, `{"exp":0x7fffffff}`, `{"exp":9_999}`, `{"exp":+9}`, `{"exp":.5}`, `{"exp":5.}`,
		`{"exp":"9999999999"}`, `{"exp":null}`, `{"exp":true}`, `{"exp":[1]}`, `{"exp":{}}`, // jwtclaims-03
		`{"nbf":"1"}`, `{"iat":"1"}`, `{"nbf":1e20}`, `{"iat":9223372036854775807}`,
		`{"exp":1e400}`, `{"exp":` + strings.Repeat("9", 400) + `}`, `{"exp":1e-400}`, // jwtclaims-05
		`{"other":` + strings.Repeat("9", 65) + `}`,
		`{"exp":1,"exp":9999999999}`, `{"exp":1,"\u0065xp":9999999999}`, `{"a":{"b":1,"b":2}}`, // jwtclaims-06
		`{"exp":1,"EXP":9999999999}`, `{"EXP":9999999999}`, `{"Sub":"root"}`, `{"AUD":"x"}`, `{"` + "i\u017f\u017f" + `":"x"}`, `{"SCOPE":"x"}`, `{"Scp":[]}`, // jwtclaims-07
		`{"sub":1}`, `{"sub":null}`, `{"sub":["alice"]}`, `{"sub":{}}`, `{"iss":1}`, `{"iss":null}`, `{"jti":1}`, // jwtclaims-10
		`{"aud":null}`, `{"aud":1}`, `{"aud":{}}`, `{"aud":["a",1]}`, `{"aud":[["a"]]}`, `{"aud":["a",null]}`,
		"{\"sub\":\"a\xff\"}", "{\"a\xff\":1}", `{"sub":"\ud800"}`, `{"sub":"\udc00\ud800"}`, "{\"sub\":\"\xed\xa0\x80\"}", // jwtclaims-13
		"{\"sub\":\"a\nb\"}", // a control character that is not escaped
		`{"a":` + nest(32) + `}`,
		`{"a":[0` + strings.Repeat(",0", 1000) + `]}`,
	} {
		if _, err := Parse(forge(t, "HS256", goodHeader, payload)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%.80q: %v, want ErrMalformed", payload, err)
		}
	}
}

func TestBoundsThemselvesPass(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{
		`{"a":` + nest(31) + `}`,
		`{"a":[0` + strings.Repeat(",0", 996) + `]}`,
		`{"sub":"a\u0000b"}`, // the reader of the claim decides
		` { "sub" : "x" } `,
		`{"a":` + strings.Repeat("9", 64) + `}`,
		`{"sub":"\ud83d\ude00"}`,
	} {
		if _, err := Parse(forge(t, "HS256", goodHeader, payload)); err != nil {
			t.Errorf("%.80q: %v", payload, err)
		}
	}
}

// jwtclaims-05 asks for an answer in under 5 ms.
func TestGiantNumbersAndDepthCostLittle(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{
		`{"exp":` + strings.Repeat("9", 12000) + `}`,
		`{"exp":1e` + strings.Repeat("9", 12000) + `}`,
		`{"exp":0.` + strings.Repeat("0", 11000) + `1e11000}`,
		strings.Repeat(`{"a":`, 2400),
		strings.Repeat(`[`, 12000),
	} {
		raw := b64(goodHeader) + "." + b64(payload) + ".AA"
		fastest := time.Hour // of several, since other tests share the cores
		for range 10 {
			start := time.Now()
			if _, err := Parse(raw); !errors.Is(err, ErrMalformed) {
				t.Fatalf("%.20s…: %v", payload, err)
			}
			fastest = min(fastest, time.Since(start))
		}
		if fastest > 5*time.Millisecond {
			t.Errorf("%.20s… took %v", payload, fastest)
		}
	}
}

func TestDates(t *testing.T) {
	t.Parallel()
	for number, want := range map[string]time.Time{
		"0":                       time.Unix(0, 0),
		"0.0":                     time.Unix(0, 0),
		"1":                       time.Unix(1, 0),
		"253402300799":            time.Unix(maxDate, 0),
		"253402300799.000":        time.Unix(maxDate, 0),
		"1.5":                     time.Unix(1, 5e8),
		"1.0000000019":            time.Unix(1, 1),
		"9007199254740993e0":      {}, // no float64, and out of range
		"1700000000.123456789999": time.Unix(1700000000, 123456789),
		"1e9":                     time.Unix(1e9, 0),
		"1E+9":                    time.Unix(1e9, 0),
		"1.7e9":                   time.Unix(17e8, 0),
		"1234567890123e-3":        time.Unix(1234567890, 123e6),
		"5e-1":                    time.Unix(0, 5e8),
		"5e-20":                   time.Unix(0, 0),
		"253402300800":            {},
		"253402300799.1":          {},
		"253402300799.0000000001": {},
		"1e12":                    {},
		"1e400":                   {},
		"1e-400":                  {},
		"1e99999999999999999999":  {},
		"-1":                      {},
		"-0":                      {},
		"-1e-30":                  {},
		"99999999999999999999":    {},
	} {
		got, err := parseDate(number)
		if want.IsZero() != (err != nil) || !got.Equal(want) {
			t.Errorf("%s: %v, %v; want %v", number, got, err, want)
		}
	}
}

func TestErrorsQuoteNothingOfTheToken(t *testing.T) {
	t.Parallel()
	const canary = "canary-7731"
	for _, raw := range []string{
		canary,
		b64(`{"alg":"HS256","`+canary+`":1,"`+canary+`":2}`) + ".e30.AA",
		b64(goodHeader) + "." + b64(`{"sub":"`+canary+`"x}`) + ".AA",
		b64(goodHeader) + "." + b64(`{"exp":"`+canary+`"}`) + ".AA",
		b64(goodHeader) + "." + b64(`{}`) + "." + canary + "!",
		b64(goodHeader) + "." + base64.StdEncoding.EncodeToString([]byte(canary)) + ".AA",
	} {
		_, err := Parse(raw)
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", raw, err)
		}
	}
}
