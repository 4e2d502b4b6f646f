package credentials

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/sallyport/sallyport/internal/secrets"
)

// fetchTimeout bounds one request to a token endpoint, its body included.
const fetchTimeout = 5 * time.Second

// OAuth2Options say where and how to get tokens by the client credentials grant
// (RFC 6749, section 4.4).
type OAuth2Options struct {
	Name         string
	Placement    Placement
	TokenURL     string
	ClientID     string
	ClientSecret *secrets.Value // read anew for each fetch
	ClientAuth   string         // basic (also if empty) or post
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
	secret    *secrets.Value
	grant     clientcredentials.Config // but for the secret
	client    *http.Client
	renewal   *renewer
}

// NewOAuth2 returns a credential without a token; Run fetches them.
func NewOAuth2(o OAuth2Options) (*OAuth2, error) {
	fail := func(err error) (*OAuth2, error) { return nil, fmt.Errorf("credential %s: %w", o.Name, err) }
	if err := o.Placement.Validate(); err != nil {
		return fail(err)
	}
	if err := checkTokenURL(o.TokenURL); err != nil {
		return fail(err)
	}
	switch {
	case o.ClientID == "":
		return fail(errors.New("client_id is empty"))
	case o.ClientSecret == nil:
		return fail(errors.New("there is no client_secret"))
	case o.RefreshBefore < 0:
		return fail(errors.New("refresh_before is negative"))
	}
	// Never left to x/oauth2 to find out: it would send the secret twice, in both
	// ways, for every failure (golang/oauth2#786).
	style, ok := map[string]oauth2.AuthStyle{"basic": oauth2.AuthStyleInHeader, "post": oauth2.AuthStyleInParams}[cmp.Or(o.ClientAuth, "basic")]
	if !ok {
		return fail(fmt.Errorf("client_auth %q: must be basic or post", o.ClientAuth))
	}
	parameters, err := formParameters(o)
	if err != nil {
		return fail(err)
	}
	c := &OAuth2{
		placement: o.Placement,
		secret:    o.ClientSecret,
		client:    strictClient(o.Client),
		grant: clientcredentials.Config{
			ClientID: o.ClientID, TokenURL: o.TokenURL, AuthStyle: style,
			Scopes: slices.Clone(o.Scopes), EndpointParams: parameters,
		},
	}
	c.renewal = newRenewer(&renewer{
		name: o.Name, kind: "oauth2", fetch: c.fetch, before: o.RefreshBefore,
		now: o.Now, log: withURL(o.Log, o.TokenURL), series: o.Metrics.of(o.Name), onEvent: o.OnEvent,
	})
	o.ClientSecret.Changed(c.renewal.rotate)
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

// fetch makes one request. The library's own caching is left unused: it keeps
// the secret it was made with, and holds a lock for as long as the endpoint takes
// (golang/oauth2#793).
func (c *OAuth2) fetch(ctx context.Context) (secrets.Secret, time.Duration, error) {
	secret, err := c.secret.Get()
	if err != nil {
		return secrets.Secret{}, 0, fmt.Errorf("client secret: %w", err)
	}
	grant := clientcredentials.Config{
		ClientID: c.grant.ClientID, ClientSecret: secret.Reveal(), TokenURL: c.grant.TokenURL,
		AuthStyle: c.grant.AuthStyle, Scopes: c.grant.Scopes, EndpointParams: c.grant.EndpointParams,
	}
	token, err := grant.Token(context.WithValue(ctx, oauth2.HTTPClient, c.client))
	if err != nil {
		return secrets.Secret{}, 0, kindOf(err)
	}
	if err := c.placement.check(token.AccessToken); err != nil {
		return secrets.Secret{}, 0, &endpointError{word: reasonToken, reason: err.Error()}
	}
	seconds, _ := token.Extra("expires_in").(float64) // as strict wrote it
	return secrets.NewSecret(token.AccessToken), time.Duration(seconds) * time.Second, nil
}

// kindOf drops the text of an error of x/oauth2 or net/http, which hold the URL.
func kindOf(err error) error {
	if e, ok := errors.AsType[*endpointError](err); ok {
		return e
	}
	// The client's timeout replaces the error of its transport.
	return networkError(0, err)
}

// strictClient returns a client that speaks to token endpoints and to nothing
// else: bounded, without cookies, and deaf to redirects, which would take the
// secret in the body along (307, 308).
func strictClient(given *http.Client) *http.Client {
	var next http.RoundTripper
	if given != nil {
		next = given.Transport
	}
	if next == nil {
		next = &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			ForceAttemptHTTP2:      true,
			MaxResponseHeaderBytes: 64 << 10,
			IdleConnTimeout:        30 * time.Second,
		}
	}
	return &http.Client{
		Transport:     strict{next},
		Timeout:       fetchTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// checkTokenURL refuses what is not an http URL. Its errors do not quote it.
func checkTokenURL(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http"):
		return errors.New("token_url is not an http or https URL")
	case u.User != nil:
		return errors.New("token_url has a user or password in it")
	case u.Fragment != "":
		return errors.New("token_url has a fragment (RFC 6749, section 3.2)")
	}
	return nil
}

// formParameters are the fields of the request beside the grant's own, which no
// parameter may replace.
func formParameters(o OAuth2Options) (url.Values, error) {
	form := make(url.Values)
	for _, name := range slices.Sorted(maps.Keys(o.Parameters)) {
		switch name {
		case "":
			return nil, errors.New("parameters: one has no name")
		case "grant_type", "scope", "client_id", "client_secret", "client_assertion", "client_assertion_type":
			return nil, fmt.Errorf("parameters: %s is the grant's own", name)
		}
		form.Set(name, o.Parameters[name])
	}
	for name, value := range map[string]string{"audience": o.Audience, "resource": o.Resource} {
		if value != "" && form.Has(name) {
			return nil, fmt.Errorf("parameters: %s is given twice", name)
		} else if value != "" {
			form.Set(name, value)
		}
	}
	return form, nil
}

// withURL has every line of log name the token endpoint, without its query.
func withURL(log *slog.Logger, tokenURL string) *slog.Logger {
	if log == nil {
		return nil
	}
	shown, _, _ := strings.Cut(tokenURL, "?")
	return log.With("token_url", shown)
}
