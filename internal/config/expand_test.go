package config

import (
	"slices"
	"strings"
	"testing"
)

// TestVariables fills in texts at a place that takes any.
func TestVariables(t *testing.T) {
	settings := []string{"A=alpha", "B=beta", "EMPTY=", "NESTED=${env:B}", "_x9=y", "BRACE=}"}
	for text, want := range map[string]string{
		"${env:A}":                            "alpha",
		"x${env:A}y${env:B}":                  "xalphaybeta",
		"${env:A:-no}":                        "alpha",
		"${env:NONE:-fallback}":               "fallback",
		"${env:EMPTY:-fallback}":              "fallback",
		"${env:A:+yes}":                       "yes",
		"x${env:NONE:+yes}":                   "x",
		"x${env:EMPTY:+yes}":                  "x",
		"x${env:EMPTY}":                       "x",
		"${env:NONE:-${env:B}}":               "beta",
		"${env:NONE:-${env:EMPTY:-${env:A}}}": "alpha",
		"${env:A:+${env:B}/${env:A}}":         "beta/alpha",
		"${env:NONE:-a:-b}":                   "a:-b",
		"${env:A:-${env:NONE}}":               "alpha", // what is not taken is not asked
		"$${env:A}":                           "${env:A}",
		"$$${env:A}":                          "$${env:A}",
		"${env:NONE:-$${x}":                   "${x",
		"$A $(A) $ {env:A} {env:A}":           "$A $(A) $ {env:A} {env:A}",
		"${env:NESTED}":                       "${env:B}", // a value is not looked at again
		"${env:_x9}":                          "y",
		"${env:NONE:-x${env:BRACE}y}":         "x}y",
		"a}b":                                 "a}b",
	} {
		c := parse(t, "secrets: {env: {prefix: '"+text+"'}}"+route, settings...)
		if got := c.Secrets.Env.Prefix; got != want {
			t.Errorf("%s is %q, want %q", text, got, want)
		}
	}
}

func TestFormsThatAreNone(t *testing.T) {
	for _, text := range []string{
		"${A}", "${}", "${env:}", "${env:A", "${env:A:}", "${env:A:=x}", "${env:A-x}", "${env:A:?x}", "${env: A}", "${env:A }", "${env:A.B}", "${env:9}", "${ENV:A}", "${file:a}",
		"${env:A:-${b}}", "${env:A:-${env:B}", "$${env:A}${", "${secret:a}", "x${secret:a}", "${env:A:-${secret:a}}",
	} {
		mustFail(t, "secrets: {env: {prefix: '"+text+"'}}"+route, "A=alpha")
	}
	if err := mustFail(t, "secrets: {env: {prefix: '${env:NONE}'}}"+route); !strings.Contains(err, "environment variable NONE is not set; set it, or write ${env:NONE:-default}") {
		t.Error(err)
	}
}

// TestVariablesAreTypedAsIfWrittenThere at places of every type.
func TestVariablesAreTypedAsIfWrittenThere(t *testing.T) {
	const text = `
listen: ${env:LISTEN}
fast_lane: ${env:FAST}
trusted_proxies: ${env:PROXIES}
limits: {max_body: "${env:BODY}", drain: "${env:DRAIN}"}
rate_limits: {max_keys: "${env:KEYS}"}
telemetry: {access_log: "${env:LOG}"}
routes:
  - {name: a, path: /*, auth: "${env:AUTH}", rate_limit: {rate: "${env:RATE}"}, upstream: "${env:TO}"}
`
	c := parse(t, text, "LISTEN=:1", "FAST=false", "PROXIES=10.0.0.0/8, 192.0.2.1,", "BODY=1KiB", "DRAIN=1m", "KEYS=7", "LOG=stderr", "AUTH=public", "RATE=5/m", "TO=http://a")
	if c.Listen != ":1" || c.FastLane || !slices.Equal(c.TrustedProxies, Strings{"10.0.0.0/8", "192.0.2.1"}) || c.Limits.MaxBody != 1024 || c.RateLimits.MaxKeys != 7 || !c.Routes[0].Auth.Public {
		t.Errorf("%+v", c)
	}
	// An empty one counts as the key left out: its default, not off.
	c = parse(t, text, "LISTEN=", "FAST=", "PROXIES=", "BODY=", "DRAIN=", "KEYS=", "LOG=", "AUTH=public", "RATE=5/m", "TO=http://a")
	if c.Listen != ":8080" || !c.FastLane || c.TrustedProxies != nil || c.Limits.MaxBody != 10<<20 || c.RateLimits.MaxKeys != 100000 || c.Telemetry.AccessLog != "stdout" {
		t.Errorf("%+v", c)
	}
	err := mustFail(t, text, "LISTEN=", "FAST=", "PROXIES=", "BODY=", "DRAIN=", "KEYS=", "LOG=", "AUTH=", "RATE=", "TO=")
	for _, want := range []string{
		"a route needs auth: an auth block, or the word public (it came from ${env:AUTH}, which is empty)",
		"a rate limit needs rate: such as 100/s or 6000/1m (it came from ${env:RATE}, which is empty)",
		"a route needs upstream: a URL, or an upstream block (it came from ${env:TO}, which is empty)",
	} {
		if !strings.Contains(err, want) {
			t.Errorf("\n got %s\nwant %s", err, want)
		}
	}
	// Two quotes are what an empty text looks like, written there.
	if c := parse(t, "telemetry:\n  access_log: ${env:LOG}"+route, "LOG=''"); c.Telemetry.AccessLog != "" {
		t.Errorf("%q", c.Telemetry.AccessLog)
	}
}

