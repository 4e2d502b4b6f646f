package credentials

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"sync/atomic"
	"unicode"

	"github.com/sallyport/sallyport/internal/secrets"
)

// Basic is a user and a password for HTTP Basic (RFC 7617).
type Basic struct {
	name           string
	placement      Placement
	user, password *secrets.Derived[*secrets.Secret]
	joined         atomic.Pointer[joined]
}

// joined keeps what was encoded last, since it seldom changes. Each version of a
// secret has a pointer of its own.
type joined struct {
	user, password *secrets.Secret
	value          secrets.Secret
}

// NewBasic returns the credential that puts base64(user:password) at p, which
// must be valid.
func NewBasic(name string, p Placement, user, password *secrets.Value) *Basic {
	return &Basic{
		name:      name,
		placement: p,
		user:      secrets.Derive(user, checkUser),
		password:  secrets.Derive(password, checkPassword),
	}
}

// Name is the credential's name in the configuration.
func (b *Basic) Name() string { return b.name }

// Placement is where the value goes.
func (b *Basic) Placement() Placement { return b.placement }

// Value is base64(user:password). It never waits.
func (b *Basic) Value(context.Context) (secrets.Secret, error) {
	value, err := b.value()
	if err != nil {
		return secrets.Secret{}, &unavailable{b.name, recheck, err}
	}
	return value, nil
}

// Status tells whether both secrets are there.
func (b *Basic) Status() Status {
	_, err := b.value()
	return statusOf(b.name, "basic", err)
}

// pair returns user and password of one moment. Two fields of one secret rotate
// together; a user read before and a password read after would fit nowhere.
func (b *Basic) pair() (user, password *secrets.Secret, err error) {
	for range 3 { // rotations do not come that fast
		if user, err = b.user.Get(); err != nil {
			return nil, nil, err
		}
		if password, err = b.password.Get(); err != nil {
			return nil, nil, err
		}
		again, err := b.user.Get()
		if err != nil {
			return nil, nil, err
		}
		if again == user {
			break
		}
	}
	return user, password, nil
}

func (b *Basic) value() (secrets.Secret, error) {
	user, password, err := b.pair()
	if err != nil {
		return secrets.Secret{}, err
	}
	if j := b.joined.Load(); j != nil && j.user == user && j.password == password {
		return j.value, nil
	}
	value := secrets.NewSecret(base64.StdEncoding.EncodeToString([]byte(user.Reveal() + ":" + password.Reveal())))
	b.joined.Store(&joined{user, password, value})
	return value, nil
}

// checkUser refuses a user with a colon, for the first one ends it: the rest
// would be read as the beginning of the password.
func checkUser(s secrets.Secret) (*secrets.Secret, error) {
	if strings.Contains(s.Reveal(), ":") {
		return nil, errors.New("the user has a colon (RFC 7617, section 2)")
	}
	return checkPassword(s)
}

// checkPassword refuses what RFC 7617 does, and a password that would not fit a
// header.
func checkPassword(s secrets.Secret) (*secrets.Secret, error) {
	switch text := s.Reveal(); {
	case strings.ContainsFunc(text, unicode.IsControl):
		return nil, errors.New("the text has a control character (RFC 7617, section 2)")
	case len(text) > maxValue/4:
		return nil, errors.New("the text is too long for a header")
	}
	return &s, nil
}
