package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// slowHash is of the key sk_test_00000000 and 56 zeros more.
const (
	slowKey  = "sk_test_0000000000000000000000000000000000000000000000000000000000000000"
	slowHash = "$pbkdf2-sha256$i=1000$c29tZXNhbHQxMjM0$"
)

func sha256Hash(key string) string {
	digest := sha256.Sum256([]byte(key))
	return "sha256:" + hex.EncodeToString(digest[:])
}

func TestAPIKeyRecordsAreReadStrictly(t *testing.T) {
	t.Parallel()
	good, slow := sha256Hash("k"), "$pbkdf2-sha256$i=1000$c29tZXNhbHQxMjM0$YlwAMzgfuZxNiZ2N6qClNOyOLFlTNkmJ6vIdpHimzFY"
	for name, c := range map[string]struct{ doc, want string }{
		"nothing":                     {``, "JSON list"},
		"a key alone":                 {`sk_live_0123`, "JSON list"},
		"an object":                   {`{"id": "a", "hash": "` + good + `"}`, "JSON list"},
		"cut short":                   {`[{"id": "a", "hash": "` + good, "not JSON"},
		"two lists":                   {`[] []`, "not JSON"},
		"null":                        {`null`, "JSON list"},
		"a null record":               {`[null]`, "[0]: id"},
		"no id":                       {`[{"hash": "` + good + `"}]`, "[0]: id"},
		"an id with a line break":     {`[{"id": "a\nb", "hash": "` + good + `"}]`, "[0]: id"},
		"no hash":                     {`[{"id": "a"}]`, "[0]: hash is missing"},
		"an empty hash":               {`[{"id": "a", "hash": ""}]`, "[0]: hash is missing"},
		"the key instead of its hash": {`[{"id": "a", "hash": "sk_live_0123456789abcdef0123456789abcdef"}]`, "[0]: hash is neither"},
		"a hash of another kind":      {`[{"id": "a", "hash": "md5:d41d8cd98f00b204e9800998ecf8427e"}]`, "[0]: hash is neither"},
		"a short digest":              {`[{"id": "a", "hash": "` + good[:60] + `"}]`, "[0]: hash must be sha256"},
		"the hash of an empty key":    {`[{"id": "a", "hash": "` + sha256Hash("") + `"}]`, "[0]: hash is that of an empty key"},
		"a slow hash, no prefix":      {`[{"id": "a", "hash": "` + slow + `"}]`, "[0]: with a password hash, prefix"},
		"a slow hash, short prefix":   {`[{"id": "a", "prefix": "sk_test_", "hash": "` + slow + `"}]`, "[0]: with a password hash, prefix"},
		"a prefix that is too long":   {`[{"id": "a", "prefix": "sk_test_000000000", "hash": "` + good + `"}]`, "[0]: prefix"},
		"a slow hash that costs much": {`[{"id": "a", "prefix": "sk_test_00000000", "hash": "` + strings.Replace(slow, "i=1000", "i=99999999", 1) + `"}]`, "[0]: hash is neither"},
		"an unknown member":           {`[{"id": "a", "hash": "` + good + `", "expire": "2020-01-01T00:00:00Z"}]`, "/0/expire is no member"},
		"a member in another case":    {`[{"id": "a", "hash": "` + good + `", "Disabled": true}]`, "/0/Disabled is no member"},
		"a member twice":              {`[{"id": "a", "hash": "` + good + `", "disabled": true, "disabled": false}]`, "/0/disabled is there twice"},
		"a claim twice":               {`[{"id": "a", "hash": "` + good + `", "claims": {"x": 1, "x": 2}}]`, "/0/claims/x is there twice"},
		"disabled as a text":          {`[{"id": "a", "hash": "` + good + `", "disabled": "true"}]`, "/0/disabled is not of the right type"},
		"scopes as a text":            {`[{"id": "a", "hash": "` + good + `", "scopes": "orders:read"}]`, "/0/scopes is not of the right type"},
		"a scope with a space":        {`[{"id": "a", "hash": "` + good + `", "scopes": ["orders:read admin"]}]`, "[0]: scopes"},
		"expires as a number":         {`[{"id": "a", "hash": "` + good + `", "expires": 1900000000}]`, "/0/expires is not of the right type"},
		"expires as a date":           {`[{"id": "a", "hash": "` + good + `", "expires": "2030-01-31"}]`, "/0/expires is not of the right type"},
		"bad UTF-8":                   {"[{\"id\": \"a\xff\", \"hash\": \"" + good + "\"}]", "not JSON"},
		"an id twice":                 {`[{"id": "a", "hash": "` + good + `"}, {"id": "a", "hash": "` + sha256Hash("l") + `"}]`, "[1]: id is another"},
		"a hash twice":                {`[{"id": "a", "hash": "` + good + `"}, {"id": "b", "hash": "` + good + `"}]`, "[1]: hash is another"},
		"four of one prefix":          {"[" + strings.Join(samePrefix(4), ",") + "]", "[3]: more than 3 records"},
		"over a megabyte":             {"[" + strings.Repeat(" ", 1<<20) + "]", "longer than"},
	} {
		list, err := parseAPIKeys([]byte(c.doc))
		if err == nil || list != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
			continue
		}
		for _, secret := range []string{good, "sk_live_0123", "YlwAMzgf"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error quotes the list: %v", name, err)
			}
		}
	}
}

