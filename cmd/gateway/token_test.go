package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// tokenFiles is a folder of secrets, and a configuration with a token service
// that signs with them.
func tokenFiles(t *testing.T) (config string, public any) {
	t.Helper()
	dir := t.TempDir()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: private, KeyID: "k1", Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"signing": string(set), "hmac": "an HMAC key of 32 bytes or more, for tests alone", "short": "short"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config = write(t, "gateway.yaml", `
secrets: {backend: file, file: {dir: `+dir+`}}
token_service: {path: /oauth2, issuer: "https://gw.example.com", signing_keys: "${secret:signing}", expiry: 10m}
`+validConfig)
	return config, private.Public()
}

func TestTokenIsIssuedAndVerified(t *testing.T) {
	t.Parallel()
	config, public := tokenFiles(t)
	status, out, errs := invoke(t, "token", "issue", "-c", config, "--scope", "a", "--scope", "b:c", "--claim", "tenant=acme", "--claim", "n=12", "--claim", `list=["x"]`,
		"--claim", `zip="123"`, "--audience", "orders-api", "--subject", "ann")
	if status != 0 || strings.Count(out, "\n") != 1 || !strings.HasPrefix(errs, "secret backend: file") {
		t.Fatalf("issue: %d %q %q", status, out, errs)
	}
	raw := strings.TrimSpace(out)
	claims := jwt.MapClaims{}
	parsed, err := jwt.ParseWithClaims(raw, claims, func(*jwt.Token) (any, error) { return public, nil },
		jwt.WithIssuer("https://gw.example.com"), jwt.WithSubject("ann"), jwt.WithAudience("orders-api"), jwt.WithExpirationRequired())
	if err != nil {
		t.Fatal(err)
	}
	if parsed.Header["kid"] != "k1" || claims["scope"] != "a b:c" || claims["tenant"] != "acme" || claims["n"] != 12.0 || claims["zip"] != "123" || claims["exp"].(float64)-claims["iat"].(float64) != 600 || claims["jti"] == nil {
		t.Errorf("%v %v", parsed.Header, claims)
	}
	for _, arg := range []string{raw, "-"} {
		status, out, errs := gatewayWith(t, raw+"\n", "token", "verify", "-c", config, arg)
		var printed map[string]any
		if err := json.Unmarshal([]byte(out), &printed); err != nil || status != 0 || printed["sub"] != "ann" || printed["jti"] != claims["jti"] {
			t.Errorf("verify %.3s: %d %q %q", arg, status, out, errs)
		}
	}
}

func TestTokensOfOneKey(t *testing.T) {
	t.Parallel()
	config, _ := tokenFiles(t)
	with := func(rest ...string) []string {
		return append([]string{"token", rest[0], "-c", config, "--key", "hmac"}, rest[1:]...)
	}
	_, out, _ := invoke(t, with("issue", "--alg", "HS256", "--issuer", "https://a.example.com", "--expiry", "1s", "--output", "json")...)
	var issued struct{ Token, Expires string }
	if err := json.Unmarshal([]byte(out), &issued); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	if at, err := time.Parse(time.RFC3339, issued.Expires); err != nil || time.Until(at) > time.Second {
		t.Errorf("expires %s, %v", issued.Expires, err)
	}
	_, out, _ = invoke(t, with("issue", "--alg", "HS256", "--issuer", "https://a.example.com")...)
	good := strings.TrimSpace(out)
	for name, tt := range map[string]struct {
		args   []string
		status int
		errs   string
	}{
		"good":                {with("verify", "--alg", "HS256", "--issuer", "https://a.example.com", good), 0, ""},
		"any issuer":          {with("verify", good), 0, ""},
		"another issuer":      {with("verify", "--issuer", "https://b.example.com", good), 1, "token of another issuer"},
		"another algorithm":   {with("verify", "--alg", "HS512", good), 1, "signature does not verify"},
		"changed":             {with("verify", good[:len(good)-4]+"AAAA"), 1, "signature does not verify"},
		"no token":            {with("verify", "x"), 1, "malformed token"},
		"another's":           {[]string{"token", "verify", "-c", config, good}, 1, "signature does not verify"},
		"a weak key":          {[]string{"token", "issue", "-c", config, "--key", "short"}, 1, "at least 32 bytes"},
		"no such key":         {[]string{"token", "issue", "-c", config, "--key", "none"}, 1, "not found"},
		"--alg alone":         {[]string{"token", "issue", "-c", config, "--alg", "HS256"}, 2, "--alg goes with --key"},
		"an own claim":        {with("issue", "--claim", "sub=root"), 2, "--subject"},
		"no claim":            {with("issue", "--claim", "tenant"), 2, "NAME=VALUE"},
		"a negative expiry":   {with("issue", "--expiry", "-1s"), 2, "positive"},
		"a part of a second":  {with("issue", "--expiry", "1500ms"), 2, "number of seconds"},
		"no token service":    {[]string{"token", "issue", "-c", write(t, "plain.yaml", validConfig)}, 1, "no token_service"},
		"a file that is none": {[]string{"token", "issue", "-c", "nowhere.yaml"}, 1, "nowhere.yaml"},
	} {
		status, out, errs := invoke(t, tt.args...)
		if status != tt.status || !strings.Contains(errs, tt.errs) || (status != 0) != (out == "") || strings.Contains(errs, good) || strings.Contains(errs, "HMAC key of") {
			t.Errorf("%s: %d %q %q, want %d %q", name, status, out, errs, tt.status, tt.errs)
		}
	}
	at, _ := time.Parse(time.RFC3339, issued.Expires)
	time.Sleep(time.Until(at)) // what is awaited is the clock
	if status, _, errs := invoke(t, with("verify", issued.Token)...); status != 1 || !strings.Contains(errs, "has expired") {
		t.Errorf("expired: %d %q", status, errs)
	}
}