func TestEmptyItemsAreDropped(t *testing.T) {
	c := parse(t, `
issuers:
  corp:
    issuer: i
    audiences: ["${env:ONE}", "${env:TWO}", three]
    required_claims: ["${env:TWO}"]
    keys:
      - {kid: "${env:TWO}", key: "${env:TWO:+${secret:${env:TWO}}}"}
      - {kid: second, key: "${secret:k}"}
`+route, "ONE=one", "TWO=")
	corp := c.Issuers["corp"]
	if !slices.Equal(corp.Audiences, Strings{"one", "three"}) || !slices.Equal(corp.RequiredClaims, Strings{"sub"}) || len(corp.Keys) != 1 || corp.Keys[0].KID != "second" {
		t.Errorf("%+v", corp)
	}
	if line, _ := c.Position("issuers.corp.keys[0].kid"); line != 9 {
		t.Errorf("the first key that is left stands on line %d, want 9", line)
	}
}

// TestDropIn covers what the image's default configuration makes of its variables.
func TestDropIn(t *testing.T) {
	load := func(settings ...string) (*Config, error) {
		return Load("../../configs/drop-in.yaml", environment(settings...))
	}
	required := []string{"UPSTREAM_URL=http://legacy:8080", "JWT_ISSUER=https://idp/", "JWT_AUDIENCE=a,b"}
	_, err := load()
	for _, name := range []string{"UPSTREAM_URL", "JWT_ISSUER", "JWT_AUDIENCE", "JWT_JWKS_URL", "JWT_SECRET_PATH"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named: %v", name, err)
		}
	}
	_, err = load(required...)
	if want := "issuers.jwt needs keys: set jwks_url (JWT_JWKS_URL is empty) or keys (JWT_SECRET_PATH is empty)"; err == nil || !strings.HasSuffix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want %s", err, want)
	}
	least := append(slices.Clone(required), "JWT_SECRET_PATH=jwt/secret#key", "REQUIRED_SCOPE=", "INJECT_SECRET_PATH=", "INJECT_PREFIX=", "RATE_LIMIT=")
	c, err := load(least...)
	if err != nil {
		t.Fatal(err)
	}
	jwt, r := c.Issuers["jwt"], c.Routes[0]
	if jwt.Keys[0].Key != (Secret{Path: "jwt/secret", Field: "key"}) || !slices.Equal(jwt.Audiences, Strings{"a", "b"}) || len(r.Auth.Scopes) != 0 || len(r.Inject) != 0 || r.RateLimit[0].Rate.Count != 100 || c.Admin.Listen != "127.0.0.1:9090" {
		t.Errorf("%+v", c)
	}
	c, err = load(append(slices.Clone(required), "JWT_JWKS_URL=http://idp/jwks", "ALLOW_INSECURE_HTTP=true", "REQUIRED_SCOPE=x, y", "INJECT_SECRET_PATH=legacy", "INJECT_HEADER=X-Key",
		"INJECT_PREFIX=", "RATE_LIMIT=5/m", "TRUSTED_PROXIES=10.0.0.0/8", "ADMIN_LISTEN=:9090", "SECRETS_BACKEND=env")...)
	if err != nil {
		t.Fatal(err)
	}
	up, r := c.Credentials["upstream-header"], c.Routes[0]
	if up.Token.Path != "legacy" || up.Header != "X-Key" || up.Prefix == nil || *up.Prefix != "" || !slices.Equal(r.Inject, Strings{"upstream-header"}) || !slices.Equal(r.Auth.Scopes, Strings{"x", "y"}) || len(c.Issuers["jwt"].Keys) != 0 {
		t.Errorf("%+v", c)
	}
	for inject, want := range map[string][3]string{
		"":                                       {"upstream", "Authorization", "unset"},
		"INJECT_PREFIX=Key ":                     {"upstream-prefix", "Authorization", "Key "},
		"INJECT_HEADER=X-Key":                    {"upstream-header", "X-Key", ""},
		"INJECT_HEADER=X-Key,INJECT_PREFIX=Key ": {"upstream-header-prefix", "X-Key", "Key "},
	} {
		c, err := load(slices.Concat(required, []string{"JWT_JWKS_URL=https://idp/jwks", "INJECT_SECRET_PATH=legacy"}, strings.Split(inject, ","))...)
		if err != nil {
			t.Fatalf("%s: %v", inject, err)
		}
		up, prefix := c.Credentials[want[0]], "unset"
		if up.Prefix != nil {
			prefix = *up.Prefix
		}
		if !slices.Equal(c.Routes[0].Inject, Strings{want[0]}) || up.Header != want[1] || prefix != want[2] {
			t.Errorf("%s: %v puts %q into %q, want %v", inject, c.Routes[0].Inject, prefix, up.Header, want)
		}
	}
	if c.RateLimits.Store != "memory" || r.RateLimit[0].Rate.Count != 5 || c.Admin.Listen != ":9090" || !slices.Equal(c.TrustedProxies, Strings{"10.0.0.0/8"}) {
		t.Errorf("%+v", c)
	}
}
