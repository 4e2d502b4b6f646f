package demo_test

import (
	"bufio"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/demo"
)

const (
	staticKey     = "static-key-of-the-legacy-api-0xyz"
	basicPassword = "password-of-the-batch-user-9876"
)

// startLegacy starts a legacy API that takes tokens of the issuer at that URL.
func startLegacy(t *testing.T, o demo.LegacyOptions) *httptest.Server {
	t.Helper()
	o.StaticKey, o.BasicUser, o.BasicPassword, o.TokenAudience = staticKey, "batch", basicPassword, "crm"
	h, err := demo.NewLegacy(o)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv
}

func mintCRM(t *testing.T, issuer *demo.Issuer, o demo.MintOptions) string {
	t.Helper()
	if o.Audience == "" {
		o.Audience = "crm"
	}
	o.Subject = "gateway"
	raw, err := issuer.Mint(o)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func TestLegacyTakesItsOwnCredentialsOnly(t *testing.T) {
	t.Parallel()
	issuer, is := startIssuer(t, demo.IssuerOptions{})
	stranger, _ := startIssuer(t, demo.IssuerOptions{})
	legacy := startLegacy(t, demo.LegacyOptions{JWKSURL: is.URL + "/jwks", TokenIssuer: is.URL})
	good := mintCRM(t, issuer, demo.MintOptions{})
	for name, c := range map[string]struct {
		path   string
		header http.Header
		status int
		want   string // of the answer: the credential's name where it was taken, else the challenge
	}{
		"orders with its key":               {"/orders/1", http.Header{"X-Legacy-Key": {staticKey}}, 200, "X-Legacy-Key"},
		"orders by its bare path":           {"/orders", http.Header{"X-Legacy-Key": {staticKey}}, 200, "X-Legacy-Key"},
		"orders with nothing":               {"/orders/1", nil, 401, "ApiKey"},
		"orders with another key":           {"/orders/1", http.Header{"X-Legacy-Key": {staticKey + "0"}}, 401, "ApiKey"},
		"orders with its key twice":         {"/orders/1", http.Header{"X-Legacy-Key": {staticKey, staticKey}}, 401, "ApiKey"},
		"orders with an empty key":          {"/orders/1", http.Header{"X-Legacy-Key": {""}}, 401, "ApiKey"},
		"orders with its key as a bearer":   {"/orders/1", http.Header{"Authorization": {"Bearer " + staticKey}}, 401, "ApiKey"},
		"crm with a token":                  {"/crm/customers", http.Header{"Authorization": {"Bearer " + good}}, 200, "Bearer token"},
		"crm with the scheme in lower case": {"/crm/customers", http.Header{"Authorization": {"bearer " + good}}, 200, "Bearer token"},
		"crm with nothing":                  {"/crm/customers", nil, 401, "Bearer"},
		"crm with the key of orders":        {"/crm/customers", http.Header{"X-Legacy-Key": {staticKey}}, 401, "Bearer"},
		"crm with no token":                 {"/crm/customers", http.Header{"Authorization": {"Bearer"}}, 401, "Bearer"},
		"crm with junk":                     {"/crm/customers", http.Header{"Authorization": {"Bearer junk"}}, 401, "Bearer"},
		"crm with a changed signature":      {"/crm/customers", http.Header{"Authorization": {"Bearer " + good[:len(good)-8] + "AAAAAAAA"}}, 401, "Bearer"},
		"crm with an expired token":         {"/crm/customers", http.Header{"Authorization": {"Bearer " + mintCRM(t, issuer, demo.MintOptions{Lifetime: -time.Second})}}, 401, "Bearer"},
		"crm with a token not valid yet":    {"/crm/customers", http.Header{"Authorization": {"Bearer " + mintCRM(t, issuer, demo.MintOptions{Claims: map[string]any{"nbf": time.Now().Add(time.Minute).Unix()}})}}, 401, "Bearer"},
		"crm with another audience":         {"/crm/customers", http.Header{"Authorization": {"Bearer " + mintCRM(t, issuer, demo.MintOptions{Audience: "orders-api"})}}, 401, "Bearer"},
		"crm with another iss":              {"/crm/customers", http.Header{"Authorization": {"Bearer " + mintCRM(t, issuer, demo.MintOptions{Claims: map[string]any{"iss": "x"}})}}, 401, "Bearer"},
		"crm with another issuer's key":     {"/crm/customers", http.Header{"Authorization": {"Bearer " + mintCRM(t, stranger, demo.MintOptions{Claims: map[string]any{"iss": is.URL}})}}, 401, "Bearer"},
		"reports with user and password":    {"/reports/daily", http.Header{"Authorization": {basic("batch", basicPassword)}}, 200, "HTTP Basic"},
		"reports with another user":         {"/reports/daily", http.Header{"Authorization": {basic("x", basicPassword)}}, 401, "Basic"},
		"reports with another password":     {"/reports/daily", http.Header{"Authorization": {basic("batch", "x")}}, 401, "Basic"},
		"reports with a token":              {"/reports/daily", http.Header{"Authorization": {"Bearer " + good}}, 401, "Basic"},
		"reports with two Authorizations":   {"/reports/daily", http.Header{"Authorization": {basic("batch", basicPassword), basic("batch", basicPassword)}}, 401, "Basic"},
		"health with nothing":               {"/healthz", nil, 200, ""},
		"a path it has not":                 {"/ordersx", http.Header{"X-Legacy-Key": {staticKey}}, 404, ""},
	} {
		t.Run(name, func(t *testing.T) {
			res := get(t, legacy.URL+c.path, c.header)
			if res.status != c.status {
				t.Fatalf("answered %d %s, want %d", res.status, res.body, c.status)
			}
			a := decode[answer](t, res.body)
			challenge, _, _ := strings.Cut(res.header.Get("WWW-Authenticate"), " ")
			if got := a.Credential.Name + challenge; got != c.want {
				t.Errorf("answered %q, want %q", got, c.want)
			}
			if c.status >= 400 && a.Error == "" {
				t.Errorf("no error is named: %s", res.body)
			}
		})
	}
}

type answer struct {
	Error, Path, Method  string
	Credential           struct{ Name, Last4 string }
	CallerCredentialSeen bool `json:"caller_credential_seen"`
	Headers              map[string]string
	Orders               []struct{ ID int }
}

func TestAnswerTellsWhatArrived(t *testing.T) {
	t.Parallel()
	legacy := startLegacy(t, demo.LegacyOptions{})
	a := decode[answer](t, get(t, legacy.URL+"/orders/a%2Fb//c?q=1", http.Header{
		"X-Legacy-Key": {staticKey}, "X-User": {"alice"}, "X-Forwarded-For": {"10.0.0.1", "10.0.0.2"}, "X-Request-Id": {"r1"}, "X-Other": {"x"},
	}).body)
	if a.Path != "/orders/a%2Fb//c" || a.Method != "GET" || len(a.Orders) == 0 || a.Credential.Last4 != "0xyz" || a.CallerCredentialSeen {
		t.Errorf("answered %+v", a)
	}
	for name, want := range map[string]string{"X-User": "alice", "X-Forwarded-For": "10.0.0.1, 10.0.0.2", "X-Request-Id": "r1", "X-Other": ""} {
		if a.Headers[name] != want {
			t.Errorf("%s is %q, want %q", name, a.Headers[name], want)
		}
	}
}

func TestAnswerNeverShowsAWholeCredential(t *testing.T) {
	t.Parallel()
	issuer, is := startIssuer(t, demo.IssuerOptions{})
	legacy := startLegacy(t, demo.LegacyOptions{JWKSURL: is.URL + "/jwks", TokenIssuer: is.URL})
	crm := mintCRM(t, issuer, demo.MintOptions{})
	for path, c := range map[string]struct{ secret, header, value string }{
		"/orders":  {staticKey, "X-Legacy-Key", staticKey},
		"/crm":     {crm, "Authorization", "Bearer " + crm},
		"/reports": {basicPassword, "Authorization", basic("batch", basicPassword)},
	} {
		res := get(t, legacy.URL+path+"/"+c.secret+"?key="+url.QueryEscape(c.secret), http.Header{c.header: {c.value}, "X-User": {c.secret}, "X-Request-Id": {c.secret}})
		if res.status != http.StatusOK || strings.Contains(res.body, c.secret) || strings.Contains(res.body, c.value) {
			t.Errorf("%s: answered %d %s, want 200 without the credential", path, res.status, res.body)
		}
	}
	h, err := demo.NewLegacy(demo.LegacyOptions{StaticKey: "12345678"})
	if err != nil {
		t.Fatal(err)
	}
	short := httptest.NewServer(h)
	defer short.Close()
	if a := decode[answer](t, get(t, short.URL+"/orders", http.Header{"X-Legacy-Key": {"12345678"}}).body); a.Credential.Last4 != "" {
		t.Errorf("half of a short key is shown: %q", a.Credential.Last4)
	}
}

func TestCallerCredentialIsSeen(t *testing.T) {
	t.Parallel()
	legacy := startLegacy(t, demo.LegacyOptions{})
	key := http.Header{"X-Legacy-Key": {staticKey}}
	reports := http.Header{"Authorization": {basic("batch", basicPassword)}}
	for name, c := range map[string]struct {
		path   string
		own    http.Header
		header string
		value  string
		want   bool
	}{
		"the key alone":                    {"/orders", key, "", "", false},
		"Basic alone":                      {"/reports", reports, "", "", false},
		"ordinary headers":                 {"/orders", key, "X-User", "alice", false},
		"Authorization where none belongs": {"/orders", key, "Authorization", "Bearer x", true},
		"an API key":                       {"/orders", key, "X-Api-Key", "sk_live_x", true},
		"an API key, spelled X_API_KEY":    {"/orders", key, "X_API_KEY", "sk_live_x", true},
		"the key's twin, X_Legacy_Key":     {"/orders", key, "X_Legacy_Key", "x", true},
		"a cookie":                         {"/reports", reports, "Cookie", "session=x", true},
		"a JWT in any header":              {"/reports", reports, "X-Anything", "eyJhbGciOiJIUzI1NiJ9.e30.x", true},
		"a bearer token in any header":     {"/reports", reports, "X-Original-Auth", "Bearer x", true},
		"a token in the query":             {"/orders?access_token=x", key, "", "", true},
		"a JWT in the query":               {"/orders?q=eyJhbGciOiJIUzI1NiJ9.e30.x", key, "", "", true},
		"an ordinary query":                {"/orders?page=2", key, "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			header := c.own.Clone()
			if c.header != "" {
				header[c.header] = []string{c.value}
			}
			res := get(t, legacy.URL+c.path, header)
			if got := decode[answer](t, res.body).CallerCredentialSeen; res.status != http.StatusOK || got != c.want {
				t.Errorf("answered %d, seen %v, want %v", res.status, got, c.want)
			}
		})
	}
}

