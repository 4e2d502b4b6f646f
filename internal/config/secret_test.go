package config

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestReferences(t *testing.T) {
	for text, want := range map[string]Secret{
		"${secret:legacy}":                             {Path: "legacy"},
		"${secret:legacy/api-key#token}":               {Path: "legacy/api-key", Field: "token"},
		"${secret:${env:P}}":                           {Path: "env/path", Field: "field"},
		"${secret:${env:ENV:-prod}/db#${env:F:-user}}": {Path: "prod/db", Field: "user"},
		"${env:P:+${secret:a}}":                        {Path: "a"},
		"${env:NONE:-${secret:b}}":                     {Path: "b"},
		"${env:NONE:-}${secret:c}":                     {Path: "c"},
		"${secret:a..b/…}":                             {Path: "a..b/…"},
	} {
		c := parse(t, "admin: {token: '"+text+"'}"+route, "P=env/path#field")
		if c.Admin.Token != want {
			t.Errorf("%s is %v, want %v", text, c.Admin.Token, want)
		}
	}
	for _, text := range []string{"''", "", "'${env:EMPTY}'", "'${env:EMPTY:+${secret:a}}'"} {
		if c := parse(t, "admin: {token: "+text+"}"+route, "EMPTY="); !c.Admin.Token.IsZero() {
			t.Errorf("%s is %v, want none", text, c.Admin.Token)
		}
	}
}

func TestReferencesThatNoBackendHas(t *testing.T) {
	for _, text := range []string{
		"${secret:}", "${secret:#a}", "${secret:a#}", "${secret:a#b#c}", "${secret:/a}", "${secret:..}", "${secret:a/../b}", "${secret:./a}", "${secret: a}", "${secret:a }",
		"${secret:a{b}", "${secret:${env:BRACE}}", "${secret:${env:LINE}}", "${secret:${env:REF}}", "${secret:" + strings.Repeat("a", 1025) + "}", "${secret:a#${env:EMPTY}}", "${secret:${env:EMPTY}}",
	} {
		err := mustFail(t, "admin: {token: '"+text+"'}"+route, "BRACE=a}b", "LINE=a\nb", "REF=${secret:a}", "EMPTY=")
		if !strings.Contains(err, "write ${secret:PATH}") {
			t.Errorf("%s: %s", text, err)
		}
	}
}

