package credentials

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/secrets"
)

// OAuth2Options say where and how to get tokens by the client credentials grant
// (RFC 6749, section 4.4).
type OAuth2Options struct {
	Name         string
	Placement    Placement
	TokenURL     string
	ClientID     string
	ClientSecret *secrets.Value // for basic and post: read anew for each fetch
	ClientAuth   string         // basic (also if empty), post, private_key_jwt, or tls (then Client has the certificate)
	SigningKey   *secrets.Value // for private_key_jwt: in any form that token.NewSigner reads
	Algorithm    string         // of the signing key; empty: its usual one
	KeyID        string         // of the signing key; empty: the JWK's, or none
	Scopes       []string
	Audience     string
	Resource     string            // RFC 8707
	Parameters   map[string]string // more form fields

	RefreshBefore time.Duration    // zero means 5 minutes; never sooner than half the lifetime
	Client        *http.Client     // its transport is used; nil means one like http.DefaultTransport
	Now           func() time.Time // nil means time.Now
	Log           *slog.Logger
	Metrics       *Metrics
	OnEvent       func(Event) // called for each attempt, with no lock held; it holds the next one up
}

// OAuth2 is a credential whose tokens come from a token endpoint.
type OAuth2 struct {
	placement Placement
	endpoint  *tokenEndpoint
	renewal   *renewer
}

// NewOAuth2 returns a credential without a token; Run fetches them.
func NewOAuth2(o OAuth2Options) (*OAuth2, error) {
	at, err := newEndpoint(o, nil)
	if err != nil {
		return nil, fmt.Errorf("credential %s: %w", o.Name, err)
	}
	c := &OAuth2{placement: o.Placement, endpoint: at}
	c.renewal = newRenewer(&renewer{
		name: o.Name, kind: "oauth2", fetch: c.fetch, before: o.RefreshBefore,
		now: o.Now, log: withURL(o.Log, o.TokenURL), series: o.Metrics.of(o.Name), onEvent: o.OnEvent,
	})
	at.changed(c.renewal.rotate)
	return c, nil
}

// Name is the credential's name in the configuration.
func (c *OAuth2) Name() string { return c.renewal.name }

// Placement is where the token goes.
func (c *OAuth2) Placement() Placement { return c.placement }

// Value is a token that is valid now.
func (c *OAuth2) Value(ctx context.Context) (secrets.Secret, error) { return c.renewal.Value(ctx) }

// Status tells how the token and its renewal stand.
func (c *OAuth2) Status() Status { return c.renewal.Status() }

// Refresh fetches another token now, as [Rotating] says.
func (c *OAuth2) Refresh(ctx context.Context) error { return c.renewal.Refresh(ctx) }

// Run fetches a token at once and renews it in the background, until ctx ends.
func (c *OAuth2) Run(ctx context.Context) error { return c.renewal.Run(ctx) }

func (c *OAuth2) fetch(ctx context.Context) (secrets.Secret, time.Duration, error) {
	return c.endpoint.ask(ctx, nil)
}

// withURL has every line of log name the token endpoint, without its query.
func withURL(log *slog.Logger, tokenURL string) *slog.Logger {
	if log == nil {
		return nil
	}
	shown, _, _ := strings.Cut(tokenURL, "?")
	return log.With("token_url", shown)
}
