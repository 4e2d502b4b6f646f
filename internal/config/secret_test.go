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
