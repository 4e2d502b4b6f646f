package credentials

import (
	"crypto/rand"
	"fmt"
	"net/url"
	"time"

	"github.com/sallyport/sallyport/internal/secrets"
	"github.com/sallyport/sallyport/internal/token"
)

// assertionLife is how long a client assertion is valid: it is used at once, and
// once.
const assertionLife = time.Minute

// assertionType says that a client assertion is a JWT (RFC 7523, section 2.2).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// An assertion is how a client shows that it has a key, without sending it.
type assertion struct {
	client, audience string
	material         *secrets.Value
	key              *secrets.Derived[*token.Signer]
	now              func() time.Time
}

// changed has f called whenever the key rotates.
func (a *assertion) changed(f func()) { a.material.Changed(f) }

// addTo puts a fresh assertion into the form. Each has an identifier of its own,
// for servers refuse one they have seen (RFC 7523, section 3).
func (a *assertion) addTo(form url.Values) error {
	signer, err := a.key.Get()
	if err != nil {
		return fmt.Errorf("signing key: %w", err)
	}
	now := a.now()
	raw, err := signer.Sign(map[string]any{
		"iss": a.client, "sub": a.client, "aud": a.audience, "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(assertionLife).Unix(),
	}, "JWT")
	if err != nil {
		return fmt.Errorf("client assertion: %w", err)
	}
	form.Set("client_assertion_type", assertionType)
	form.Set("client_assertion", raw)
	return nil
}
