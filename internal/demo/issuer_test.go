package demo_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/demo"
	"github.com/sallyport/sallyport/internal/token"
)

// verify reads a token that a key of the issuer's JWKS signed.
func verify(t *testing.T, issuer, raw string) *token.Parsed {
	t.Helper()
	keys, skipped, err := token.ParseJWKS([]byte(get(t, issuer+"/jwks", nil).body))
	if err != nil || len(keys) != 1 || len(skipped) != 0 {
		t.Fatalf("JWKS: %d keys, %v skipped, %v; want 1 key", len(keys), skipped, err)
	}
	p, err := token.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	if p.Header.KeyID != keys[0].ID {
		t.Errorf("the token names key %q, the JWKS has %q", p.Header.KeyID, keys[0].ID)
	}
	if err := p.Verify(keys[0]); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTokenEndpointGrants(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	_, srv := startIssuer(t, demo.IssuerOptions{Now: func() time.Time { return now }})
	for name, c := range map[string]struct {
		client, secret string // by HTTP Basic, where there is a secret
		form           string
		aud, scope     string
		seconds        int64
	}{
		"by basic, and all scopes when none is asked for": {"gateway", "gateway-secret", "", "crm", "crm:read crm:write", 30},
		"by post":   {"gateway", "", "&client_id=gateway&client_secret=gateway-secret", "crm", "crm:read crm:write", 30},
		"one scope": {"gateway", "gateway-secret", "&scope=crm:write", "crm", "crm:write", 30},
		"several scopes, each once, as asked for":    {"gateway", "gateway-secret", "&scope=crm:write+crm:read+crm:write", "crm", "crm:write crm:read", 30},
		"an id and a secret that are form-encoded":   {"odd id", "a:b c%+é", "", "orders-api", "orders:read", 900},
		"its own audience, named as a resource too":  {"gateway", "gateway-secret", "&audience=crm&resource=crm", "crm", "crm:read crm:write", 30},
		"by basic, with the same id in the body too": {"gateway", "gateway-secret", "&client_id=gateway", "crm", "crm:read crm:write", 30},
	} {
		t.Run(name, func(t *testing.T) {
			id := c.client
			if c.secret == "" {
				id = ""
			}
			res := post(t, srv.URL+"/token", formType, id, c.secret, "grant_type=client_credentials"+c.form)
			if res.status != http.StatusOK {
				t.Fatalf("answered %d %s", res.status, res.body)
			}
			if cc, pragma := res.header.Get("Cache-Control"), res.header.Get("Pragma"); cc != "no-store" || pragma != "no-cache" {
				t.Errorf("Cache-Control %q and Pragma %q, want no-store and no-cache", cc, pragma)
			}
			a := decode[struct {
				AccessToken string `json:"access_token"`
				TokenType   string `json:"token_type"`
				ExpiresIn   int64  `json:"expires_in"`
				Scope       string
			}](t, res.body)
			if a.TokenType != "Bearer" || a.Scope != c.scope || a.ExpiresIn != c.seconds {
				t.Errorf("answered %s, want Bearer, %q, %d s", res.body, c.scope, c.seconds)
			}
			p := verify(t, srv.URL, a.AccessToken)
			if p.Header.Type != "at+jwt" || p.Header.Algorithm != "ES256" {
				t.Errorf("header %+v, want an ES256 at+jwt", p.Header)
			}
			for claim, v := range map[string]struct{ got, want any }{
				"iss": {p.Claims.Issuer, srv.URL}, "aud": {p.Claims.Audience, []string{c.aud}},
				"sub": {p.Claims.Subject, c.client}, "client_id": {p.Claims.All["client_id"], c.client},
				"scope": {p.Claims.All["scope"], c.scope},
				"iat":   {p.Claims.IssuedAt.Unix(), now.Unix()}, "exp": {p.Claims.Expiry.Unix(), now.Unix() + c.seconds},
			} {
				if !reflect.DeepEqual(v.got, v.want) {
					t.Errorf("%s is %v, want %v", claim, v.got, v.want)
				}
			}
			if jti, _ := p.Claims.All["jti"].(string); len(jti) < 16 {
				t.Errorf("jti %q is no unique name", jti)
			}
		})
	}
}

func TestTokenEndpointRefuses(t *testing.T) {
	t.Parallel()
	_, srv := startIssuer(t, demo.IssuerOptions{})
	for name, c := range map[string]struct {
		client, secret, form string
		status               int
		code                 string
	}{
		"no client":                     {"", "", "grant_type=client_credentials", 401, "invalid_client"},
		"a client not known":            {"x", "gateway-secret", "grant_type=client_credentials", 401, "invalid_client"},
		"a client not known, no secret": {"x", "", "grant_type=client_credentials", 401, "invalid_client"},
		"a wrong secret":                {"gateway", "gateway-secret2", "grant_type=client_credentials", 401, "invalid_client"},
		"a wrong secret by post":        {"", "", "grant_type=client_credentials&client_id=gateway&client_secret=x", 401, "invalid_client"},
		"no secret":                     {"gateway", "", "grant_type=client_credentials", 401, "invalid_client"},
		"two ways to authenticate":      {"gateway", "gateway-secret", "grant_type=client_credentials&client_id=gateway&client_secret=gateway-secret", 400, "invalid_request"},
		"two clients":                   {"gateway", "gateway-secret", "grant_type=client_credentials&client_id=x", 400, "invalid_request"},
		"a scope not the client's":      {"gateway", "gateway-secret", "grant_type=client_credentials&scope=crm:read+orders:read", 400, "invalid_scope"},
		"an audience not the client's":  {"gateway", "gateway-secret", "grant_type=client_credentials&audience=x", 400, "invalid_target"},
		"a resource not the client's":   {"gateway", "gateway-secret", "grant_type=client_credentials&resource=x", 400, "invalid_target"},
		"another grant":                 {"gateway", "gateway-secret", "grant_type=password", 400, "unsupported_grant_type"},
		"no grant":                      {"gateway", "gateway-secret", "scope=crm:read", 400, "invalid_request"},
		"a parameter twice":             {"gateway", "gateway-secret", "grant_type=client_credentials&scope=crm:read&scope=crm:read", 400, "invalid_request"},
		"a form that cannot be read":    {"gateway", "gateway-secret", "grant_type=%zz", 400, "invalid_request"},
		"a body too large":              {"gateway", "gateway-secret", "grant_type=client_credentials&scope=" + strings.Repeat("x", 20<<10), 413, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			res := post(t, srv.URL+"/token", formType, c.client, c.secret, c.form)
			a := decode[struct{ Error string }](t, res.body)
			if res.status != c.status || a.Error != c.code {
				t.Errorf("answered %d %s, want %d %s", res.status, a.Error, c.status, c.code)
			}
			if got := res.header.Get("WWW-Authenticate"); (res.status == 401) != strings.HasPrefix(got, "Basic ") {
				t.Errorf("answered %d with challenge %q", res.status, got)
			}
			if got := res.header.Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control %q, want no-store", got)
			}
		})
	}
	if res := post(t, srv.URL+"/token", "application/json", "gateway", "gateway-secret", `{"grant_type":"client_credentials"}`); res.status != 400 {
		t.Errorf("a body of JSON is answered %d, want 400", res.status)
	}
	if res := post(t, srv.URL+"/token?grant_type=client_credentials", formType, "gateway", "gateway-secret", ""); res.status != 400 {
		t.Errorf("parameters in the URL are answered %d, want 400", res.status)
	}
	if res := get(t, srv.URL+"/token", nil); res.status != http.StatusMethodNotAllowed {
		t.Errorf("GET is answered %d, want 405", res.status)
	}
}

