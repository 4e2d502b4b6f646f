//go:build unix

package crypto

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"
)

// A pair is an operation, and the bare primitive that does the same to the same
// bytes.
type pair struct {
	name     string
	op, bare func()
}

const (
	benchRounds = 5
	benchRound  = 100 * time.Millisecond // of CPU time, at least
)

// BenchmarkOperations tells how many of each operation a core does in a second,
// and how many of the bare primitive in the same run: medians of interleaved
// rounds, by CPU time, so that what else runs on the machine counts little.
func BenchmarkOperations(b *testing.B) {
	var pairs []pair
	for _, size := range []int{16, 1024} {
		for _, kind := range sealing {
			pairs = append(pairs, sealingPairs(b, kind, size)...)
		}
		pairs = append(pairs, macPairs(b, size)...)
	}
	for _, p := range append(pairs, passwordPairs()...) {
		b.Run(p.name, func(b *testing.B) {
			var ops, bares, ratios []float64
			for range benchRounds {
				op, bare := perSecond(b, p.op), perSecond(b, p.bare)
				ops, bares, ratios = append(ops, op), append(bares, bare), append(ratios, op/bare)
			}
			b.ReportMetric(median(ops), "ops/s/core")
			b.ReportMetric(median(bares), "bare-ops/s/core")
			b.ReportMetric(median(ratios), "ratio")
			b.ReportMetric(0, "ns/op") // wall time says nothing here
		})
	}
}

func sealingPairs(b *testing.B, kind Type, size int) []pair {
	k := mustKeyring(b, kind, keyOf(1))
	k.now = time.Now // as it is when it serves
	plaintext := bytes.Repeat([]byte("x"), size)
	ciphertext, _, err := k.Encrypt(plaintext, nil)
	if err != nil {
		b.Fatal(err)
	}
	seal, open := barePrimitive(b, kind)
	sealed := seal(plaintext)
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	of := string(kind) + "/" + strconv.Itoa(size) + "B"
	return []pair{
		{"encrypt/" + of, func() { _, _, err := k.Encrypt(plaintext, nil); must(err) }, func() { seal(plaintext) }},
		{"decrypt/" + of, func() { _, _, err := k.Decrypt(ciphertext, DecryptOptions{}); must(err) }, func() { open(sealed) }},
		{"rewrap/" + of, func() { _, _, err := k.Rewrap(ciphertext, nil); must(err) }, func() { seal(open(sealed)) }},
	}
}

// barePrimitive is what the type is made of, without text, version or count.
func barePrimitive(b *testing.B, kind Type) (seal, open func([]byte) []byte) {
	key := bytes.Repeat([]byte{1}, keySize)
	switch kind {
	case AES256GCM:
		block, err := aes.NewCipher(key)
		if err != nil {
			b.Fatal(err)
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			b.Fatal(err)
		}
		return func(p []byte) []byte { return aead.Seal(nil, nil, p, nil) }, func(s []byte) []byte {
			p, err := aead.Open(nil, nil, s, nil)
			if err != nil {
				b.Fatal(err)
			}
			return p
		}
	case XAES256: // Tink's
		x, err := newXAES(key)
		if err != nil {
			b.Fatal(err)
		}
		return func(p []byte) []byte { s, _ := x.aead.Encrypt(p, nil); return s }, func(s []byte) []byte {
			p, err := x.aead.Decrypt(s, nil)
			if err != nil {
				b.Fatal(err)
			}
			return p
		}
	}
	return bareFernet(b, key[:16], key[16:])
}

// bareFernet is AES-128-CBC and HMAC-SHA-256 of the standard library.
func bareFernet(b *testing.B, signing, encrypting []byte) (seal, open func([]byte) []byte) {
	block, err := aes.NewCipher(encrypting)
	if err != nil {
		b.Fatal(err)
	}
	seal = func(p []byte) []byte {
		pad := aes.BlockSize - len(p)%aes.BlockSize
		out := make([]byte, aes.BlockSize, aes.BlockSize+len(p)+pad+sha256.Size)
		copy(out, random(aes.BlockSize))
		out = append(append(out, p...), bytes.Repeat([]byte{byte(pad)}, pad)...)
		cipher.NewCBCEncrypter(block, out[:aes.BlockSize]).CryptBlocks(out[aes.BlockSize:], out[aes.BlockSize:])
		m := hmac.New(sha256.New, signing)
		m.Write(out)
		return m.Sum(out)
	}
	open = func(s []byte) []byte {
		body, sum := s[:len(s)-sha256.Size], s[len(s)-sha256.Size:]
		m := hmac.New(sha256.New, signing)
		m.Write(body)
		if !hmac.Equal(m.Sum(nil), sum) {
			b.Fatal("the bare token does not verify")
		}
		out := make([]byte, len(body)-aes.BlockSize)
		cipher.NewCBCDecrypter(block, body[:aes.BlockSize]).CryptBlocks(out, body[aes.BlockSize:])
		return out[:len(out)-int(out[len(out)-1])]
	}
	return seal, open
}

func macPairs(b *testing.B, size int) []pair {
	k, key, data := mustKeyring(b, HMAC, keyOf(1)), bytes.Repeat([]byte{1}, keySize), bytes.Repeat([]byte("x"), size)
	k.now = time.Now
	mac, _, err := k.MAC(data)
	if err != nil {
		b.Fatal(err)
	}
	bare := func() []byte {
		m := hmac.New(sha256.New, key)
		m.Write(data)
		return m.Sum(nil)
	}
	sum, of := bare(), "/"+strconv.Itoa(size)+"B"
	return []pair{
		{"mac" + of, func() { _, _, _ = k.MAC(data) }, func() { bare() }},
		{"verify" + of, func() {
			if ok, err := k.VerifyMAC(data, mac); !ok || err != nil {
				b.Fatal(ok, err)
			}
		}, func() { hmac.Equal(bare(), sum) }},
		{"hash sha256" + of, func() { _, _ = Digest("sha256", data) }, func() { sha256.Sum256(data) }},
	}
}

func passwordPairs() []pair {
	const password = "correct horse battery staple"
	salt := random(saltSize)
	return []pair{
		{"password pbkdf2-sha256", func() { _, _ = HashPassword(password, PasswordOptions{}) },
			func() { _, _ = pbkdf2.Key(sha256.New, password, salt, DefaultIterations, sumSize) }},
		{"password argon2id", func() { _, _ = HashPassword(password, PasswordOptions{Algorithm: Argon2id}) },
			func() {
				argon2.IDKey([]byte(password), salt, uint32(newArgon2.passes), uint32(newArgon2.memory), uint8(newArgon2.lanes), sumSize)
			}},
	}
}

// perSecond does do for a round, and returns how often a second of CPU time has
// room for it.
func perSecond(b *testing.B, do func()) float64 {
	b.Helper()
	for began, n, step := cpuTime(b), 0, 1; ; step *= 2 {
		for range step {
			do()
		}
		n += step
		if spent := cpuTime(b) - began; spent >= benchRound {
			return float64(n) / spent.Seconds()
		}
	}
}

// cpuTime is what the process has used, user and system.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}
