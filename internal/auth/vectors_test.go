package auth

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// jwtCase is one of testdata/jwt_cases.json.
type jwtCase struct{ Case, Name, Header, Payload, Sign, Mutate, Expect, Note string }

func TestJWTCases(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("testdata/jwt_cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []jwtCase
	if err := json.Unmarshal(doc, &cases); err != nil {
		t.Fatal(err)
	}
	a := accepting(newIssuer(t, IssuerOptions{Leeway: 30 * time.Second}))
	right := 0
	for _, c := range cases {
		t.Run(c.Case+" "+c.Name, func(t *testing.T) {
			principal, err := a.Authenticate(t.Context(), bearerOf(c.token(t)))
			switch {
			case c.Expect == "accept" && (err != nil || principal.Subject != "alice"):
				t.Errorf("refused: %v", err)
			case c.Expect != "accept" && !errors.Is(err, ErrInvalidToken) && !errors.Is(err, ErrMalformed):
				t.Errorf("%v, %v; want ErrInvalidToken", principal, err)
			default:
				right++
			}
		})
	}
	t.Logf("%d/%d", right, len(cases))
	if len(cases) != 51 {
		t.Errorf("%d cases, want 51", len(cases))
	}
}

var nowPattern = regexp.MustCompile(`\{NOW([+-]\d+)\}`)

func (c jwtCase) token(t *testing.T) string {
	t.Helper()
	fill := func(text string) string {
		text = strings.NewReplacer("{ISS}", testIssuer, "{AUD}", testAudience).Replace(text)
		return nowPattern.ReplaceAllStringFunc(text, func(m string) string {
			n, err := strconv.ParseInt(nowPattern.FindStringSubmatch(m)[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return strconv.FormatInt(time.Now().Unix()+n, 10)
		})
	}
	header, payload := fill(c.Header), fill(c.Payload)
	if strings.Contains(c.Note, "latin-1") {
		latin := make([]byte, 0, len(payload))
		for _, r := range payload {
			latin = append(latin, byte(r))
		}
		payload = string(latin)
	}
	for n := 0; ; n++ {
		raw := ""
		switch key, named := strings.CutPrefix(c.Sign, "hmac key: "); {
		case c.Sign == "good":
			raw = forge(testSecret, header, payload)
		case c.Sign == "empty":
			raw = forge(testSecret, header, payload)
			raw = raw[:strings.LastIndexByte(raw, '.')+1]
		case named:
			raw = forge(key, header, payload)
		default:
			t.Fatalf("sign %q is not known", c.Sign)
		}
		if mutated := mutate(t, raw, c.Mutate); mutated != raw || c.Mutate == "" {
			return mutated
		}
		payload += " " // no character to mutate in this one: spell it otherwise
	}
}

func mutate(t *testing.T, raw, how string) string {
	t.Helper()
	dot := strings.LastIndexByte(raw, '.')
	signature := func(change func([]byte) []byte) string {
		decoded, err := base64.RawURLEncoding.DecodeString(raw[dot+1:])
		if err != nil {
			t.Fatal(err)
		}
		return raw[:dot+1] + base64.RawURLEncoding.EncodeToString(change(decoded))
	}
	switch {
	case how == "":
		return raw
	case how == "drop last segment and dot":
		return raw[:dot]
	case how == "truncate signature to 16 bytes":
		return signature(func(s []byte) []byte { return s[:16] })
	case how == "flip bit 0 of signature":
		return signature(func(s []byte) []byte { s[0] ^= 1; return s })
	case how == "change one payload byte":
		segments := strings.Split(raw, ".")
		payload, _ := base64.RawURLEncoding.DecodeString(segments[1])
		changed := strings.Replace(string(payload), "alice", "alicf", 1)
		return segments[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(changed)) + "." + segments[2]
	case how == "append = to signature":
		return raw + "="
	case strings.HasPrefix(how, "replace - with + and _ with /"):
		return strings.NewReplacer("-", "+", "_", "/").Replace(raw)
	case how == "append .x":
		return raw + ".x"
	}
	t.Fatalf("mutation %q is not known", how)
	return ""
}