func TestTokenCallsAreCountedWhateverTheAnswer(t *testing.T) {
	t.Parallel()
	issuer, srv := startIssuer(t, demo.IssuerOptions{})
	post(t, srv.URL+"/token", formType, "gateway", "gateway-secret", "grant_type=client_credentials")
	post(t, srv.URL+"/token", formType, "gateway", "x", "")
	get(t, srv.URL+"/jwks", nil)
	if got := issuer.TokenCalls(); got != 2 {
		t.Errorf("%d calls counted, want 2", got)
	}
}

func TestMetadataIsTrue(t *testing.T) {
	t.Parallel()
	_, srv := startIssuer(t, demo.IssuerOptions{})
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
		m := decode[struct {
			Issuer        string
			TokenEndpoint string   `json:"token_endpoint"`
			JWKSURI       string   `json:"jwks_uri"`
			Scopes        []string `json:"scopes_supported"`
		}](t, get(t, srv.URL+path, nil).body)
		if m.Issuer != srv.URL {
			t.Errorf("%s: issuer %q, want %q", path, m.Issuer, srv.URL)
		}
		if want := []string{"crm:read", "crm:write", "orders:read"}; !slices.Equal(m.Scopes, want) {
			t.Errorf("%s: scopes %v, want %v", path, m.Scopes, want)
		}
		if res := get(t, m.JWKSURI, nil); res.status != http.StatusOK {
			t.Errorf("%s: jwks_uri answers %d", path, res.status)
		}
		if res := post(t, m.TokenEndpoint, formType, "gateway", "gateway-secret", "grant_type=client_credentials"); res.status != http.StatusOK {
			t.Errorf("%s: token_endpoint answers %d", path, res.status)
		}
	}
}

func TestJWKSHasPublicHalvesOnly(t *testing.T) {
	t.Parallel()
	_, srv := startIssuer(t, demo.IssuerOptions{})
	set := decode[struct{ Keys []map[string]any }](t, get(t, srv.URL+"/jwks.json", nil).body)
	if len(set.Keys) != 1 {
		t.Fatalf("%d keys, want 1", len(set.Keys))
	}
	if _, private := set.Keys[0]["d"]; private || set.Keys[0]["kty"] != "EC" {
		t.Error("the one key must be the public half of an EC key")
	}
}

