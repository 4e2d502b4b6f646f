package auth

import "github.com/sallyport/sallyport/internal/secrets"

// Token returns the token that r carries, as it was sent, for whom it has to be
// shown again; it is empty where r carries none, or a credential of another kind.
// It verifies nothing: ask Authenticate first.
func (a *Authenticator) Token(r Request) secrets.Secret {
	c, err := find(a.all, r)
	if err != nil {
		return secrets.Secret{}
	}
	for _, kind := range a.at[c.place] {
		if kind.scheme() != bearer {
			continue
		}
		if raw, err := c.token(); err == nil {
			return secrets.NewSecret(raw)
		}
	}
	return secrets.Secret{}
}
