package auth

import "context"

// Unrevoked is kind without the credentials of which revoked says so. It is asked
// each time, of what was remembered too.
func Unrevoked(kind Kind, revoked func(*Principal) bool) Kind {
	return &unrevoked{kind, revoked}
}

type unrevoked struct {
	Kind
	revoked func(*Principal) bool
}

func (u *unrevoked) authenticate(ctx context.Context, c credential) (*Principal, error) {
	p, err := u.Kind.authenticate(ctx, c)
	if err == nil && u.revoked(p) {
		return nil, refuse(reasonInactive, "the token was revoked")
	}
	return p, err
}

// remembered implements rememberer.
func (u *unrevoked) remembered(c credential) *Principal {
	known, ok := u.Kind.(rememberer)
	if !ok {
		return nil
	}
	if p := known.remembered(c); p != nil && !u.revoked(p) {
		return p
	}
	return nil
}
