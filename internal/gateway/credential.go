package gateway

import (
	"cmp"
	"fmt"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/credentials"
)

// credential makes a live credential of c. One that rotates has a loop of its
// own.
func (b *builder) credential(name string, c config.Credential) (credentials.Credential, error) {
	at := placement(c)
	if err := at.Validate(); err != nil {
		return nil, err
	}
	switch c.Type {
	case "static":
		return credentials.NewStatic(name, at, b.value(c.Token)), nil
	case "basic":
		return credentials.NewBasic(name, at, b.value(c.Username), b.value(c.Password)), nil
	case "oauth2":
		o, err := b.tokenEndpoint(name, at, c)
		if err != nil {
			return nil, err
		}
		made, err := credentials.NewOAuth2(o)
		if err != nil {
			return nil, err
		}
		b.loops = append(b.loops, loop{"credential " + name, made})
		return made, nil
	case "token_exchange":
		o, err := b.tokenEndpoint(name, at, c)
		if err != nil {
			return nil, err
		}
		made, err := credentials.NewTokenExchange(o)
		if err != nil {
			return nil, err // made is a nil pointer, which no interface may hold
		}
		return made, nil
	case "jwt":
		made, err := credentials.NewSigned(credentials.SignedOptions{
			Name: name, Placement: at, SigningKey: b.value(c.SigningKey), Algorithm: c.Algorithm, KeyID: c.KID,
			Issuer: c.Issuer, Audience: c.Audience, Subject: c.Subject, Scopes: c.Scopes, Claims: c.Claims, Expiry: c.Expiry,
			RefreshBefore: c.RefreshBefore, Log: b.log, Metrics: b.refreshes, OnEvent: b.audit.renewed,
		})
		if err != nil {
			return nil, err
		}
		b.loops = append(b.loops, loop{"credential " + name, made})
		return made, nil
	}
	return nil, fmt.Errorf("type %s is not supported in this version", c.Type)
}

// tokenEndpoint says where and how the tokens of c are asked for.
func (b *builder) tokenEndpoint(name string, at credentials.Placement, c config.Credential) (credentials.OAuth2Options, error) {
	fetcher, err := b.client(c.TLS)
	if err != nil {
		return credentials.OAuth2Options{}, err
	}
	o := credentials.OAuth2Options{
		Name: name, Placement: at, TokenURL: c.TokenURL, ClientID: c.ClientID, ClientAuth: c.ClientAuth, Algorithm: c.Algorithm, KeyID: c.KID,
		Scopes: c.Scopes, Audience: firstOf(c.Audience), Resource: c.Resource, Parameters: c.Parameters, RefreshBefore: c.RefreshBefore,
		Client: fetcher, Log: b.log, Metrics: b.refreshes, OnEvent: b.audit.renewed,
	}
	if !c.ClientSecret.IsZero() {
		o.ClientSecret = b.value(c.ClientSecret)
	}
	if !c.SigningKey.IsZero() {
		o.SigningKey = b.value(c.SigningKey)
	}
	return o, nil
}

func firstOf(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// placement is where a credential goes: Authorization unless the configuration
// says otherwise, with the prefix of its type.
func placement(c config.Credential) credentials.Placement {
	at := credentials.Placement{Query: c.Query, Cookie: c.Cookie}
	if at.Query == "" && at.Cookie == "" {
		at.Header, at.Prefix = cmp.Or(c.Header, "Authorization"), "Bearer "
		if c.Type == "basic" {
			at.Prefix = "Basic "
		}
	}
	if c.Prefix != nil {
		at.Prefix = *c.Prefix
	}
	return at
}
