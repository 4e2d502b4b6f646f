package api

import (
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sallyport/sallyport/internal/crypto"
)

func TestPasswordsAreHashedAndVerified(t *testing.T) {
	s := serve(t, nil)
	for algorithm, form := range map[string]string{
		`"algorithm": "pbkdf2-sha256", "iterations": 100000`: `^\$pbkdf2-sha256\$i=100000\$`,
		`"algorithm": "argon2id"`:                            `^\$argon2id\$`,
		`"algorithm": "scrypt"`:                              `^\$scrypt\$`,
		`"algorithm": "bcrypt"`:                              `^\$2[aby]\$`,
	} {
		a := s.post("/passwords/hash", `{"password": "correct horse", `+algorithm+`}`)
		if ok, _ := regexp.MatchString(form, a.m["hash"].(string)); !ok {
			t.Errorf("%s: %s", algorithm, a.body)
		}
		for password, valid := range map[string]bool{"correct horse": true, "correct horsE": false} {
			b := s.post("/passwords/verify", quote(map[string]any{"password": password, "hash": a.m["hash"]}))
			if b.m["valid"] != valid || b.m["needs_rehash"] != strings.Contains(algorithm, "100000") {
				t.Errorf("%s, %s: %s", algorithm, password, b.body)
			}
		}
	}
}

func TestThePolicyRefusesShortAndCommonPasswords(t *testing.T) {
	s := serve(t, func(o *CryptoOptions) { o.Policy = PasswordPolicy{MinLength: 8, RefuseCommon: true} })
	for password, status := range map[string]int{
		"short": 422, "pässwör": 422, "password": 422, "PassWord": 422, "12345678": 422, "sunshine": 422, "qwertyuiop": 422,
		"pässwörd": 200, "correct horse battery staple": 200,
	} {
		if a := s.ask("POST", "/passwords/hash", quote(map[string]any{"password": password, "algorithm": "bcrypt"})); a.status != status {
			t.Errorf("%s: %d %s", password, a.status, a.body)
		}
	}
}

func TestAFloodOfPasswordsIsTurnedAway(t *testing.T) {
	s := serve(t, func(o *CryptoOptions) { o.Workers = crypto.NewWorkers(1) })
	var done, busy, others atomic.Int64
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			switch a := s.ask("POST", "/passwords/hash", `{"password": "correct horse", "iterations": 1000000}`); {
			case a.status == 200:
				done.Add(1)
			case a.status == 503 && a.header.Get("Retry-After") != "":
				busy.Add(1)
			default:
				others.Add(1)
			}
		})
	}
	all.Wait()
	if done.Load() == 0 || busy.Load() == 0 || others.Load() != 0 {
		t.Errorf("%d hashed, %d turned away, %d otherwise", done.Load(), busy.Load(), others.Load())
	}
}
