package crypto

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestKeyringDocuments(t *testing.T) {
	key := keyOf(1)
	one := func(body string) string { return `{"primary": 1, "versions": {"1": ` + body + `}}` }
	for name, c := range map[string]struct {
		kind Type
		text string
		good bool
	}{
		"a bare key":                 {AES256GCM, key, true},
		"with a line break":          {AES256GCM, key + "\n", true},
		"URL-safe":                   {Fernet, base64.URLEncoding.EncodeToString(bytes.Repeat([]byte{0xff}, 32)), true},
		"a document":                 {AES256GCM, one(`{"key": "` + key + `", "created": "2026-01-01T00:00:00Z", "retired": false}`), true},
		"only what must be":          {AES256GCM, one(`{"key": "` + key + `"}`), true},
		"a long hmac key":            {HMAC, base64.StdEncoding.EncodeToString(make([]byte, 64)), true},
		"a long aes key":             {AES256GCM, base64.StdEncoding.EncodeToString(make([]byte, 64)), false},
		"a short hmac key":           {HMAC, base64.StdEncoding.EncodeToString(make([]byte, 31)), false},
		"a short key":                {AES256GCM, base64.StdEncoding.EncodeToString(make([]byte, 16)), false},
		"no padding":                 {AES256GCM, strings.TrimRight(key, "="), false},
		"no base64":                  {AES256GCM, "correct horse battery staple", false},
		"empty":                      {AES256GCM, "", false},
		"no versions":                {AES256GCM, `{"primary": 1, "versions": {}}`, false},
		"primary is missing":         {AES256GCM, `{"primary": 2, "versions": {"1": {"key": "` + key + `"}}}`, false},
		"primary is retired":         {AES256GCM, one(`{"key": "` + key + `", "retired": true}`), false},
		"version 0":                  {AES256GCM, `{"primary": 0, "versions": {"0": {"key": "` + key + `"}}}`, false},
		"version 01":                 {AES256GCM, `{"primary": 1, "versions": {"01": {"key": "` + key + `"}}}`, false},
		"version one":                {AES256GCM, `{"primary": 1, "versions": {"one": {"key": "` + key + `"}}}`, false},
		"version 2^31":               {AES256GCM, `{"primary": 1, "versions": {"1": {"key": "` + key + `"}, "2147483648": {"key": "` + key + `"}}}`, false},
		"an unknown name":            {AES256GCM, one(`{"key": "` + key + `", "retierd": true}`), false},
		"a repeated name":            {AES256GCM, `{"primary": 1, "primary": 1, "versions": {"1": {"key": "` + key + `"}}}`, false},
		"a repeated version":         {AES256GCM, `{"primary": 1, "versions": {"1": {"key": "` + key + `"}, "1": {"key": "` + key + `"}}}`, false},
		"a name of another case":     {AES256GCM, one(`{"Key": "` + key + `"}`), false},
		"data after it":              {AES256GCM, one(`{"key": "`+key+`"}`) + "{}", false},
		"a list":                     {AES256GCM, `["` + key + `"]`, false},
		"a time that is none":        {AES256GCM, one(`{"key": "` + key + `", "created": "yesterday"}`), false},
		"too many versions":          {AES256GCM, manyVersions(maxVersions + 1), false},
		"as many versions as may be": {AES256GCM, manyVersions(maxVersions), true},
	} {
		_, err := ParseDocument(c.kind, []byte(c.text))
		switch {
		case c.good && err != nil:
			t.Errorf("%s: %v", name, err)
		case !c.good && !errors.Is(err, ErrDocument):
			t.Errorf("%s: %v", name, err)
		case err != nil && strings.Contains(err.Error(), key[:8]):
			t.Errorf("%s: the error quotes the key: %v", name, err)
		}
	}
}

func manyVersions(n int) string {
	var b strings.Builder
	b.WriteString(`{"primary": 1, "versions": {`)
	for i := 1; i <= n; i++ {
		if i > 1 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"%d": {"key": %q}`, i, keyOf(1))
	}
	return b.String() + "}}"
}

func TestRotatedDocumentsKeepEveryKey(t *testing.T) {
	for _, kind := range []Type{Fernet, AES256GCM, XAES256, HMAC} {
		d := NewDocument(testTime)
		before, err := NewKeyring(kind, d, KeyringOptions{})
		if err != nil {
			t.Fatal(err)
		}
		next, err := d.Rotate(kind, testTime)
		if err != nil {
			t.Fatal(err)
		}
		if len(d.Versions) != 1 || next.Primary != 2 || len(next.Versions) != 2 {
			t.Fatalf("%s: %d versions became %d, primary %d", kind, len(d.Versions), len(next.Versions), next.Primary)
		}
		text, err := next.Encode(kind)
		if err != nil {
			t.Fatal(err)
		}
		read := mustDocument(t, kind, string(text))
		if again, _ := read.Encode(kind); !bytes.Equal(text, again) {
			t.Errorf("%s: written again it is %s, not %s", kind, again, text)
		}
		if kind == HMAC {
			continue
		}
		after := mustKeyring(t, kind, string(text))
		ciphertext, _, err := before.Encrypt([]byte("text"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if opened, version, err := after.Decrypt(ciphertext, DecryptOptions{}); err != nil || version != 1 || string(opened) != "text" {
			t.Errorf("%s: %q of version %d, %v", kind, opened, version, err)
		}
	}
}

func FuzzParseDocument(f *testing.F) {
	f.Add("aes256-gcm", threeVersions)
	f.Add("fernet", keyOf(1))
	f.Add("hmac", manyVersions(3))
	f.Fuzz(func(t *testing.T, kind, text string) {
		d, err := ParseDocument(Type(kind), []byte(text))
		if err != nil {
			return
		}
		encoded, err := d.Encode(Type(kind))
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseDocument(Type(kind), encoded)
		if err != nil {
			t.Fatalf("what was read is refused when written: %v", err)
		}
		if twice, _ := again.Encode(Type(kind)); !bytes.Equal(encoded, twice) {
			t.Errorf("%s is written as %s", encoded, twice)
		}
	})
}
