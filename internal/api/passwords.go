package api

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/trustelem/zxcvbn/frequency"

	"github.com/sallyport/sallyport/internal/crypto"
)

func (c *Crypto) hashPassword(call *call) (any, error) {
	q := struct {
		Password   *string `json:"password"`
		Algorithm  string  `json:"algorithm"`
		Iterations *int    `json:"iterations"`
	}{Algorithm: crypto.PBKDF2}
	if err := call.read(&q); err != nil {
		return nil, err
	}
	if q.Password == nil {
		return nil, badBody("password is missing")
	}
	o := crypto.PasswordOptions{Algorithm: q.Algorithm}
	if q.Iterations != nil {
		o.Iterations = *q.Iterations
	}
	if q.Algorithm == "" || q.Iterations != nil && o.Iterations == 0 { // which are no wish for the default
		return nil, badBody("algorithm and iterations, where they are written, are not empty or 0")
	}
	if err := c.Policy.check(*q.Password); err != nil {
		return nil, err
	}
	var hash string
	var failed error
	err := c.Workers.Do(call.r.Context(), func() {
		hash, failed = crypto.HashPassword(*q.Password, o)
	})
	if err := errors.Join(err, failed); err != nil {
		return nil, passwordRefusal(err)
	}
	return struct {
		Hash string `json:"hash"`
	}{hash}, nil
}

func (c *Crypto) verifyPassword(call *call) (any, error) {
	var q struct {
		Password *string `json:"password"`
		Hash     *string `json:"hash"`
	}
	if err := call.read(&q); err != nil {
		return nil, err
	}
	if q.Password == nil || q.Hash == nil {
		return nil, badBody("password and hash are needed")
	}
	h, err := crypto.ParsePasswordHash(*q.Hash)
	if err != nil {
		return nil, badBody("hash is of no form or cost that is checked here")
	}
	var valid bool
	var failed error
	err = c.Workers.Do(call.r.Context(), func() { valid, failed = h.Verify(*q.Password) })
	if err := errors.Join(err, failed); err != nil {
		return nil, passwordRefusal(err)
	}
	return struct {
		Valid       bool `json:"valid"`
		NeedsRehash bool `json:"needs_rehash"`
	}{valid, h.NeedsRehash()}, nil
}

func passwordRefusal(err error) error {
	switch {
	case errors.Is(err, crypto.ErrPassword):
		return badPassword("the password is empty or too long: at most 1024 bytes, 72 for bcrypt")
	case errors.Is(err, crypto.ErrCost):
		return badBody("%s", err)
	}
	return err
}

// check refuses a password that is too short or too common.
func (p PasswordPolicy) check(password string) error {
	switch {
	case password == "":
		return nil // which HashPassword refuses
	case utf8.RuneCountInString(password) < p.MinLength:
		return badPassword(fmt.Sprintf("the password has fewer than %d characters", p.MinLength))
	case p.RefuseCommon && common()[strings.ToLower(password)]:
		return badPassword("the password is one of the commonest, which are tried first")
	}
	return nil
}

// common are the commonest passwords, in lower case: some 30,000 of those that
// leaked most often, as zxcvbn lists them.
var common = sync.OnceValue(func() map[string]bool {
	list := frequency.FrequencyLists["passwords"]
	set := make(map[string]bool, len(list))
	for _, password := range list {
		set[password] = true
	}
	return set
})