func TestEachIssuerHasAKeyOfItsOwnName(t *testing.T) {
	t.Parallel()
	_, a := startIssuer(t, demo.IssuerOptions{})
	_, b := startIssuer(t, demo.IssuerOptions{})
	if get(t, a.URL+"/jwks", nil).body == get(t, b.URL+"/jwks", nil).body {
		t.Error("two issuers share a key")
	}
}

func TestMint(t *testing.T) {
	t.Parallel()
	issuer, srv := startIssuer(t, demo.IssuerOptions{})
	mint := func(o demo.MintOptions) *token.Parsed {
		t.Helper()
		raw, err := issuer.Mint(o)
		if err != nil {
			t.Fatal(err)
		}
		return verify(t, srv.URL, raw)
	}
	alice := mint(demo.MintOptions{
		Subject: "alice", Audience: "orders-api", Scopes: []string{"orders:read", "orders:write"}, Claims: map[string]any{"tenant": "acme"},
	}).Claims
	if alice.Subject != "alice" || !slices.Equal(alice.Audience, []string{"orders-api"}) ||
		alice.All["scope"] != "orders:read orders:write" || alice.All["tenant"] != "acme" {
		t.Errorf("claims are %v", alice.All)
	}
	if got := alice.Expiry.Sub(alice.IssuedAt); got != 15*time.Minute {
		t.Errorf("lives %s, want 15m", got)
	}
	if late := mint(demo.MintOptions{Subject: "alice", Lifetime: -time.Minute}).Claims; !late.Expiry.Before(late.IssuedAt) {
		t.Error("a negative lifetime must make an expired token")
	}
	if other := mint(demo.MintOptions{Subject: "alice", Claims: map[string]any{"iss": "https://other.example/"}}).Claims; other.Issuer != "https://other.example/" {
		t.Errorf("iss is %q: claims given must win", other.Issuer)
	}
	if none := mint(demo.MintOptions{Subject: "alice"}).Claims; none.All["scope"] != nil {
		t.Errorf("scope is %v, though none was given", none.All["scope"])
	}
}

func TestSecretsAndTokensStayOutOfTheLog(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	_, srv := startIssuer(t, demo.IssuerOptions{Log: slog.New(slog.NewJSONHandler(&log, nil))})
	granted := post(t, srv.URL+"/token", formType, "gateway", "gateway-secret", "grant_type=client_credentials")
	post(t, srv.URL+"/token", formType, "gateway", "canary-secret", "grant_type=client_credentials")
	post(t, srv.URL+"/token", formType, "canary-secret", "canary-secret", "grant_type=client_credentials") // a secret typed as the id
	srv.Close()                                                                                            // ends the handlers
	for _, secret := range []string{"gateway-secret", "canary-secret", decode[struct {
		AccessToken string `json:"access_token"`
	}](t, granted.body).AccessToken} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log shows a secret: %s", log.String())
		}
	}
	if n := strings.Count(log.String(), "\n"); n != 3 {
		t.Errorf("%d lines logged, want one a call", n)
	}
}

func TestNewIssuerRefuses(t *testing.T) {
	t.Parallel()
	good := shopClients()[0]
	with := func(change func(*demo.Client)) []demo.Client {
		c := good
		change(&c)
		return []demo.Client{c}
	}
	for name, o := range map[string]demo.IssuerOptions{
		"no URL":                       {},
		"a URL without a host":         {URL: "http:///x"},
		"a URL with a path":            {URL: "http://127.0.0.1/issuer"},
		"a URL with a query":           {URL: "http://127.0.0.1/?x"},
		"a URL with a user":            {URL: "http://user:password@127.0.0.1"},
		"another scheme":               {URL: "ftp://127.0.0.1"},
		"a client without an id":       {URL: "http://127.0.0.1", Clients: with(func(c *demo.Client) { c.ID = "" })},
		"a client without a secret":    {URL: "http://127.0.0.1", Clients: with(func(c *demo.Client) { c.Secret = "" })},
		"a client without an audience": {URL: "http://127.0.0.1", Clients: with(func(c *demo.Client) { c.Audience = "" })},
		"a lifetime of half a second":  {URL: "http://127.0.0.1", Clients: with(func(c *demo.Client) { c.Lifetime = time.Second / 2 })},
		"a negative lifetime":          {URL: "http://127.0.0.1", Clients: with(func(c *demo.Client) { c.Lifetime = -time.Second })},
		"a client twice":               {URL: "http://127.0.0.1", Clients: []demo.Client{good, good}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := demo.NewIssuer(o); err == nil {
				t.Error("accepted")
			} else if strings.Contains(err.Error(), "password") {
				t.Errorf("the error shows a password: %v", err)
			}
		})
	}
	if _, err := demo.NewIssuer(demo.IssuerOptions{URL: "https://issuer.example/", Clients: []demo.Client{good}}); err != nil {
		t.Errorf("a URL with a final slash: %v", err)
	}
}
