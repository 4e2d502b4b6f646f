package token

import (
	"errors"
	"testing"
	"time"
)

func TestJudgeAcceptsOneIssuersValidTokensOnly(t *testing.T) {
	t.Parallel()
	now := time.Now()
	mine, other := newSigner(t, "ES256", "k1"), newSigner(t, "RS256", "k2")
	j := Judge{Issuer: "https://gw.example.com", Keys: []Key{mine.Public()}}
	good := map[string]any{"iss": "https://gw.example.com", "exp": now.Add(time.Minute).Unix(), "iat": now.Unix()}
	for name, tt := range map[string]struct {
		signer *Signer
		change map[string]any
		want   error
	}{
		"good":                    {mine, nil, nil},
		"another key":             {other, nil, ErrSignature},
		"another issuer":          {mine, map[string]any{"iss": "https://gw.example.com/"}, ErrIssuer},
		"no issuer":               {mine, map[string]any{"iss": nil}, ErrIssuer},
		"no exp":                  {mine, map[string]any{"exp": nil}, ErrExpired},
		"expired just now":        {mine, map[string]any{"exp": now.Unix()}, ErrExpired},
		"signed by a clock ahead": {mine, map[string]any{"iat": now.Add(20 * time.Second).Unix()}, nil},
		"not valid yet":           {mine, map[string]any{"nbf": now.Add(time.Minute).Unix()}, ErrEarly},
		"signed in the future":    {mine, map[string]any{"iat": now.Add(time.Minute).Unix()}, ErrEarly},
	} {
		claims := make(map[string]any)
		for _, from := range []map[string]any{good, tt.change} {
			for claim, value := range from {
				if claims[claim] = value; value == nil {
					delete(claims, claim)
				}
			}
		}
		raw, err := tt.signer.Sign(claims, "")
		if err != nil {
			t.Fatal(err)
		}
		if p, err := j.Verify(raw, now); !errors.Is(err, tt.want) || (p == nil) != (err != nil) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	if _, err := j.Verify("no token", now); !errors.Is(err, ErrMalformed) {
		t.Errorf("no token: %v", err)
	}
}
