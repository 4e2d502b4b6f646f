package crypto

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

const staple = "correct horse battery staple"

const djangoHash = "pbkdf2_sha256$29000$dR3USvqbpGQj$hI8hJO+Ev8r9xZjDgdusDaJPv++1m8nivcyXYMnzK+E="

// Hashes of staple that other programs made.
var foreign = map[string]struct {
	hash        string
	needsRehash bool
}{
	"passlib 1.7.4 pbkdf2_sha256": {"$pbkdf2-sha256$29000$j/Eeg/A.Z4yxVkrJeQ8BYA$cqypXe9MoklPDxbaEX3Z0hXMVO6wOm12fIDFMloTgD0", true},
	"passlib 1.7.4 pbkdf2_sha512": {"$pbkdf2-sha512$25000$4TxHaC2ltJZyzlnL.V/LuQ$hGDtrgXDS42O0ix.ipEVjhNUlQFHV.lNCuaHviiY5bTuPRlI1VVOwx0gtbgqFftWZ0Zy430ugMKEZdGXOxpWzQ", true},
	"passlib 1.7.4 as Django":     {djangoHash, true},
	"passlib 1.7.4 scrypt":        {"$scrypt$ln=14,r=8,p=1$cG4tZQwhJCTEeI8RgvCecw$EbRs08FEMpWs5/MAdeTyglV7QaezuhOfnUfqkbQrFa4", true},
	"argon2 20171227":             {"$argon2id$v=19$m=8192,t=2,p=4$c29tZXNhbHQxMjM0$YlwAMzgfuZxNiZ2N6qClNOyOLFlTNkmJ6vIdpHimzFY", true},
	"glibc crypt 2b":              {"$2b$05$abcdefghijklmnopqrstuuFiPhXf1sVd3pCCRO.uVh34H/qI/ZsuS", true},
	"PHP's 2y":                    {"$2y$05$abcdefghijklmnopqrstuuFiPhXf1sVd3pCCRO.uVh34H/qI/ZsuS", true},
}

func TestHashesOfOthersAreChecked(t *testing.T) {
	t.Parallel()
	for name, want := range foreign {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, err := ParsePasswordHash(want.hash)
			if err != nil {
				t.Fatal(err)
			}
			if ok, err := h.Verify(staple); !ok || err != nil {
				t.Errorf("the password: %v, %v", ok, err)
			}
			if ok, err := h.Verify(staple + "r"); ok || err != nil {
				t.Errorf("another password: %v, %v", ok, err)
			}
			if h.NeedsRehash() != want.needsRehash {
				t.Errorf("needs rehash: %v", h.NeedsRehash())
			}
			if h.Text() != want.hash {
				t.Errorf("written as %s", h.Text())
			}
		})
	}
}

func TestNewHashesAreOfTheContractsForm(t *testing.T) {
	t.Parallel()
	for name, begins := range map[string]struct {
		o      PasswordOptions
		prefix string
		length int
	}{
		"default":          {PasswordOptions{}, "$pbkdf2-sha256$i=600000$", 24 + 22 + 1 + 43},
		"fewer iterations": {PasswordOptions{Iterations: 100_000}, "$pbkdf2-sha256$i=100000$", 24 + 22 + 1 + 43},
		"argon2id":         {PasswordOptions{Algorithm: Argon2id}, "$argon2id$v=19$m=19456,t=2,p=1$", 31 + 22 + 1 + 43},
		"scrypt":           {PasswordOptions{Algorithm: Scrypt}, "$scrypt$ln=15,r=8,p=3$", 22 + 22 + 1 + 43},
		"bcrypt":           {PasswordOptions{Algorithm: Bcrypt}, "$2a$12$", 60},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := HashPassword("pw", begins.o)
			if err != nil || !strings.HasPrefix(text, begins.prefix) || len(text) != begins.length {
				t.Fatalf("%s (%d), %v", text, len(text), err)
			}
			again, err := HashPassword("pw", begins.o)
			if err != nil || again == text {
				t.Errorf("twice the same salt: %v", err)
			}
			h, err := ParsePasswordHash(text)
			if err != nil {
				t.Fatal(err)
			}
			if ok, err := h.Verify("pw"); !ok || err != nil {
				t.Errorf("the password: %v, %v", ok, err)
			}
			if ok, err := h.Verify("PW"); ok || err != nil {
				t.Errorf("another: %v, %v", ok, err)
			}
			if rehash := begins.o.Iterations != 0; h.NeedsRehash() != rehash {
				t.Errorf("needs rehash: %v", !rehash)
			}
		})
	}
}

func TestPasswordsThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		password string
		o        PasswordOptions
		want     error
	}{
		"empty":                    {"", PasswordOptions{}, ErrPassword},
		"over 1 KiB":               {strings.Repeat("x", 1025), PasswordOptions{}, ErrPassword},
		"over 72 bytes for bcrypt": {strings.Repeat("x", 73), PasswordOptions{Algorithm: Bcrypt}, ErrPassword},
		"too few iterations":       {"pw", PasswordOptions{Iterations: 99_999}, ErrCost},
		"too many iterations":      {"pw", PasswordOptions{Iterations: 10_000_001}, ErrCost},
		"negative iterations":      {"pw", PasswordOptions{Iterations: -1}, ErrCost},
		"iterations of argon2id":   {"pw", PasswordOptions{Algorithm: Argon2id, Iterations: 100_000}, ErrCost},
		"unknown algorithm":        {"pw", PasswordOptions{Algorithm: "md5"}, ErrCost},
	} {
		if _, err := HashPassword(c.password, c.o); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	for _, length := range []int{0, 73} {
		h, err := ParsePasswordHash(foreign["glibc crypt 2b"].hash)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Verify(strings.Repeat("x", length)); !errors.Is(err, ErrPassword) {
			t.Errorf("%d bytes against bcrypt: %v", length, err)
		}
	}
}

func TestLongestPasswordsCount(t *testing.T) {
	t.Parallel()
	for _, o := range []PasswordOptions{{Iterations: MinIterations}, {Algorithm: Bcrypt}} {
		longest := MaxPassword
		if o.Algorithm == Bcrypt {
			longest = MaxBcryptPassword
		}
		password := strings.Repeat("x", longest-1)
		text, err := HashPassword(password+"y", o)
		if err != nil {
			t.Fatal(err)
		}
		h, err := ParsePasswordHash(text)
		if err != nil {
			t.Fatal(err)
		}
		if ok, _ := h.Verify(password + "z"); ok {
			t.Errorf("%s: the last byte does not count", o.Algorithm)
		}
	}
}

// A hash says itself what checking it costs.
func TestHashesThatAskForTooMuchOrAreNotInTheirOneForm(t *testing.T) {
	t.Parallel()
	const salt, sum = "c29tZXNhbHQxMjM0", "YlwAMzgfuZxNiZ2N6qClNOyOLFlTNkmJ6vIdpHimzFY"
	refused := map[string]string{
		"empty":                       "",
		"words":                       "not a hash",
		"a dollar":                    "$",
		"crypt's DES":                 "rl.3StKT.4T8M",
		"sha512-crypt":                "$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/",
		"argon2i":                     "$argon2i$v=19$m=8192,t=2,p=4$" + salt + "$" + sum,
		"argon2 version 16":           "$argon2id$v=16$m=8192,t=2,p=4$" + salt + "$" + sum,
		"argon2 no version":           "$argon2id$m=8192,t=2,p=4$" + salt + "$" + sum,
		"argon2 memory":               "$argon2id$v=19$m=262145,t=1,p=1$" + salt + "$" + sum,
		"argon2 memory wraps":         "$argon2id$v=19$m=4294975488,t=1,p=1$" + salt + "$" + sum,
		"argon2 work":                 "$argon2id$v=19$m=262144,t=5,p=1$" + salt + "$" + sum,
		"argon2 no passes":            "$argon2id$v=19$m=8192,t=0,p=1$" + salt + "$" + sum,
		"argon2 lanes":                "$argon2id$v=19$m=8192,t=1,p=17$" + salt + "$" + sum,
		"argon2 less than 8 a lane":   "$argon2id$v=19$m=31,t=1,p=4$" + salt + "$" + sum,
		"argon2 order":                "$argon2id$v=19$t=2,m=8192,p=4$" + salt + "$" + sum,
		"scrypt memory":               "$scrypt$ln=19,r=8,p=1$" + salt + "$" + sum,
		"scrypt work":                 "$scrypt$ln=15,r=8,p=33$" + salt + "$" + sum,
		"scrypt N of 1":               "$scrypt$ln=0,r=8,p=1$" + salt + "$" + sum,
		"pbkdf2 iterations":           "$pbkdf2-sha256$i=10000001$" + salt + "$" + sum,
		"pbkdf2 none":                 "$pbkdf2-sha256$i=0$" + salt + "$" + sum,
		"pbkdf2 negative":             "$pbkdf2-sha256$i=-1$" + salt + "$" + sum,
		"pbkdf2 overflow":             "$pbkdf2-sha256$i=18446744073709551617$" + salt + "$" + sum,
		"pbkdf2 plus":                 "$pbkdf2-sha256$i=+1000$" + salt + "$" + sum,
		"pbkdf2 leading zero":         "$pbkdf2-sha256$i=0600000$" + salt + "$" + sum,
		"pbkdf2 sum cut short":        "$pbkdf2-sha256$i=600000$" + salt + "$" + sum[:22],
		"pbkdf2 no salt":              "$pbkdf2-sha256$i=600000$$" + sum,
		"pbkdf2 salt in two lines":    "$pbkdf2-sha256$i=600000$" + salt + "\n$" + sum,
		"pbkdf2 padded":               "$pbkdf2-sha256$i=600000$" + salt + "$" + sum + "=",
		"pbkdf2 stray bits":           "$pbkdf2-sha256$i=600000$" + salt + "$" + sum[:42] + "Z",
		"pbkdf2 passlib's base64":     "$pbkdf2-sha256$i=600000$" + salt + "$." + sum[1:],
		"pbkdf2 sha1":                 "$pbkdf2$131000$" + salt + "$" + sum,
		"passlib with our base64":     "$pbkdf2-sha256$29000$" + salt + "$+" + sum[1:],
		"passlib iterations":          "$pbkdf2-sha256$10000001$" + salt + "$" + sum,
		"Django with a rooted name":   "$" + djangoHash,
		"Django iterations":           strings.Replace(djangoHash, "$29000$", "$99999999$", 1),
		"Django salt with a space":    "pbkdf2_sha256$29000$some salt$" + sum + "=",
		"bcrypt cost":                 "$2b$16$abcdefghijklmnopqrstuuFiPhXf1sVd3pCCRO.uVh34H/qI/ZsuS",
		"bcrypt cost with one digit":  "$2b$5$abcdefghijklmnopqrstuuFiPhXf1sVd3pCCRO.uVh34H/qI/ZsuS",
		"bcrypt of the broken kind":   "$2x$05$abcdefghijklmnopqrstuuFiPhXf1sVd3pCCRO.uVh34H/qI/ZsuS",
		"bcrypt salt with stray bits": "$2b$05$abcdefghijklmnopqrstuvFiPhXf1sVd3pCCRO.uVh34H/qI/ZsuS",
		"bcrypt too short":            "$2b$05$abcdefghijklmnopqrstuuFiPhXf1sVd3pCCRO.uVh34H/qI/Zsu",
		"a line break at the end":     foreign["argon2 20171227"].hash + "\n",
		"a space before":              " " + foreign["argon2 20171227"].hash,
		"longer than 512 bytes":       "$pbkdf2-sha256$i=600000$" + strings.Repeat("A", 512) + "$" + sum,
	}
	for name, text := range refused {
		h, err := ParsePasswordHash(text)
		switch {
		case !errors.Is(err, ErrHash):
			t.Errorf("%s: %v, %v", name, h, err)
		case len(text) > 20 && strings.Contains(err.Error(), text[:20]):
			t.Errorf("%s: the error quotes the hash: %v", name, err)
		}
	}
}

