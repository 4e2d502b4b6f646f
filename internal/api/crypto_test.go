package api

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sallyport/sallyport/internal/crypto"
)

func TestWhatIsEncryptedDecrypts(t *testing.T) {
	s := serve(t, nil)
	for _, ring := range []string{"pii", "long", "fern"} {
		for _, c := range []struct{ in, encoding, out, told string }{
			{"ann@example.com", "utf8", "ann@example.com", "utf8"},
			{"", "utf8", "", "utf8"},
			{"naïve ☃", "", "naïve ☃", "utf8"},
			{base64.StdEncoding.EncodeToString([]byte{0, 0xff}), "base64", base64.StdEncoding.EncodeToString([]byte{0, 0xff}), "base64"},
		} {
			question := map[string]any{"plaintext": c.in}
			if c.encoding != "" {
				question["encoding"] = c.encoding
			}
			a := s.post("/keyrings/"+ring+"/encrypt", quote(question))
			if a.m["version"] != 1.0 {
				t.Errorf("%s: version %v", ring, a.m["version"])
			}
			b := s.post("/keyrings/"+ring+"/decrypt", quote(map[string]any{"ciphertext": a.m["ciphertext"]}))
			if b.m["plaintext"] != c.out || b.m["encoding"] != c.told || b.m["version"] != 1.0 {
				t.Errorf("%s: %q came back as %s", ring, c.in, b.body)
			}
		}
	}
}

func TestContextBinds(t *testing.T) {
	s := serve(t, nil)
	a := s.post("/keyrings/pii/encrypt", `{"plaintext": "x", "context": "tenant-1"}`)
	ciphertext := quote(a.m["ciphertext"])
	if b := s.post("/keyrings/pii/decrypt", `{"ciphertext": `+ciphertext+`, "context": "tenant-1"}`); b.m["plaintext"] != "x" {
		t.Error(b.body)
	}
	for _, context := range []string{`"tenant-2"`, `""`} {
		if b := s.ask("POST", "/keyrings/pii/decrypt", `{"ciphertext": `+ciphertext+`, "context": `+context+`}`); b.status != 422 {
			t.Errorf("context %s: %d %s", context, b.status, b.body)
		}
	}
}