func TestStreamSendsEachEventWhenItIsDue(t *testing.T) {
	t.Parallel()
	legacy := startLegacy(t, demo.LegacyOptions{})
	if res := get(t, legacy.URL+"/orders/stream", nil); res.status != http.StatusUnauthorized {
		t.Errorf("without the key: %d, want 401", res.status)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, legacy.URL+"/orders/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Legacy-Key", staticKey)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got := res.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("Content-Type %q", got)
	}
	var arrived []time.Time
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "data: ") {
			arrived = append(arrived, time.Now())
		}
	}
	if len(arrived) != 5 {
		t.Fatalf("%d events, want 5", len(arrived))
	}
	if spread := arrived[4].Sub(arrived[0]); spread < 250*time.Millisecond {
		t.Errorf("all events within %s: they were held back", spread)
	}
}

func TestNewLegacyRefuses(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]demo.LegacyOptions{
		"no credential at all":         {},
		"a user without a password":    {BasicUser: "batch"},
		"a password without a user":    {BasicPassword: "x"},
		"a JWKS without an issuer":     {JWKSURL: "http://127.0.0.1/jwks", TokenAudience: "crm"},
		"a JWKS without an audience":   {JWKSURL: "http://127.0.0.1/jwks", TokenIssuer: "http://127.0.0.1"},
		"a header that is not a token": {StaticKey: "x", KeyHeader: "X Legacy"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := demo.NewLegacy(o); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestAnAreaWithoutACredentialIsNotThere(t *testing.T) {
	t.Parallel()
	h, err := demo.NewLegacy(demo.LegacyOptions{StaticKey: staticKey, KeyHeader: "x-own-key"})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	defer srv.Close()
	if got := get(t, srv.URL+"/orders", http.Header{"X-Own-Key": {staticKey}}).status; got != http.StatusOK {
		t.Errorf("/orders with a header of another name: %d, want 200", got)
	}
	for _, path := range []string{"/crm", "/reports"} {
		if got := get(t, srv.URL+path, nil).status; got != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", path, got)
		}
	}
}

func TestLegacyRevokesTheTokenItIsSentNext(t *testing.T) {
	t.Parallel()
	issuer, is := startIssuer(t, demo.IssuerOptions{})
	legacy := startLegacy(t, demo.LegacyOptions{JWKSURL: is.URL + "/jwks", TokenIssuer: is.URL})
	first, second := mintCRM(t, issuer, demo.MintOptions{}), mintCRM(t, issuer, demo.MintOptions{})
	ask := func(what, token string, want int) {
		t.Helper()
		if got := get(t, legacy.URL+"/crm/1", http.Header{"Authorization": {"Bearer " + token}}); got.status != want {
			t.Errorf("%s: %d, want %d", what, got.status, want)
		}
	}
	ask("before", first, 200)
	if got := get(t, legacy.URL+"/revoke", nil); got.status != 404 {
		t.Errorf("GET /revoke: %d", got.status)
	}
	if got := post(t, legacy.URL+"/revoke", "text/plain", "", "", ""); got.status != 204 {
		t.Errorf("POST /revoke: %d", got.status)
	}
	ask("a token that is none", "junk", 401)
	ask("the token sent next", first, 401)
	ask("another", second, 200)
	ask("the revoked one again", first, 401)
}