func samePrefix(n int) (records []string) {
	for i := range n {
		records = append(records, fmt.Sprintf(`{"id": "%d", "prefix": "sk_test_00000000", "hash": "$pbkdf2-sha256$i=%d$c29tZXNhbHQxMjM0$YlwAMzgfuZxNiZ2N6qClNOyOLFlTNkmJ6vIdpHimzFY"}`, i, 1000+i))
	}
	return records
}

func TestAPIKeyRecordsThatAreGood(t *testing.T) {
	t.Parallel()
	for name, doc := range map[string]string{
		"none":              ` [ ] `,
		"the least":         `[{"id": "a", "hash": "` + sha256Hash("k") + `"}]`,
		"upper case":        `[{"id": "a", "hash": "sha256:` + strings.ToUpper(sha256Hash("k")[7:]) + `"}]`,
		"all":               `[{"id": "a", "prefix": "sk_live_01234567", "hash": "` + sha256Hash("k") + `", "subject": "Ann Smith", "scopes": ["b", "a", "b"], "claims": {"n": 12345678901234567890, "deep": {"x": [1.50]}}, "expires": "2030-01-31T00:00:00+01:00", "disabled": true}]`,
		"nulls":             `[{"id": "a", "prefix": null, "hash": "` + sha256Hash("k") + `", "subject": null, "scopes": null, "claims": null, "expires": null, "disabled": null}]`,
		"three of a prefix": "[" + strings.Join(samePrefix(3), ",") + "]",
	} {
		if _, err := parseAPIKeys([]byte(doc)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	list, err := parseAPIKeys([]byte(`[{"id": "a", "hash": "` + sha256Hash("k") + `", "scopes": ["b", "a", "b"], "claims": {"n": 12345678901234567890}}]`))
	if err != nil {
		t.Fatal(err)
	}
	k := list.byDigest[sha256.Sum256([]byte("k"))]
	if k == nil || k.subject != "a" || strings.Join(k.scopes, " ") != "a b" || k.claims["n"] != json.Number("12345678901234567890") || k.claims["sub"] != "a" {
		t.Errorf("%+v", k)
	}
}

func TestNewAPIKeyIsFoundByItsRecord(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for range 50 {
		key, record, err := NewAPIKey(NewAPIKeyOptions{Prefix: "sk_live_", Scopes: []string{"a"}, Expires: time.Date(2030, 1, 31, 0, 0, 0, 0, time.UTC)})
		if err != nil || len(key) != 8+64 || seen[key] || seen[record.ID] {
			t.Fatalf("%q, %v", record.ID, err)
		}
		seen[key], seen[record.ID] = true, true
		doc, err := json.Marshal([]APIKeyRecord{record})
		if err != nil {
			t.Fatal(err)
		}
		list, err := parseAPIKeys(doc)
		if err != nil {
			t.Fatal(err)
		}
		if k := list.byDigest[sha256.Sum256([]byte(key))]; k == nil || k.record.ID != record.ID || !k.record.Expires.Equal(*record.Expires) {
			t.Errorf("not found by %s", doc)
		}
		if strings.Contains(string(doc), key[16:]) {
			t.Error("the record holds the key")
		}
	}
	for name, o := range map[string]NewAPIKeyOptions{
		"prefix with a space": {Prefix: "sk live"}, "long prefix": {Prefix: strings.Repeat("x", 65)}, "prefix not ASCII": {Prefix: "é"},
		"id with a line break": {ID: "a\n"}, "long id": {ID: strings.Repeat("x", 257)}, "empty scope": {Scopes: []string{""}}, "scope with a quote": {Scopes: []string{`a"`}},
		"subject with an escape": {Subject: "\x1b[31m"},
	} {
		if key, _, err := NewAPIKey(o); !errors.Is(err, ErrAPIKey) || key != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzAPIKeys(f *testing.F) {
	f.Add([]byte(`[{"id": "a", "prefix": "sk_live_01234567", "hash": "` + sha256Hash("k") + `", "subject": "ann", "scopes": ["a"], "claims": {"n": 1}, "expires": "2030-01-31T00:00:00Z", "disabled": true}]`))
	f.Add([]byte("[" + strings.Join(samePrefix(2), ",") + "]"))
	f.Add([]byte(`[{"id":"a","id":"b"}]`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		list, err := parseAPIKeys(doc)
		if err != nil {
			return
		}
		// What was accepted is written back and read as the same.
		records := []APIKeyRecord{}
		for _, k := range list.byDigest {
			records = append(records, k.record)
		}
		for _, same := range list.byPrefix {
			for _, k := range same {
				records = append(records, k.record)
			}
		}
		again, err := json.Marshal(records)
		if err != nil {
			t.Fatal(err)
		}
		second, err := parseAPIKeys(again)
		if err != nil || len(second.byDigest) != len(list.byDigest) || len(second.byPrefix) != len(list.byPrefix) {
			t.Fatalf("%q is written as %q: %v", doc, again, err)
		}
	})
}