func TestEveryFailedDecryptionIsAnsweredAlike(t *testing.T) {
	s := serve(t, nil)
	good := s.post("/keyrings/pii/encrypt", `{"plaintext": "x"}`).m["ciphertext"].(string)
	fern := s.post("/keyrings/fern/encrypt", `{"plaintext": "x"}`).m["ciphertext"].(string)
	var first string
	for name, c := range map[string]struct{ ring, ciphertext string }{
		"changed": {"pii", good[:len(good)-6] + "AAAA" + good[len(good)-2:]}, "no base64": {"pii", "gw:v1:%%%"}, "empty": {"pii", ""},
		"crypto-06 version 999": {"pii", "gw:v999:" + good[6:]}, "version -1": {"pii", "gw:v-1:" + good[6:]}, "version 0": {"pii", "gw:v0:" + good[6:]},
		"of another keyring": {"long", good}, "a Fernet token": {"pii", fern}, "crypto-02": {"fern", fern[:20] + swapped(fern[20]) + fern[21:]}, "cut": {"fern", fern[:40]},
	} {
		a := s.ask("POST", "/keyrings/"+c.ring+"/decrypt", quote(map[string]any{"ciphertext": c.ciphertext}))
		if a.status != http.StatusUnprocessableEntity || a.m["type"] != "urn:sallyport:problem:decryption-failed" || a.m["request_id"] != "req-1" {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
		if first == "" {
			first = a.body
		}
		if a.body != first {
			t.Errorf("%s: %s, and another: %s", name, a.body, first)
		}
	}
}

func TestBodiesAreReadStrictly(t *testing.T) {
	s := serve(t, nil)
	for name, c := range map[string]struct {
		path, body string
		status     int
	}{
		"empty":                 {"/keyrings/pii/encrypt", ``, 400},
		"no JSON":               {"/keyrings/pii/encrypt", `plaintext=x`, 400},
		"a list":                {"/keyrings/pii/encrypt", `["x"]`, 400},
		"null":                  {"/keyrings/pii/encrypt", `{"plaintext": null}`, 400},
		"null in an item":       {"/keyrings/pii/encrypt", `{"items": [{"plaintext": "x", "context": null}]}`, 400},
		"null for items":        {"/keyrings/pii/encrypt", `{"items": null}`, 400},
		"null iterations":       {"/passwords/hash", `{"password": "x", "iterations": null}`, 400},
		"an empty encoding":     {"/keyrings/pii/encrypt", `{"plaintext": "x", "encoding": ""}`, 400},
		"an empty algorithm":    {"/passwords/hash", `{"password": "x", "algorithm": ""}`, 400},
		"no iterations":         {"/passwords/hash", `{"password": "x", "iterations": 0}`, 400},
		"another type":          {"/keyrings/pii/encrypt", `{"plaintext": 1}`, 400},
		"unknown name":          {"/keyrings/pii/encrypt", `{"plaintext": "x", "contxt": "y"}`, 400},
		"another case":          {"/keyrings/pii/encrypt", `{"Plaintext": "x"}`, 400},
		"repeated name":         {"/keyrings/pii/encrypt", `{"plaintext": "x", "plaintext": "y"}`, 400},
		"data after it":         {"/keyrings/pii/encrypt", `{"plaintext": "x"} {}`, 400},
		"bad UTF-8":             {"/keyrings/pii/encrypt", "{\"plaintext\": \"\xff\"}", 400},
		"half a surrogate":      {"/keyrings/pii/encrypt", `{"plaintext": "\ud800"}`, 400},
		"unknown encoding":      {"/keyrings/pii/encrypt", `{"plaintext": "x", "encoding": "hex"}`, 400},
		"bad base64":            {"/keyrings/pii/encrypt", `{"plaintext": "a", "encoding": "base64"}`, 400},
		"base64 not padded":     {"/keyrings/pii/encrypt", `{"plaintext": "YQ", "encoding": "base64"}`, 400},
		"deep":                  {"/keyrings/pii/encrypt", `{"plaintext": ` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`, 400},
		"items and more":        {"/keyrings/pii/encrypt", `{"plaintext": "x", "items": []}`, 400},
		"fernet has no context": {"/keyrings/fern/encrypt", `{"plaintext": "x", "context": "y"}`, 400},
		"no ciphertext":         {"/keyrings/pii/decrypt", `{}`, 400},
		"age of aes":            {"/keyrings/pii/decrypt", `{"ciphertext": "gw:v1:AAAA", "max_age": "5m"}`, 400},
		"age that is none":      {"/keyrings/fern/decrypt", `{"ciphertext": "x", "max_age": "soon"}`, 400},
		"age of 0":              {"/keyrings/fern/decrypt", `{"ciphertext": "x", "max_age": "0s"}`, 400},
		"hmac encrypts":         {"/keyrings/sign/encrypt", `{"plaintext": "x"}`, 400},
		"aes makes macs":        {"/keyrings/pii/mac", `{"data": "x"}`, 400},
		"mac given":             {"/keyrings/sign/mac", `{"data": "x", "mac": "00"}`, 400},
		"mac missing":           {"/keyrings/sign/verify", `{"data": "x"}`, 400},
		"crypto-10, 0 bytes":    {"/tokens", `{"bytes": 0}`, 400},
		"crypto-10, -1 bytes":   {"/tokens", `{"bytes": -1}`, 400},
		"crypto-10, 7 bytes":    {"/tokens", `{"bytes": 7}`, 400},
		"crypto-10, 10^9":       {"/tokens", `{"bytes": 1000000000}`, 400},
		"md5":                   {"/hash", `{"data": "x", "algorithm": "md5"}`, 400},
		"key type":              {"/keys", `{"type": "des"}`, 400},
		"api key without id":    {"/api-keys", `{}`, 400},
		"expires in the past":   {"/api-keys", `{"id": "a", "expires": "2020-01-01T00:00:00Z"}`, 400},
		"hash of no form":       {"/passwords/verify", `{"password": "x", "hash": "md5:x"}`, 400},
		"too few iterations":    {"/passwords/hash", `{"password": "x", "iterations": 1000}`, 400},
		"unknown algorithm":     {"/passwords/hash", `{"password": "x", "algorithm": "md5"}`, 400},
		"empty password":        {"/passwords/hash", `{"password": ""}`, 422},
		"long password":         {"/passwords/hash", `{"password": "` + strings.Repeat("x", 1025) + `"}`, 422},
		"long for bcrypt":       {"/passwords/hash", `{"algorithm": "bcrypt", "password": "` + strings.Repeat("x", 73) + `"}`, 422},
		"crypto-07, too large":  {"/keyrings/pii/encrypt", `{"plaintext": "` + strings.Repeat("x", 64<<10) + `"}`, 413},
		"no such keyring":       {"/keyrings/none/encrypt", `{"plaintext": "x"}`, 404},
		"no such call":          {"/keyrings/pii/shred", `{}`, 404},
	} {
		if a := s.ask("POST", c.path, c.body); a.status != c.status || a.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if a := s.ask("GET", "/keyrings/pii/encrypt", ""); a.status != 405 || a.header.Get("Allow") != "POST" {
		t.Errorf("GET: %d, Allow %q", a.status, a.header.Get("Allow"))
	}
}

func TestTheLargestPlaintextPasses(t *testing.T) {
	s := serve(t, nil)
	frame := `{"plaintext": ""}`
	s.post("/keyrings/pii/encrypt", `{"plaintext": "`+strings.Repeat("x", 64<<10-len(frame))+`"}`)
}

func TestBatchesKeepOrderAndErrors(t *testing.T) {
	s := serve(t, nil)
	good := s.post("/keyrings/pii/encrypt", `{"items": [{"plaintext": "a"}, {"plaintext": "%", "encoding": "base64"}, {}, {"plaintext": "b"}]}`)
	items := good.m["items"].([]any)
	if len(items) != 4 {
		t.Fatal(good.body)
	}
	status := func(item any) any {
		e, _ := item.(map[string]any)["error"].(map[string]any)
		return e["status"]
	}
	if status(items[0]) != nil || status(items[1]) != 400.0 || status(items[2]) != 400.0 || status(items[3]) != nil {
		t.Error(good.body)
	}
	first, last := items[0].(map[string]any)["ciphertext"], items[3].(map[string]any)["ciphertext"]
	a := s.post("/keyrings/pii/decrypt", quote(map[string]any{"items": []any{
		map[string]any{"ciphertext": last}, map[string]any{"ciphertext": "gw:v1:AAAA"}, map[string]any{"ciphertext": first},
	}}))
	items = a.m["items"].([]any)
	if items[0].(map[string]any)["plaintext"] != "b" || status(items[1]) != 422.0 || items[2].(map[string]any)["plaintext"] != "a" {
		t.Error(a.body)
	}
	s.post("/keyrings/pii/rewrap", quote(map[string]any{"items": []any{map[string]any{"ciphertext": last}}}))
	if a := s.post("/keyrings/pii/encrypt", `{"items": []}`); a.body != "{\"items\":[]}\n" {
		t.Errorf("none: %s", a.body)
	}
	many := func(n int) string {
		return `{"items": [` + strings.TrimSuffix(strings.Repeat(`{"plaintext": "x"},`, n), ",") + `]}`
	}
	if a := s.post("/keyrings/pii/encrypt", many(1000)); len(a.m["items"].([]any)) != 1000 {
		t.Error("1,000 did not pass")
	}
	if a := s.ask("POST", "/keyrings/pii/encrypt", many(1001)); a.status != 400 {
		t.Errorf("1,001: %d", a.status)
	}
}

func TestCrypto11EachCallNeedsItsScope(t *testing.T) {
	s := serve(t, nil)
	calls := []struct{ scope, method, path string }{
		{"crypto:encrypt", "POST", "/keyrings/pii/encrypt"}, {"crypto:decrypt", "POST", "/keyrings/pii/decrypt"}, {"crypto:encrypt", "POST", "/keyrings/pii/rewrap"},
		{"crypto:admin", "POST", "/keyrings/pii/rotate"}, {"crypto:admin", "GET", "/keyrings"}, {"crypto:admin", "GET", "/keyrings/pii"},
		{"crypto:mac", "POST", "/keyrings/sign/mac"}, {"crypto:mac", "POST", "/keyrings/sign/verify"}, {"crypto:generate", "POST", "/keys"},
		{"crypto:password", "POST", "/passwords/hash"}, {"crypto:password", "POST", "/passwords/verify"}, {"crypto:generate", "POST", "/tokens"},
		{"crypto:hash", "POST", "/hash"}, {"crypto:hash", "POST", "/compare"}, {"crypto:generate", "POST", "/api-keys"},
	}
	s.rings["pii"].rotate = func() (int, error) { return 2, nil }
	for _, c := range calls {
		for _, scope := range append(strings.Fields(allScopes), "", "crypto", "crypto:*", "CRYPTO:ENCRYPT", c.scope+":other", c.scope+":") {
			s.scopes = []string{scope}
			a := s.ask(c.method, c.path, `{}`)
			if denied := a.status == http.StatusForbidden; denied == (scope == c.scope) {
				t.Errorf("%s %s with %q: %d", c.method, c.path, scope, a.status)
			} else if want := `Bearer realm="gateway", error="insufficient_scope", scope="` + c.scope + `"`; denied && a.header.Get("Www-Authenticate") != want {
				t.Errorf("challenge %q, want %q", a.header.Get("Www-Authenticate"), want)
			}
		}
	}
	s.scopes = []string{"crypto:encrypt:pii"}
	s.post("/keyrings/pii/encrypt", `{"plaintext": "x"}`)
	for _, path := range []string{"/keyrings/long/encrypt", "/keyrings/none/encrypt", "/keyrings/pii/decrypt", "/keys"} {
		if a := s.ask("POST", path, `{"plaintext": "x"}`); a.status != 403 {
			t.Errorf("%s with a scope for encrypt:pii: %d", path, a.status)
		}
	}
	s.scopes = nil
	if a := s.ask("GET", "/openapi.json", ""); a.status != 200 || !strings.HasPrefix(a.m["openapi"].(string), "3.1") {
		t.Errorf("the description: %d", a.status)
	}
}

// Fernet tokens and MACs do not tell their version: where no key is theirs, one
// that is newer may be.
func TestANewerVersionIsLookedForOnce(t *testing.T) {
	s := serve(t, nil)
	for name, kind := range map[string]crypto.Type{"pii": crypto.AES256GCM, "long": crypto.XAES256, "fern": crypto.Fernet, "sign": crypto.HMAC} {
		d := crypto.NewDocument(testTime)
		next, err := d.Rotate(kind, testTime)
		if err != nil {
			t.Fatal(err)
		}
		r := s.rings[name]
		r.now = keyring(t, kind, d)
		newest := keyring(t, kind, next)
		call, body, refused, found := "decrypt", "", 422, `"version":2`
		if kind == crypto.HMAC {
			mac, _, _ := newest.MAC([]byte("x"))
			call, body, refused, found = "verify", quote(map[string]any{"data": "x", "mac": mac}), 200, `{"valid":true}`
		} else {
			ciphertext, _, _ := newest.Encrypt([]byte("x"), nil)
			body = quote(map[string]any{"ciphertext": ciphertext})
		}
		if a := s.ask("POST", "/keyrings/"+name+"/"+call, body); a.status != refused || strings.Contains(a.body, found) || r.rereads != 1 {
			t.Errorf("%s, not there yet: %s after %d rereads", name, a.body, r.rereads)
		}
		r.later = newest
		for range 2 {
			if a := s.post("/keyrings/"+name+"/"+call, body); !strings.Contains(a.body, found) || r.rereads != 2 {
				t.Errorf("%s: %s after %d rereads", name, a.body, r.rereads)
			}
		}
	}
}

func TestKeyringsAreShownWithoutTheirKeys(t *testing.T) {
	s := serve(t, nil)
	s.rings["long"].err = errors.New("the backend at 10.0.0.1 is down")
	a := s.ask("GET", "/keyrings", "")
	if names := fmt.Sprint(a.m["unavailable"]); a.status != 200 || len(a.m["keyrings"].([]any)) != 3 || names != "[long]" {
		t.Error(a.body)
	}
	b := s.ask("GET", "/keyrings/pii", "")
	if b.m["type"] != "aes256-gcm" || b.m["primary"] != 1.0 || strings.Contains(a.body+b.body, `"key"`) {
		t.Error(b.body)
	}
	for _, path := range []string{"/encrypt", "/decrypt", "/rewrap"} {
		c := s.ask("POST", "/keyrings/long"+path, `{"plaintext": "x"}`)
		if path != "/encrypt" {
			c = s.ask("POST", "/keyrings/long"+path, `{"ciphertext": "x"}`)
		}
		if c.status != 503 || c.header.Get("Retry-After") == "" || strings.Contains(c.body, "10.0.0.1") {
			t.Errorf("%s: %d %s", path, c.status, c.body)
		}
	}
}

func TestKeyOperationsAreRecordedOrRefused(t *testing.T) {
	s := serve(t, nil)
	rotations := 0
	s.rings["pii"].rotate = func() (int, error) { rotations++; return 2, nil }
	if a := s.post("/keyrings/pii/rotate", ""); a.m["version"] != 2.0 {
		t.Error(a.body)
	}
	s.post("/keys", `{"type": "fernet"}`)
	s.post("/api-keys", `{"id": "acme"}`)
	want := `[{rotate pii ann corp req-1} {generate_key  ann corp req-1} {generate_api_key  ann corp req-1}]`
	if got := fmt.Sprint(s.events); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	s.audit = errors.New("disk full")
	for _, c := range []struct{ path, body string }{{"/keyrings/pii/rotate", ""}, {"/keys", `{"type": "fernet"}`}, {"/api-keys", `{"id": "acme"}`}} {
		if a := s.ask("POST", c.path, c.body); a.status != 503 {
			t.Errorf("%s: %d %s", c.path, a.status, a.body)
		}
	}
	if rotations != 1 {
		t.Errorf("%d rotations", rotations)
	}
	s.audit = nil
	for err, status := range map[error]int{ErrReadOnly: 409, ErrConflict: 409, errors.New("other"): 500} {
		s.rings["pii"].rotate = func() (int, error) { return 0, err }
		if a := s.ask("POST", "/keyrings/pii/rotate", ""); a.status != status {
			t.Errorf("%v: %d %s", err, a.status, a.body)
		}
	}
}

func TestOperationsAreCountedWithoutCallersNames(t *testing.T) {
	s := serve(t, nil)
	s.post("/keyrings/pii/encrypt", `{"plaintext": "x"}`)
	s.ask("POST", "/keyrings/pii/decrypt", `{"ciphertext": "x"}`)
	for _, name := range []string{"a", "b", "c"} {
		s.ask("POST", "/keyrings/"+name+"/encrypt", `{}`)
	}
	const want = `
# HELP gateway_crypto_operations_total Calls of the crypto API, by what they ended with; keyring is empty where there is none.
# TYPE gateway_crypto_operations_total counter
gateway_crypto_operations_total{keyring="",operation="encrypt",result="not_found"} 3
gateway_crypto_operations_total{keyring="pii",operation="decrypt",result="decryption_failed"} 1
gateway_crypto_operations_total{keyring="pii",operation="encrypt",result="ok"} 1
`
	if err := testutil.GatherAndCompare(s.registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func TestMACsAreMadeAndVerified(t *testing.T) {
	s := serve(t, nil)
	a := s.post("/keyrings/sign/mac", `{"data": "aGk=", "encoding": "base64"}`)
	if b := s.post("/keyrings/sign/mac", `{"data": "hi"}`); b.m["mac"] != a.m["mac"] {
		t.Errorf("%s and %s", a.body, b.body)
	}
	for data, valid := range map[string]bool{"hi": true, "ho": false} {
		if b := s.post("/keyrings/sign/verify", quote(map[string]any{"data": data, "mac": a.m["mac"]})); b.m["valid"] != valid {
			t.Errorf("%s: %s", data, b.body)
		}
	}
}

// swapped is another character of base64 than c.
func swapped(c byte) string {
	if c == 'A' {
		return "B"
	}
	return "A"
}
