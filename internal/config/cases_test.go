package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// Each file of testdata/cases has one mistake; its first line is the error.
func TestEachFaultInCasesIsNamedByItsPlace(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/cases/*.yaml")
	if err != nil || len(files) < 25 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(string(text), "\n")
		c, err := LoadCases(file, environment())
		if want := file + ":" + strings.TrimPrefix(first, "# "); c != nil || err == nil || err.Error() != want {
			t.Errorf("\n got %v\nwant %s", err, want)
		}
	}
}

const goodCases = `
cases:
  - name: a reader lists orders
    request: {method: GET, url: "http://orders.example.com/orders/1", headers: {}}
    token: {issuer: corp, subject: ann, audience: [orders-api], scopes: [orders:read], claims: {tenant: acme, n: 7, roles: [a, b], sub: null}, expires_in: -5m}
    at: 2026-11-23T12:00:00Z
    expect: {decision: allow, route: orders, inject: crm}
  - request: {url: "${env:HOST}/x"}
    raw: eyJ
    expect: {decision: deny, status: 403, check: authorisation, route: "", inject: []}
  - request: {method: POST, url: /y}
    token: {api_key: {source: partners, id: acme-1}}
    expect: {decision: deny, check: rate limit}
`

func TestCasesAreRead(t *testing.T) {
	t.Parallel()
	c, err := ParseCases("cases.yaml", []byte(goodCases), environment("HOST=http://a"))
	if err != nil {
		t.Fatal(err)
	}
	one, two, three := c.Cases[0], c.Cases[1], c.Cases[2]
	if at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC); !one.At.Equal(at) || one.Token.ExpiresIn != Offset(-5*time.Minute) {
		t.Errorf("%v, %v", one.At, one.Token.ExpiresIn)
	}
	want := "map[n:7 roles:[a b] sub:<nil> tenant:acme]"
	if got := fmt.Sprint(map[string]any(one.Token.Claims)); got != want {
		t.Errorf("claims are %s, want %s", got, want)
	}
	if *one.Expect.Route != "orders" || one.Expect.Inject[0] != "crm" || one.Expect.Status != 0 {
		t.Errorf("%+v", one.Expect)
	}
	if two.Name != "GET http://a/x" || two.Raw != "eyJ" || two.Expect.Check != "authorise" || *two.Expect.Route != "" || two.Expect.Inject == nil || len(two.Expect.Inject) > 0 {
		t.Errorf("%+v", two)
	}
	if three.Token != nil || *three.APIKey != (CaseAPIKey{"partners", "acme-1"}) || three.Expect.Check != "rate_limit" || three.Expect.Route != nil || three.Expect.Inject != nil {
		t.Errorf("%+v", three)
	}
	if line, _ := c.Position("cases[1]"); line != 8 {
		t.Errorf("the second case is on line %d", line)
	}
}

func TestCasesNameWhatTheConfigurationHas(t *testing.T) {
	t.Parallel()
	cfg, err := Parse("gateway.yaml", []byte(`
issuers: {corp: {issuer: a, audiences: [b], keys: [{key: "${secret:k}"}]}}
credentials: {crm: {type: static, token: "${secret:t}"}}
routes: [{name: orders, path: /x, auth: {issuers: [corp]}, inject: crm, upstream: "http://a"}]
`), environment())
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseCases("cases.yaml", []byte(`cases:
  - request: {url: /x}
    token: {issuer: crop}
    expect: {decision: allow, route: order, inject: [crm, cmr]}
  - request: {url: /x}
    api_key: {source: partners, id: a}
    expect: {decision: deny, route: ""}
  - {request: {url: /x}, token: {issuer: corp}, expect: {decision: allow, route: orders, inject: crm}}
`), environment())
	if err != nil {
		t.Fatal(err)
	}
	want := `cases.yaml:3:21: the configuration has no issuer "crop"; did you mean "corp"?
cases.yaml:4:38: the configuration has no route "order"; did you mean "orders"?
cases.yaml:4:59: the configuration has no credential "cmr"; did you mean "crm"?
cases.yaml:6:23: the configuration has no list of API keys "partners"; there are none`
	if err := c.Check(cfg); err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

// FuzzCases: no text makes ParseCases panic, every error has a place and one
// line, and what is read is whole and reads the same again.
func FuzzCases(f *testing.F) {
	f.Add([]byte(goodCases))
	for _, pattern := range []string{"testdata/cases/*.yaml", "../../configs/cases/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ParseCases("f", text, environment("HOST=a"))
		if err != nil {
			var mistakes Errors
			if !errors.As(err, &mistakes) || len(mistakes) == 0 || c != nil {
				t.Fatalf("%#v", err)
			}
			for _, m := range mistakes {
				if m.Line < 1 || m.Column < 1 || m.Problem == "" || strings.ContainsAny(m.Error(), "\n\r\x1b\x00") {
					t.Fatalf("%#v", m)
				}
			}
			return
		}
		for _, one := range c.Cases {
			if one.Name == "" || one.Request.URL == "" || one.Expect.Decision != "allow" && one.Expect.Decision != "deny" {
				t.Fatalf("%+v", one)
			}
			if one.Token != nil && (one.Token.Issuer == "" || one.Raw != "" || one.APIKey != nil) {
				t.Fatalf("%+v", one)
			}
		}
		again, err := ParseCases("f", text, environment("HOST=a"))
		if err != nil || !reflect.DeepEqual(c, again) {
			t.Fatalf("read twice: %v", err)
		}
	})
}
