package crypto

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

func readVectors(t testing.TB, file string, into any) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// keyringOf is a keyring of one key.
func keyringOf(t testing.TB, kind Type, key []byte, now time.Time) *Keyring {
	t.Helper()
	d := Document{Primary: 1, Versions: map[int]DocumentVersion{1: {key: key}}}
	k, err := NewKeyring(kind, d, KeyringOptions{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

type fernetVector struct {
	Desc, Token, Src, Secret string
	Now                      time.Time
	TTL                      int `json:"ttl_sec"`
}

// crypto-01: the vectors of the Fernet spec.
func TestFernetSpec(t *testing.T) {
	for file, good := range map[string]bool{"verify": true, "generate": true, "invalid": false} {
		var vectors []fernetVector
		readVectors(t, "fernet/"+file+".json", &vectors)
		for _, v := range vectors {
			k := mustKeyring(t, Fernet, v.Secret)
			k.now = func() time.Time { return v.Now }
			opened, _, err := k.Decrypt(v.Token, DecryptOptions{MaxAge: time.Duration(v.TTL) * time.Second})
			if good && (err != nil || string(opened) != v.Src) {
				t.Errorf("%s: %q, %v", file, opened, err)
			}
			if !good && !errors.Is(err, ErrDecrypt) {
				t.Errorf("%s, %s: %q, %v", file, v.Desc, opened, err)
			}
			if file != "generate" {
				continue
			}
			made, _, err := k.Encrypt([]byte(v.Src), nil)
			if err != nil || len(made) != len(v.Token) || made[:12] != v.Token[:12] { // version and time; the IV is drawn
				t.Errorf("made %s, %v", made, err)
			}
		}
		t.Logf("fernet/%s.json: %d", file, len(vectors))
	}
}

func TestFernetAge(t *testing.T) {
	k := mustKeyring(t, Fernet, keyOf(1))
	token, _, err := k.Encrypt([]byte("text"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		later  time.Duration
		maxAge time.Duration
		good   bool
	}{
		"no age asked":               {1000 * time.Hour, 0, true},
		"no age asked, from later":   {-1000 * time.Hour, 0, true},
		"as old as may be":           {time.Minute, time.Minute, true},
		"older":                      {time.Minute + time.Second, time.Minute, false},
		"a clock a minute behind":    {-time.Minute, time.Minute, true},
		"a clock further behind":     {-time.Minute - time.Second, time.Minute, false},
		"an age beyond any calendar": {time.Hour, 1<<63 - 1, true},
	} {
		k.now = func() time.Time { return testTime.Add(c.later) }
		if _, _, err := k.Decrypt(token, DecryptOptions{MaxAge: c.maxAge}); (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFernetTokensOfOtherShapes(t *testing.T) {
	k := mustKeyring(t, Fernet, keyOf(1))
	token, _, err := k.Encrypt([]byte("text"), nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := base64.URLEncoding.DecodeString(token)
	for name, text := range map[string]string{
		"empty": "", "line break": token[:10] + "\n" + token[10:], "space": token + " ", "padding cut": strings.TrimRight(token, "="),
		"standard alphabet": base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0xff}, len(raw))),
		"mac changed":       base64.URLEncoding.EncodeToString(append(raw[:len(raw)-1:len(raw)-1], raw[len(raw)-1]^1)),
		"mac cut":           base64.URLEncoding.EncodeToString(raw[:len(raw)-1]),
		"no block":          base64.URLEncoding.EncodeToString(raw[:fernetOverhead]),
		"mac alone":         base64.URLEncoding.EncodeToString(raw[:40]),
		"version alone":     base64.URLEncoding.EncodeToString(raw[:1]),
	} {
		if opened, _, err := k.Decrypt(text, DecryptOptions{}); !errors.Is(err, ErrDecrypt) {
			t.Errorf("%s: %q, %v", name, opened, err)
		}
	}
}

// The vectors of C2SP's XAES-256-GCM (c2sp.org/XAES-256-GCM, test vectors).
func TestXAESSpec(t *testing.T) {
	nonce := []byte("ABCDEFGHIJKLMNOPQRSTUVWX")
	for _, v := range []struct {
		key           byte
		context, sums string
	}{
		{1, "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"},
		{3, "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"},
	} {
		k := mustKeyring(t, XAES256, keyOf(v.key))
		ciphertext := "gw:v1:" + base64.StdEncoding.EncodeToString(append(nonce[:24:24], unhex(t, v.sums)...))
		opened, _, err := k.Decrypt(ciphertext, DecryptOptions{Context: []byte(v.context)})
		if err != nil || string(opened) != "XAES-256-GCM" {
			t.Errorf("key %d: %q, %v", v.key, opened, err)
		}
	}
}

type aeadGroup struct {
	IVSize, KeySize, TagSize int
	Tests                    []struct {
		ID                         int `json:"tcId"`
		Key, IV, AAD, Msg, CT, Tag string
		Result                     string
	}
}

// crypto-03: valid ones open, and nothing else does; nor with a tag cut short.
func TestWycheproofAESGCM(t *testing.T) {
	var file struct{ TestGroups []aeadGroup }
	readVectors(t, "wycheproof/aes_gcm_test.json", &file)
	passed, refused := 0, 0
	for _, g := range file.TestGroups {
		if g.KeySize != 256 {
			continue // keyrings take no other key
		}
		for _, v := range g.Tests {
			k := keyringOf(t, AES256GCM, unhex(t, v.Key), testTime)
			sealed := unhex(t, v.IV+v.CT+v.Tag)
			opened, _, err := k.Decrypt(writeSealed(1, sealed), DecryptOptions{Context: unhex(t, v.AAD)})
			switch good := v.Result == "valid" && g.IVSize == 96 && g.TagSize == 128; {
			case good && (err != nil || !bytes.Equal(opened, unhex(t, v.Msg))):
				t.Errorf("%d: %v", v.ID, err)
			case good:
				passed++
			case err != ErrDecrypt:
				t.Errorf("%d (%s, IV of %d bits) opened: %v", v.ID, v.Result, g.IVSize, err)
			default:
				refused++
			}
		}
	}
	if passed != 39 || refused != 66 {
		t.Errorf("%d opened and %d refused", passed, refused)
	}
	t.Logf("aes_gcm_test.json: %d opened, %d refused", passed, refused)
}

func TestAGCMTagCutShortIsRefused(t *testing.T) {
	k := mustKeyring(t, AES256GCM, keyOf(1))
	ciphertext, _, err := k.Encrypt([]byte("text"), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, sealed, _ := readSealed(ciphertext)
	for _, tag := range []int{12, 8, 4, 0} {
		if _, _, err := k.Decrypt(writeSealed(1, sealed[:len(sealed)-16+tag]), DecryptOptions{}); err != ErrDecrypt {
			t.Errorf("a tag of %d bytes: %v", tag, err)
		}
	}
}

func TestWycheproofHMAC(t *testing.T) {
	var file struct {
		TestGroups []struct {
			KeySize, TagSize int
			Tests            []struct {
				ID                    int `json:"tcId"`
				Key, Msg, Tag, Result string
			}
		}
	}
	readVectors(t, "wycheproof/hmac_sha256_test.json", &file)
	ran := 0
	for _, g := range file.TestGroups {
		for _, v := range g.Tests {
			k := keyringOf(t, HMAC, unhex(t, v.Key), testTime)
			valid, err := k.VerifyMAC(unhex(t, v.Msg), v.Tag)
			if want := v.Result == "valid" && g.TagSize == 256; valid != want || err != nil {
				t.Errorf("%d (%s, tag of %d bits): %v, %v", v.ID, v.Result, g.TagSize, valid, err)
			}
			ran++
		}
	}
	if ran != 174 {
		t.Errorf("%d vectors ran", ran)
	}
}

func TestDigests(t *testing.T) {
	// Of "abc": FIPS 180-4 and FIPS 202 examples, RFC 7693 appendix A.
	for algorithm, want := range map[string]string{
		"sha256":      "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		"sha224":      "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7",
		"sha512-256":  "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23",
		"sha3-256":    "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
		"blake2b-512": "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d17d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923",
	} {
		if got, err := Digest(algorithm, []byte("abc")); got != want || err != nil {
			t.Errorf("%s: %s, %v", algorithm, got, err)
		}
	}
	for _, algorithm := range Digests() {
		if got, err := Digest(algorithm, nil); err != nil || got == "" {
			t.Errorf("%s: %v", algorithm, err)
		}
	}
	for _, algorithm := range []string{"md5", "sha1", "sha-1", "", "crc32", "SHA256"} {
		if got, err := Digest(algorithm, nil); err == nil {
			t.Errorf("%s: %s", algorithm, got)
		}
	}
}

func FuzzDecrypt(f *testing.F) {
	rings := map[Type]*Keyring{}
	for _, kind := range sealing {
		rings[kind] = mustKeyring(f, kind, threeVersions)
		ciphertext, _, err := rings[kind].Encrypt([]byte("text"), nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(kind), ciphertext)
		f.Add(string(kind), "gw:v1:"+keyOf(9))
	}
	f.Fuzz(func(t *testing.T, kind, text string) {
		if version, sealed, ok := readSealed(text); ok && writeSealed(version, sealed) != text {
			t.Errorf("%q is read and written otherwise", text)
		}
		ring := rings[Type(kind)]
		if ring == nil {
			return
		}
		opened, _, err := ring.Decrypt(text, DecryptOptions{})
		if raw, ok := decode(urlBase64, text); err == nil && kind == string(Fernet) && (!ok || base64.URLEncoding.EncodeToString(raw) != text) {
			t.Errorf("%q is read and written otherwise", text)
		}
		if err == nil && string(opened) != "text" {
			t.Errorf("%q opened as %q", text, opened)
		}
	})
}