// TestOpenByMistakeIsRefused: what an operator forgets must not mean that
// everybody may pass (cases admin-05 and admin-06).
func TestOpenByMistakeIsRefused(t *testing.T) {
	const issuer = "issuers: {corp: {issuer: i, jwks_url: 'https://a/', %s}}\n"
	with := func(keys string) string { return strings.ReplaceAll(issuer, "%s", keys) }
	on := func(keys string) string { return "routes: [{name: a, path: /*, upstream: 'http://a', " + keys + "}]\n" }
	for name, text := range map[string]string{
		"no audience":                 with("") + route,
		"an empty audience":           with("audiences: ['']") + route,
		"audiences from nothing":      with("audiences: '${env:EMPTY}'") + route,
		"an unset variable":           with("audiences: '${env:UNSET}'") + route,
		"a misspelt key":              with("audience: a") + route,
		"no auth":                     on(""),
		"an empty auth":               on("auth: "),
		"an auth block of nothing":    on("auth: {}"),
		"auth from nothing":           on("auth: '${env:EMPTY}'"),
		"auth that is not a word":     on("auth: false"),
		"a misspelt auth":             on("atuh: {issuers: [corp]}"),
		"no issuers":                  with("audiences: a") + on("auth: {scopes: [a]}"),
		"issuers from nothing":        with("audiences: a") + on("auth: {issuers: ['${env:EMPTY}']}"),
		"a claim without values":      with("audiences: a") + on("auth: {issuers: corp, claims: {tenant: []}}"),
		"a rate of 0":                 on("auth: public, rate_limit: {rate: 0/s}"),
		"an empty secret":             "credentials: {a: {type: static, token: ''}}\n" + route,
		"a secret from nothing":       "credentials: {a: {type: static, token: '${env:EMPTY}'}}\n" + route,
		"a key that is nothing":       "issuers: {corp: {issuer: i, audiences: a, keys: [{kid: a, key: ''}]}}\n" + route,
		"keys that are nothing":       "issuers: {corp: {issuer: i, audiences: a, keys: []}}\n" + route,
		"tls from nothing":            "tls: {cert_file: '${env:EMPTY}', key_file: '${env:EMPTY}'}\n" + route,
		"an expression of nothing":    with("audiences: a") + on("auth: {issuers: corp, allow: ' '}"),
		"an auth block written twice": with("audiences: a") + on("auth: {issuers: corp}, auth: public"),
	} {
		if _, err := Parse("gateway.yaml", []byte(text), environment("EMPTY=")); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestLiteralsWhereAllowed(t *testing.T) {
	for _, allow := range []string{"allow_literal_secrets: true\n", "allow_literal_secrets: ${env:YES}\n"} {
		c := parse(t, "admin:\n  token: ${env:TOKEN}\n"+allow+route, "TOKEN=hunter2", "YES=true")
		token := c.Admin.Token
		if text, ok := token.Literal(); !ok || text != "hunter2" {
			t.Errorf("literal is %q, %v", text, ok)
		}
		shown, err := json.Marshal(token)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{fmt.Sprint(token), fmt.Sprintf("%+v %#v %s %q", token, token, token, c.Admin), string(shown)} {
			if strings.Contains(text, "hunter2") {
				t.Errorf("the literal is shown: %s", text)
			}
		}
	}
	// An admin token that is there by mistake must not open what it should close.
	if err := mustFail(t, "admin: {token: x}\nallow_literal_secrets: maybe"+route); !strings.Contains(err, "a secret must not stand in this file") {
		t.Error(err)
	}
}

// TestNoMessageShowsASecret puts a canary into a secret place, and the variable
// or anchor it came from into every other kind of place, wrongly.
func TestNoMessageShowsASecret(t *testing.T) {
	const canary = "CANARY /\\ {}"
	for _, from := range []string{"${env:CANARY}", "${env:NONE:-${env:CANARY}}", "${env:CANARY}.", "${secret:${env:CANARY}", "${CANARY", "${env:CANARY.}", "${CANARY}"} {
		for _, place := range []string{
			"listen: %s", "fast_lane: %s", "limits: {drain: %s}", "limits: {max_body: %s}", "limits: %s", "trusted_proxies: %s", "trusted_proxies: [%s]", "secrets: {backend: %s}",
			"telemetry: {log_level: %s}", "issuers: {corp: {issuer: a, audiences: b, jwks_url: %s}}", "issuers: {corp: {issuer: a, audiences: b, from: %s, algorithms: %s}}",
			"credentials: {c: {type: static, token: %s, header: %s, query: %s, hosts: %s}}", "rate_limits: {max_keys: %s}", "tls: {min_version: %s}", "issuers: %s", "routes: %s",
			"routes: [{name: %s, path: %s, auth: %s, upstream: %s}]", "routes: [{name: a, path: /, methods: %s, hosts: %s, auth: {issuers: %s, scopes: %s}, inject: %s, upstream: {urls: %s, host: %s}}]",
			"routes: [{name: a, path: /, auth: public, rate_limit: {rate: %s, key: %s}, forward: {X-A: %s}, request_headers: {set: {X-A: %s}, remove: %s}, upstream: http://a}]",
			"routes: [{name: a, path: /, auth: public, rate_limit: [{rate: 1/s, key: %s}], upstream: {urls: [http://a], strip_prefix: %s, add_prefix: %s}}]",
		} {
			text := "admin: {token: '" + from + "'}\n" + strings.ReplaceAll(place, "%s", "'"+from+"'") + "\n"
			if err := mustFail(t, text, "CANARY="+canary); strings.Contains(strings.ReplaceAll(err, "variable CANARY", ""), "CANARY /") {
				t.Errorf("%s\n%s", text, err)
			}
			aliased := "admin: {token: &it '" + canary + "'}\n" + strings.ReplaceAll(place, "%s", "*it ") + "\n"
			if err := mustFail(t, aliased); strings.Contains(err, "CANARY") {
				t.Errorf("%s\n%s", aliased, err)
			}
		}
	}
}