func TestPasswordHashDoesNotPrintItself(t *testing.T) {
	t.Parallel()
	for name, c := range foreign {
		h, err := ParsePasswordHash(c.hash)
		if err != nil {
			t.Fatal(err)
		}
		secret := c.hash[len(c.hash)-12:]
		for _, text := range []string{fmt.Sprint(h), fmt.Sprintf("%#v", h), fmt.Sprintf("%+v %x", *h, h)} {
			if strings.Contains(text, secret) || strings.Contains(text, hex.EncodeToString([]byte(secret))) {
				t.Errorf("%s: %s", name, text)
			}
		}
	}
}

// crypto-08: the PBKDF2 vectors, exactly.
func TestWycheproofPBKDF2(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("testdata/wycheproof/pbkdf2_hmacsha256_test.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		NumberOfTests int
		TestGroups    []struct {
			Tests []struct {
				TcID           int
				Password, Salt string
				IterationCount int
				DkLen          int
				DK             string
				Result         string
			}
		}
	}
	if err := json.Unmarshal(doc, &file); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, group := range file.TestGroups {
		for _, v := range group.Tests {
			ran++
			password, _ := hex.DecodeString(v.Password)
			salt, _ := hex.DecodeString(v.Salt)
			got, err := pbkdf2Cost{form: formPHC, iterations: v.IterationCount}.derive(string(password), salt, v.DkLen)
			if same := err == nil && hex.EncodeToString(got) == v.DK; same != (v.Result == "valid") {
				t.Errorf("test %d: %x, %v; the vector is %s", v.TcID, got, err, v.Result)
			}
		}
	}
	if ran != file.NumberOfTests || ran != 60 {
		t.Errorf("%d vectors ran", ran)
	}
}

func FuzzPasswordHash(f *testing.F) {
	for _, c := range foreign {
		f.Add(c.hash)
	}
	f.Add("$pbkdf2-sha256$i=600000$c29tZXNhbHQxMjM0$YlwAMzgfuZxNiZ2N6qClNOyOLFlTNkmJ6vIdpHimzFY")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := ParsePasswordHash(text)
		if err != nil {
			if !errors.Is(err, ErrHash) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if h.Text() != text {
			t.Fatalf("%q is written as %q", text, h.Text())
		}
		_, _ = h.NeedsRehash(), h.String()
	})
}
