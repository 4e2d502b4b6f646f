package gateway_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// from is a caller's address, as a trusted proxy tells it.
func from(address string) string { return "X-Forwarded-For: " + address }

// A guesser is stopped before any signature is looked at, and nobody else is.
func TestAuthFailuresStopTheGuesserAlone(t *testing.T) {
	t.Parallel()
	g, _ := startKeys(t, "limits: {auth_failures: 3/1h}\ntrusted_proxies: [127.0.0.0/8]\n")
	const guesser, other = "203.0.113.7", "203.0.113.8"
	good, known, fresh := bearer(mint(t, nil)), bearer(mint(t, map[string]any{"sub": "bob"})), bearer(mint(t, map[string]any{"sub": "carol"}))
	for _, accepted := range []string{keyed(partnerKey), known} {
		if got := send(t, "GET", g.URL+"/both/1", "", from(guesser), accepted); got.Status != 200 {
			t.Fatalf("a good credential: %d", got.Status)
		}
	}
	for range 5 { // without a credential nothing is guessed
		if got := send(t, "GET", g.URL+"/both/1", "", from(guesser)); got.Status != 401 {
			t.Fatalf("no credential: %d", got.Status)
		}
		if got := send(t, "GET", g.URL+"/both/1", "", from(guesser), good, keyed("x")); got.Status != 400 {
			t.Fatalf("two credentials: %d", got.Status)
		}
	}
	for i, guess := range []string{keyed("guess-1"), bearer("guess"), bearer(mint(t, nil) + "x")} {
		if got := send(t, "GET", g.URL+"/both/1", "", from(guesser), guess); got.Status != 401 {
			t.Fatalf("guess %d: %d", i, got.Status)
		}
	}
	for name, c := range map[string]struct {
		path   string
		sent   []string
		status int
	}{
		"one more guess":                      {"/both/1", []string{from(guesser), keyed("guess-4")}, 429},
		"with a token":                        {"/both/1", []string{from(guesser), bearer("guess")}, 429},
		"on another route":                    {"/tokens/1", []string{from(guesser), bearer("guess")}, 429},
		"a good token never seen before":      {"/both/1", []string{from(guesser), fresh}, 429},
		"a good key never seen before":        {"/both/1", []string{from(guesser), keyed(slowKey)}, 429},
		"a key that was accepted before":      {"/both/1", []string{from(guesser), keyed(partnerKey)}, 200},
		"a token that was accepted before":    {"/both/1", []string{from(guesser), known}, 200},
		"a public route":                      {"/open/1", []string{from(guesser)}, 200},
		"no credential":                       {"/both/1", []string{from(guesser)}, 401},
		"another address":                     {"/both/1", []string{from(other), good}, 200},
		"another address guesses":             {"/both/1", []string{from(other), bearer("guess")}, 401},
		"the guesser, spelled in another way": {"/both/1", []string{from("::ffff:203.0.113.7"), fresh}, 429},
	} {
		got := send(t, "GET", g.URL+c.path, "", c.sent...)
		if got.Status != c.status {
			t.Errorf("%s: %d, want %d", name, got.Status, c.status)
		}
		if c.status != 429 {
			continue
		}
		if seconds, err := strconv.Atoi(got.Header.Get("Retry-After")); err != nil || seconds < 1 || seconds > 1200 || got.Header.Get("Www-Authenticate") != "" {
			t.Errorf("%s: %v", name, got.Header)
		}
		if p := got.problem(t); p["type"] != "urn:sallyport:problem:rate-limited" {
			t.Errorf("%s: %v", name, p)
		}
	}
	metrics := send(t, "GET", g.Admin+"/metrics", "").Body
	for _, line := range []string{`gateway_rate_limited_total{key="auth_failures",route="both"} 5`, `gateway_auth_decisions_total{reason="auth_failures",result="deny",route="both"} 5`} {
		if !strings.Contains(metrics, line) {
			t.Errorf("metrics lack %s", line)
		}
	}
}

// An IPv6 caller has a /64 to send from.
func TestAuthFailuresCountIPv6BySixtyFour(t *testing.T) {
	t.Parallel()
	g, _ := startKeys(t, "limits: {auth_failures: 3/1h}\ntrusted_proxies: [127.0.0.0/8]\n")
	for i := range 3 {
		if got := send(t, "GET", g.URL+"/both/1", "", from(fmt.Sprintf("2001:db8:1:1::%d", i)), keyed("guess")); got.Status != 401 {
			t.Fatalf("guess %d: %d", i, got.Status)
		}
	}
	for address, status := range map[string]int{"2001:db8:1:1:ffff::1": 429, "2001:db8:1:2::1": 401} {
		if got := send(t, "GET", g.URL+"/both/1", "", from(address), keyed("guess")); got.Status != status {
			t.Errorf("%s: %d, want %d", address, got.Status, status)
		}
	}
}

func TestAuthFailuresAreOffUnlessAskedFor(t *testing.T) {
	t.Parallel()
	g, _ := startKeys(t, `limits: {auth_failures: ""}`+"\n")
	for range 100 {
		if got := send(t, "GET", g.URL+"/both/1", "", keyed("guess")); got.Status != 401 {
			t.Fatal(got.Status)
		}
	}
}

// Explaining is no guessing.
func TestExplainedRequestIsNoAuthFailure(t *testing.T) {
	t.Parallel()
	g := explained(t, "limits: {auth_failures: 1/1h}\n"+head+fmt.Sprintf(openRouteWithAuth, "http://127.0.0.1:1"), environment{})
	for range 3 {
		if e := ask(t, g, "GET", "http://a/both/1", bearer("guess")); e.Status != 401 {
			t.Fatalf("%+v", e)
		}
	}
}
