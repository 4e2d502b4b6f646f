package api

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/crypto"
)

// TestEveryCryptoCaseHasItsTest holds testdata/cases.json, the attack cases on
// the crypto API, against the tests: each has one that bears its id.
func TestEveryCryptoCaseHasItsTest(t *testing.T) {
	doc, err := os.ReadFile("testdata/cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct{ ID, Input, Expected string }
	if err := json.Unmarshal(doc, &cases); err != nil || len(cases) != 12 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	named := make(map[string]bool)
	for _, folder := range []string{".", "../crypto", "../gateway"} {
		files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range regexp.MustCompile(`\bcrypto-\d\d\b`).FindAllString(string(text), -1) {
				named[id] = true
			}
		}
	}
	for _, c := range cases {
		if !named[c.ID] {
			t.Errorf("%s has no test: %s, %s", c.ID, c.Input, c.Expected)
		}
	}
}

// crypto-02, crypto-03, crypto-04, crypto-06, crypto-12: whatever is wrong with a
// ciphertext the answer is one and the same 422, byte for byte.
func TestCryptoCasesAreOneAnswer(t *testing.T) {
	s := serve(t, nil)
	seal := func(ring string) string {
		return s.post("/keyrings/"+ring+"/encrypt", `{"plaintext": "abc"}`).m["ciphertext"].(string)
	}
	good, fern := seal("pii"), seal("fern")
	encoded := strings.TrimPrefix(good, "gw:v1:")
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	token, err := base64.URLEncoding.DecodeString(fern)
	if err != nil {
		t.Fatal(err)
	}
	std, url := base64.StdEncoding.EncodeToString, base64.URLEncoding.EncodeToString
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	stray := func(text string) string { // sets a bit that no byte has
		last := len(strings.TrimRight(text, "=")) - 1
		return text[:last] + string(alphabet[strings.IndexByte(alphabet, text[last])|1]) + text[last+1:]
	}
	changed := func(b []byte, at int) []byte {
		b = append([]byte{}, b...)
		b[at] ^= 1
		return b
	}
	type one struct{ ring, ciphertext string }
	cases := map[string]one{
		"crypto-02, last byte of the MAC": {"fern", url(changed(token, len(token)-1))},
		"crypto-02, its first":            {"fern", url(changed(token, len(token)-32))},
		"crypto-02, the ciphertext":       {"fern", url(changed(token, 30))},
		"crypto-02, the time":             {"fern", url(changed(token, 8))},
		"crypto-02, the MAC cut":          {"fern", url(token[:len(token)-1])},
		"crypto-02, no MAC":               {"fern", url(token[:len(token)-32])},
		"crypto-12, Fernet of std":        {"fern", strings.NewReplacer("-", "+", "_", "/").Replace(url(append([]byte{0x80, 0xff, 0xff, 0xfe}, token[4:]...)))},
		"crypto-12, Fernet unpadded":      {"fern", strings.TrimRight(fern, "=")},
		"crypto-12, Fernet with newline":  {"fern", fern + "\n"},
		"crypto-03, tag of 12 bytes":      {"pii", "gw:v1:" + std(raw[:len(raw)-4])},
		"crypto-03, tag of 8 bytes":       {"pii", "gw:v1:" + std(raw[:len(raw)-8])},
		"crypto-03, tag of 4 bytes":       {"pii", "gw:v1:" + std(raw[:len(raw)-12])},
		"crypto-04, only tag":             {"pii", "gw:v1:" + std(raw[len(raw)-16:])},
		"crypto-06, v999":                 {"pii", "gw:v999:" + encoded},
		"crypto-06, v-1":                  {"pii", "gw:v-1:" + encoded},
		"crypto-06, v0":                   {"pii", "gw:v0:" + encoded},
		"crypto-06, v2^31":                {"pii", "gw:v2147483648:" + encoded},
		"crypto-06, v2^64+1":              {"pii", "gw:v18446744073709551617:" + encoded},
		"crypto-06, v01":                  {"pii", "gw:v01:" + encoded},
		"crypto-06, no number":            {"pii", "gw:v:" + encoded},
		"crypto-12, URL-safe":             {"pii", "gw:v1:" + url(append([]byte{0xff, 0xff, 0xfe}, raw...))},
		"crypto-12, unpadded":             {"pii", strings.TrimRight(good, "=")},
		"crypto-12, newline inside":       {"pii", good[:20] + "\n" + good[20:]},
		"crypto-12, newline at the end":   {"pii", good + "\n"},
		"crypto-12, trailing bits":        {"pii", stray(good)},
		"crypto-12, more padding":         {"pii", good + "="},
	}
	for n := range 28 { // crypto-04: 0 to 27 bytes, of which 12 are the nonce alone
		cases["crypto-04, "+string(rune('A'+n))] = one{"pii", "gw:v1:" + std(raw[:n])}
	}
	if !strings.HasSuffix(good, "==") || !strings.HasSuffix(fern, "=") {
		t.Fatalf("%s and %s have no padding to cut", good, fern)
	}
	var first string
	for name, c := range cases {
		for _, call := range []string{"decrypt", "rewrap"} {
			a := s.ask("POST", "/keyrings/"+c.ring+"/"+call, quote(map[string]any{"ciphertext": c.ciphertext}))
			if first == "" {
				first = a.body
			}
			if a.status != http.StatusUnprocessableEntity || a.m["type"] != "urn:sallyport:problem:decryption-failed" || a.body != first {
				t.Errorf("%s, %s: %d %s", name, call, a.status, a.body)
			}
		}
	}
}

