package credentials

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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

// A tokenEndpoint is where tokens are asked for, how we authenticate there, and
// what we ask for.
type tokenEndpoint struct {
	placement Placement
	secret    *secrets.Value           // nil: none is sent
	assert    *assertion               // nil: none is sent
	grant     clientcredentials.Config // but for what is read anew for each request
	client    *http.Client
}

// newEndpoint checks o, and that none of its parameters stands in place of what
// the grant sets, which own names beside the fields of every grant.
func newEndpoint(o OAuth2Options, own []string) (*tokenEndpoint, error) {
	if err := o.Placement.Validate(); err != nil {
		return nil, err
	}
	if err := checkTokenURL(o.TokenURL); err != nil {
		return nil, err
	}
	switch {
	case o.ClientID == "":
		return nil, errors.New("client_id is empty")
	case o.RefreshBefore < 0:
		return nil, errors.New("refresh_before is negative")
	}
	form, err := formParameters(o, own)
	if err != nil {
		return nil, err
	}
	e := &tokenEndpoint{
		placement: o.Placement,
		client:    strictClient(o.Client),
		grant: clientcredentials.Config{
			ClientID: o.ClientID, TokenURL: o.TokenURL, AuthStyle: oauth2.AuthStyleInParams,
			Scopes: slices.Clone(o.Scopes), EndpointParams: form,
		},
	}
	return e, e.authenticateBy(o)
}

// authenticateBy sets how the client authenticates. It is never left to x/oauth2
// to find out: that would send the secret twice, in both ways, for every failure
// (golang/oauth2#786).
func (e *tokenEndpoint) authenticateBy(o OAuth2Options) error {
	method := cmp.Or(o.ClientAuth, "basic")
	secret, key := method == "basic" || method == "post", method == "private_key_jwt"
	switch {
	case !secret && !key && method != "tls":
		return fmt.Errorf("client_auth %q: must be basic, post, private_key_jwt or tls", o.ClientAuth)
	case secret && o.ClientSecret == nil:
		return errors.New("there is no client_secret")
	case key && o.SigningKey == nil:
		return errors.New("there is no signing_key")
	case method == "tls" && !strings.HasPrefix(o.TokenURL, "https:"):
		return errors.New("client_auth tls needs a token_url that is https")
	}
	switch {
	case key:
		e.assert = &assertion{
			client: o.ClientID, audience: o.TokenURL, now: orTimeNow(o.Now),
			material: o.SigningKey, key: signingKey(o.SigningKey, o.Algorithm, o.KeyID),
		}
	case secret:
		e.secret = o.ClientSecret
	}
	if method == "basic" {
		e.grant.AuthStyle = oauth2.AuthStyleInHeader
	}
	return nil
}

// changed has f called whenever the next request would authenticate with
// something else.
func (e *tokenEndpoint) changed(f func()) {
	switch {
	case e.secret != nil:
		e.secret.Changed(f)
	case e.assert != nil:
		e.assert.changed(f)
	}
}

// ready tells whether there is something to authenticate with.
func (e *tokenEndpoint) ready() error {
	var err error
	switch {
	case e.secret != nil:
		if _, err = e.secret.Get(); err != nil {
			err = fmt.Errorf("client secret: %w", err)
		}
	case e.assert != nil:
		if _, err = e.assert.key.Get(); err != nil {
			err = fmt.Errorf("signing key: %w", err)
		}
	}
	return err
}

func orTimeNow(now func() time.Time) func() time.Time {
	if now == nil {
		return time.Now
	}
	return now
}

// ask makes one request, with the fields of extra beside those of every one. The
// library's own caching is left unused: it keeps the secret it was made with, and
// holds a lock for as long as the endpoint takes (golang/oauth2#793).
func (e *tokenEndpoint) ask(ctx context.Context, extra url.Values) (secrets.Secret, time.Duration, error) {
	grant := clientcredentials.Config{
		ClientID: e.grant.ClientID, TokenURL: e.grant.TokenURL,
		AuthStyle: e.grant.AuthStyle, Scopes: e.grant.Scopes, EndpointParams: maps.Clone(e.grant.EndpointParams),
	}
	maps.Copy(grant.EndpointParams, extra)
	if e.secret != nil {
		secret, err := e.secret.Get()
		if err != nil {
			return secrets.Secret{}, 0, fmt.Errorf("client secret: %w", err)
		}
		grant.ClientSecret = secret.Reveal()
	}
	if e.assert != nil {
		if err := e.assert.addTo(grant.EndpointParams); err != nil {
			return secrets.Secret{}, 0, err
		}
	}
	token, err := grant.Token(context.WithValue(ctx, oauth2.HTTPClient, e.client))
	if err != nil {
		return secrets.Secret{}, 0, kindOf(err)
	}
	if err := e.placement.check(token.AccessToken); err != nil {
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
func formParameters(o OAuth2Options, own []string) (url.Values, error) {
	form := make(url.Values)
	own = append(own, "grant_type", "scope", "client_id", "client_secret", "client_assertion", "client_assertion_type")
	for _, name := range slices.Sorted(maps.Keys(o.Parameters)) {
		switch {
		case name == "":
			return nil, errors.New("parameters: one has no name")
		case slices.Contains(own, name):
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
