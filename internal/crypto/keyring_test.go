package crypto

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

var testTime = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// keyOf is a key whose bytes all are b, as a document holds it.
func keyOf(b byte) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32)) }

func mustDocument(t testing.TB, kind Type, text string) Document {
	t.Helper()
	d, err := ParseDocument(kind, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func mustKeyring(t testing.TB, kind Type, text string) *Keyring {
	t.Helper()
	k, err := NewKeyring(kind, mustDocument(t, kind, text), KeyringOptions{Now: func() time.Time { return testTime }})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// threeVersions has a retired key, an older one and the primary.
var threeVersions = fmt.Sprintf(`{"primary": 3, "versions": {
	"1": {"key": %q, "created": "2026-01-01T00:00:00Z", "retired": true},
	"2": {"key": %q, "created": "2026-06-01T00:00:00Z", "retired": false},
	"3": {"key": %q, "created": "2026-11-01T00:00:00Z", "retired": false}}}`, keyOf(1), keyOf(2), keyOf(3))

var sealing = []Type{Fernet, AES256GCM, XAES256}

func TestWhatIsSealedOpens(t *testing.T) {
	for _, kind := range sealing {
		for _, plaintext := range []string{"", "a", "ann@example.com", strings.Repeat("x", 100_000), "\x00\xff"} {
			k := mustKeyring(t, kind, threeVersions)
			ciphertext, version, err := k.Encrypt([]byte(plaintext), nil)
			if err != nil || version != 3 {
				t.Fatalf("%s: sealed under version %d, %v", kind, version, err)
			}
			opened, version, err := k.Decrypt(ciphertext, DecryptOptions{})
			if err != nil || version != 3 || string(opened) != plaintext || opened == nil {
				t.Errorf("%s: %d bytes opened as %d of version %d, %v", kind, len(plaintext), len(opened), version, err)
			}
		}
	}
}

func TestVersionsOpenUntilTheyAreRetired(t *testing.T) {
	for _, kind := range sealing {
		k := mustKeyring(t, kind, threeVersions)
		for number, b := range []byte{1, 2, 3} {
			number++
			old := mustKeyring(t, kind, fmt.Sprintf(`{"primary": %d, "versions": {"%d": {"key": %q, "retired": false}}}`, number, number, keyOf(b)))
			ciphertext, _, err := old.Encrypt([]byte("text"), nil)
			if err != nil {
				t.Fatal(err)
			}
			opened, version, err := k.Decrypt(ciphertext, DecryptOptions{})
			if number == 1 {
				if !errors.Is(err, ErrDecrypt) {
					t.Errorf("%s: a retired version opened %q, %v", kind, opened, err)
				}
				continue
			}
			if err != nil || version != number || string(opened) != "text" {
				t.Errorf("%s: version %d opened %q as version %d, %v", kind, number, opened, version, err)
			}
			again, version, err := k.Rewrap(ciphertext, nil)
			if err != nil || version != 3 {
				t.Errorf("%s: rewrapped under version %d, %v", kind, version, err)
			}
			if opened, _, err := k.Decrypt(again, DecryptOptions{}); err != nil || string(opened) != "text" {
				t.Errorf("%s: after a rewrap: %q, %v", kind, opened, err)
			}
		}
	}
}

func TestEveryFailedDecryptionIsTheSame(t *testing.T) {
	for _, kind := range []Type{AES256GCM, XAES256} {
		k := mustKeyring(t, kind, threeVersions)
		good, _, err := k.Encrypt([]byte("text"), []byte("tenant-1"))
		if err != nil {
			t.Fatal(err)
		}
		encoded := strings.TrimPrefix(good, "gw:v3:")
		raw, _ := base64.StdEncoding.DecodeString(encoded)
		short := func(n int) string { return "gw:v3:" + base64.StdEncoding.EncodeToString(raw[:n]) }
		for name, ciphertext := range map[string]string{
			"empty": "", "prefix alone": "gw:v3:", "no prefix": encoded, "another prefix": "xx:v3:" + encoded,
			"version 0": "gw:v0:" + encoded, "version -1": "gw:v-1:" + encoded, "version 03": "gw:v03:" + encoded, "version +3": "gw:v+3:" + encoded,
			"version without number": "gw:v:" + encoded, "another version": "gw:v2:" + encoded, "retired": "gw:v1:" + encoded,
			"url alphabet":     "gw:v3:" + base64.URLEncoding.EncodeToString(bytes.Repeat([]byte{0xff}, len(raw))),
			"without padding":  "gw:v3:" + base64.RawStdEncoding.EncodeToString(append(raw[:len(raw):len(raw)], 0)),
			"line break":       good[:20] + "\n" + good[20:],
			"line break after": good + "\n", "space": good + " ",
			"1 byte": short(1), "nonce alone": short(12), "27 bytes": short(27), "tag cut": short(len(raw) - 1),
		} {
			if opened, _, err := k.Decrypt(ciphertext, DecryptOptions{Context: []byte("tenant-1")}); err != ErrDecrypt {
				t.Errorf("%s, %s: %q, %v", kind, name, opened, err)
			}
		}
		for i := range raw {
			raw[i] ^= 1
			if _, _, err := k.Decrypt("gw:v3:"+base64.StdEncoding.EncodeToString(raw), DecryptOptions{Context: []byte("tenant-1")}); err != ErrDecrypt {
				t.Errorf("%s: byte %d changed: %v", kind, i, err)
			}
			raw[i] ^= 1
		}
		for _, context := range []string{"", "tenant-2", "tenant-1 ", "Tenant-1"} {
			if _, _, err := k.Decrypt(good, DecryptOptions{Context: []byte(context)}); err != ErrDecrypt {
				t.Errorf("%s: context %q: %v", kind, context, err)
			}
		}
		if _, _, err := k.Decrypt("gw:v4:"+encoded, DecryptOptions{}); !errors.Is(err, ErrNewer) || !errors.Is(err, ErrDecrypt) {
			t.Errorf("%s: a newer version: %v", kind, err)
		}
	}
}

func TestStrayBitsInBase64AreRefused(t *testing.T) {
	k := mustKeyring(t, AES256GCM, keyOf(1))
	good, _, err := k.Encrypt([]byte("abc"), nil) // 31 bytes: two of padding
	if err != nil || !strings.HasSuffix(good, "==") {
		t.Fatalf("%s, %v", good, err)
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	last := len(good) - 3
	for i := 1; i < 16; i++ {
		stray := alphabet[strings.IndexByte(alphabet, good[last])|i]
		if stray == good[last] {
			continue
		}
		if _, _, err := k.Decrypt(good[:last]+string(stray)+"==", DecryptOptions{}); err != ErrDecrypt {
			t.Errorf("%c in place of %c: %v", stray, good[last], err)
		}
	}
}

func TestOperationsAreOfTheirTypes(t *testing.T) {
	for name, ask := range map[string]func() error{
		"hmac encrypts":  func() error { _, _, err := mustKeyring(t, HMAC, keyOf(1)).Encrypt(nil, nil); return err },
		"hmac decrypts":  func() error { _, _, err := mustKeyring(t, HMAC, keyOf(1)).Decrypt("", DecryptOptions{}); return err },
		"aes makes macs": func() error { _, _, err := mustKeyring(t, AES256GCM, keyOf(1)).MAC(nil); return err },
		"aes verifies":   func() error { _, err := mustKeyring(t, AES256GCM, keyOf(1)).VerifyMAC(nil, ""); return err },
		"fernet context": func() error { _, _, err := mustKeyring(t, Fernet, keyOf(1)).Encrypt(nil, []byte("c")); return err },
		"fernet opens with context": func() error {
			_, _, err := mustKeyring(t, Fernet, keyOf(1)).Decrypt("", DecryptOptions{Context: []byte("c")})
			return err
		},
		"aes tells no age": func() error {
			_, _, err := mustKeyring(t, AES256GCM, keyOf(1)).Decrypt("", DecryptOptions{MaxAge: time.Second})
			return err
		},
		"negative age": func() error {
			_, _, err := mustKeyring(t, Fernet, keyOf(1)).Decrypt("", DecryptOptions{MaxAge: -time.Second})
			return err
		},
	} {
		if err := ask(); !errors.Is(err, ErrOperation) || errors.Is(err, ErrDecrypt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// crypto-05: a million encryptions have a million nonces, and a key that is read
// anew, as after a restart, draws others.
func TestANonceIsNeverDrawnTwice(t *testing.T) {
	k := mustKeyring(t, AES256GCM, keyOf(1))
	seen := make(map[string]bool)
	for i := range 1_000_000 {
		if i == 500_000 {
			k = mustKeyring(t, AES256GCM, keyOf(1))
		}
		ciphertext, _, err := k.Encrypt(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		nonce := ciphertext[len("gw:v1:") : len("gw:v1:")+16]
		if seen[nonce] {
			t.Fatal("a nonce was drawn twice")
		}
		seen[nonce] = true
	}
}

func TestAKeySealsNoMoreThanItMay(t *testing.T) {
	usage := NewUsage()
	d := mustDocument(t, AES256GCM, keyOf(1))
	k, err := NewKeyring(AES256GCM, d, KeyringOptions{Usage: usage})
	if err != nil {
		t.Fatal(err)
	}
	k.primary.counters.sealed.Store(NonceBound - 1)
	if _, _, err := k.Encrypt(nil, nil); err != nil {
		t.Fatalf("the last one: %v", err)
	}
	again, err := NewKeyring(AES256GCM, d, KeyringOptions{Usage: usage}) // read anew, it counts on
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := again.Encrypt(nil, nil); !errors.Is(err, ErrExhausted) {
		t.Errorf("one more: %v", err)
	}
	if got := again.Status()[0].Sealed; got != NonceBound {
		t.Errorf("%d are counted", got)
	}
	x, err := NewKeyring(XAES256, d, KeyringOptions{Usage: usage, Near: func(int) { t.Error("XAES warns") }})
	if err != nil {
		t.Fatal(err)
	}
	x.primary.counters.sealed.Store(NonceWarning - 1)
	if _, _, err := x.Encrypt(nil, nil); err != nil {
		t.Error(err)
	}
	x.primary.counters.sealed.Store(NonceBound)
	if _, _, err := x.Encrypt(nil, nil); err != nil {
		t.Errorf("XAES has no such bound: %v", err)
	}
}

func TestHalfwayToTheBoundItIsToldOnce(t *testing.T) {
	usage, told := NewUsage(), []int{}
	open := func() *Keyring {
		k, err := NewKeyring(AES256GCM, mustDocument(t, AES256GCM, threeVersions), KeyringOptions{Usage: usage, Near: func(version int) { told = append(told, version) }})
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	k := open()
	k.primary.counters.sealed.Store(NonceWarning - 2)
	for i := range 5 {
		if _, _, err := k.Encrypt(nil, nil); err != nil {
			t.Fatal(err)
		}
		if want := min(i, 1); len(told) != want {
			t.Errorf("after %d more it was told %d times", i+1, len(told))
		}
		k = open() // its document is read anew
	}
	if fmt.Sprint(told) != "[3]" {
		t.Errorf("told of versions %v", told)
	}
}

func TestStatusTellsOfEveryVersion(t *testing.T) {
	k := mustKeyring(t, AES256GCM, threeVersions)
	ciphertext, _, _ := k.Encrypt([]byte("text"), nil)
	_, _, _ = k.Decrypt(ciphertext, DecryptOptions{})
	want := []VersionStatus{
		{Version: 3, Primary: true, Created: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), Sealed: 1, Opened: 1, LastSeen: testTime},
		{Version: 2, Created: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)},
		{Version: 1, Created: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Retired: true},
	}
	if got := fmt.Sprint(k.Status()); got != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestMACsAreVerifiedUnderEveryVersion(t *testing.T) {
	k := mustKeyring(t, HMAC, threeVersions)
	mac, version, err := k.MAC([]byte("text"))
	if err != nil || version != 3 || len(mac) != 64 {
		t.Fatalf("%s of version %d, %v", mac, version, err)
	}
	old, _, _ := mustKeyring(t, HMAC, keyOf(2)).MAC([]byte("text"))
	retired, _, _ := mustKeyring(t, HMAC, keyOf(1)).MAC([]byte("text"))
	for name, c := range map[string]struct {
		data, mac string
		valid     bool
	}{
		"primary": {"text", mac, true}, "older": {"text", old, true}, "capitals": {"text", strings.ToUpper(mac), true},
		"retired": {"text", retired, false}, "other data": {"texT", mac, false}, "cut": {"text", mac[:62], false},
		"cut to 16 bytes": {"text", mac[:32], false}, "empty": {"text", "", false}, "no hex": {"text", "zz", false},
	} {
		if valid, err := k.VerifyMAC([]byte(c.data), c.mac); valid != c.valid || err != nil {
			t.Errorf("%s: %v, %v", name, valid, err)
		}
	}
}