// crypto-05: no caller chooses a nonce, and none comes twice, in a batch or after
// a restart.
func TestCrypto05NoncesAreTheGateways(t *testing.T) {
	s := serve(t, nil)
	for _, name := range []string{"nonce", "iv", "version", "key"} {
		if a := s.ask("POST", "/keyrings/pii/encrypt", `{"plaintext": "x", "`+name+`": "AAAAAAAAAAAAAAAA"}`); a.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	batch := `{"items": [` + strings.TrimSuffix(strings.Repeat(`{"plaintext": ""},`, 1000), ",") + `]}`
	d, seen := crypto.NewDocument(testTime), make(map[string]bool)
	for range 3 {
		s.rings["pii"].now = keyring(t, crypto.AES256GCM, d)
		for _, item := range s.post("/keyrings/pii/encrypt", batch).m["items"].([]any) {
			nonce := item.(map[string]any)["ciphertext"].(string)[len("gw:v1:"):][:16]
			if seen[nonce] {
				t.Fatal("a nonce came twice")
			}
			seen[nonce] = true
		}
	}
}

// crypto-07: a plaintext of 0 bytes, one as large as a body holds, and one byte
// more.
func TestCrypto07SizesOfPlaintexts(t *testing.T) {
	s := serve(t, nil)
	if a := s.ask("POST", "/keyrings/pii/decrypt", quote(map[string]any{"ciphertext": strings.Repeat("x", 400<<10)})); a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("a large ciphertext: %d", a.status)
	}
	const frame = len(`{"plaintext":""}`)
	for size, status := range map[int]int{0: 200, 64<<10 - frame: 200, 64<<10 - frame + 1: 413} {
		a := s.ask("POST", "/keyrings/pii/encrypt", `{"plaintext":"`+strings.Repeat("x", size)+`"}`)
		if a.status != status {
			t.Errorf("%d bytes: %d %.200s", size, a.status, a.body)
		}
		if status != http.StatusOK {
			continue
		}
		if b := s.post("/keyrings/pii/decrypt", quote(map[string]any{"ciphertext": a.m["ciphertext"]})); len(b.m["plaintext"].(string)) != size {
			t.Errorf("%d bytes came back as %d", size, len(b.m["plaintext"].(string)))
		}
	}
}

// Whatever was taken to be encrypted can be sent to be decrypted, in a batch too.
func TestWhatIsTakenComesBack(t *testing.T) {
	s := serve(t, nil)
	const item = `{"plaintext":"%s"},`
	for _, ring := range []string{"pii", "long", "fern"} {
		for _, count := range []int{1, 1000} {
			size := (64<<10-len(`{"items":[]}`))/count - len(item) + len("%s")
			one := strings.Replace(item, "%s", strings.Repeat("x", size), 1)
			batch := `{"items":[` + strings.TrimSuffix(strings.Repeat(one, count), ",") + `]}`
			sealed := s.post("/keyrings/"+ring+"/encrypt", batch).m["items"]
			for _, call := range []string{"decrypt", "rewrap"} {
				var items []any
				for _, one := range sealed.([]any) {
					items = append(items, map[string]any{"ciphertext": one.(map[string]any)["ciphertext"]})
				}
				a := s.post("/keyrings/"+ring+"/"+call, quote(map[string]any{"items": items}))
				if strings.Contains(a.body, "error") {
					t.Errorf("%s, %d items: %.200s", ring, count, a.body)
				}
			}
		}
	}
}
