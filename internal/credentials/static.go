package credentials

import (
	"context"
	"time"

	"github.com/sallyport/sallyport/internal/secrets"
)

// recheck is when a secret that is not there is worth asking for again: the
// secret store notices a backend's recovery within this time.
const recheck = 5 * time.Second

// Static is a credential that is one secret, as the backend has it.
type Static struct {
	name      string
	placement Placement
	token     *secrets.Derived[secrets.Secret]
}

// NewStatic returns the credential that puts token at p, which must be valid. A
// token that cannot stand there is refused like an empty one.
func NewStatic(name string, p Placement, token *secrets.Value) *Static {
	return &Static{name: name, placement: p, token: secrets.Derive(token, func(s secrets.Secret) (secrets.Secret, error) {
		return s, p.check(s.Reveal())
	})}
}

// Name is the credential's name in the configuration.
func (s *Static) Name() string { return s.name }

// Placement is where the token goes.
func (s *Static) Placement() Placement { return s.placement }

// Value is the token. It never waits.
func (s *Static) Value(context.Context) (secrets.Secret, error) {
	token, err := s.token.Get()
	if err != nil {
		return secrets.Secret{}, &unavailable{s.name, recheck, err}
	}
	return token, nil
}

// Status tells whether the secret is there.
func (s *Static) Status() Status {
	_, err := s.token.Get()
	return statusOf(s.name, "static", err)
}

func statusOf(name, kind string, err error) Status {
	if err != nil {
		return Status{Name: name, Type: kind, LastError: err.Error()}
	}
	return Status{Name: name, Type: kind, Ready: true}
}
