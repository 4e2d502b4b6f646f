package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/sallyport/sallyport/internal/demo"
)

// palette colours a terminal; on anything else it is empty.
type palette struct{ bold, green, cyan, dim, reset string }

func colours(w io.Writer) palette {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || os.Getenv("NO_COLOR") != "" {
		return palette{}
	}
	return palette{bold: "\x1b[1m", green: "\x1b[32m", cyan: "\x1b[36m", dim: "\x1b[2m", reset: "\x1b[0m"}
}

// scene is one curl line and the answer to expect.
type scene struct{ title, line, expect string }

// print says what runs where, and what to try.
func (s *stage) print(w io.Writer) error {
	scenes, err := s.scenes()
	if err != nil {
		return err
	}
	c := colours(w)
	var b strings.Builder
	fmt.Fprintf(&b, "%sSallyport demo%s\n\n", c.bold, c.reset)
	for _, at := range [][2]string{
		{"gateway", url(s.gateway)},
		{"admin", url(s.admin) + "   (/livez, /readyz, /metrics)"},
		{"legacy API", url(s.legacy) + "   (refuses every call without its own credentials)"},
		{"token issuer", url(s.issuer) + "   (/jwks, /token)"},
		{"config", s.dir + "/gateway.yaml"},
		{"access log", s.dir + "/access.log"},
	} {
		fmt.Fprintf(&b, "  %s%-13s%s %s\n", c.cyan, at[0], c.reset, at[1])
	}
	fmt.Fprintf(&b, "\nPaste these into another terminal; the tokens are good for %s.\n", "12 hours")
	for i, sc := range scenes {
		fmt.Fprintf(&b, "\n%s%d. %s%s\n%s\n   %s-> %s%s\n", c.bold, i+1, sc.title, c.reset, sc.line, c.green, sc.expect, c.reset)
	}
	fmt.Fprintf(&b, "\n%sCtrl-C ends the demo.%s\n", c.dim, c.reset)
	_, err = io.WriteString(w, b.String())
	return err
}

func (s *stage) scenes() ([]scene, error) {
	mint := func(scopes ...string) (string, error) {
		return s.idp.Mint(demo.MintOptions{Subject: "ann", Audience: "orders-api", Scopes: scopes, Lifetime: demoLifetime})
	}
	full, err := mint(demoScopes...)
	if err != nil {
		return nil, err
	}
	narrow, err := mint("crm:read")
	if err != nil {
		return nil, err
	}
	gate := url(s.gateway)
	bearer := func(token string) string { return "-H 'Authorization: Bearer " + token + "' " }
	return []scene{
		{"No token", "curl -i " + gate + "/orders/1",
			"401, WWW-Authenticate: Bearer"},
		{"A token without the scope orders:read", "curl -i " + bearer(narrow) + gate + "/orders/1",
			`403, error="insufficient_scope", scope="orders:read"`},
		{"Allowed; the legacy API gets its own key", "curl -i " + bearer(full) + gate + "/orders/1",
			"200, credential X-Legacy-Key ending in " + last4(s.staticKey) + "; caller_credential_seen: false"},
		{"Allowed; the legacy API gets an OAuth2 token that the gateway renews", "curl -i " + bearer(full) + gate + "/crm/customers",
			"200, credential Bearer token; its last four characters change every half minute or sooner"},
		{"The legacy API revokes that token; the gateway gets another and sends the request again", "curl -s -X POST " + url(s.legacy) + "/revoke; curl -i " + bearer(full) + gate + "/crm/customers",
			"200, with other last four characters"},
		{"A burst against 5 requests a minute", "for i in 1 2 3 4 5 6 7 8; do curl -s -o /dev/null -w '%{http_code} ' " + bearer(full) + gate + "/reports/daily; done; echo",
			"200 200 200 200 200 429 429 429"},
		{"A tampered token", "curl -i " + bearer(tamper(full)) + gate + "/orders/1",
			`401, error="invalid_token"`},
		{"The metrics", "curl -s " + url(s.admin) + "/metrics | grep -E '^gateway_(requests|replays)_total'",
			"one line for each route, method and status of the calls above, and 1 replay on crm"},
	}, nil
}

func last4(s string) string { return s[len(s)-4:] }

// tamper changes one character in the middle of a token's signature.
func tamper(token string) string {
	at := strings.LastIndexByte(token, '.') + 10
	other := byte('A')
	if token[at] == other {
		other = 'B'
	}
	return token[:at] + string(other) + token[at+1:]
}
