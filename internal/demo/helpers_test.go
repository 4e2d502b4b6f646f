package demo_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/demo"
)

func shopClients() []demo.Client {
	return []demo.Client{
		{ID: "gateway", Secret: "gateway-secret", Audience: "crm", Scopes: []string{"crm:read", "crm:write"}, Lifetime: 30 * time.Second},
		{ID: "odd id", Secret: "a:b c%+é", Audience: "orders-api", Scopes: []string{"orders:read"}},
	}
}

// startIssuer starts an Issuer that knows the URL it is served at.
func startIssuer(t *testing.T, o demo.IssuerOptions) (*demo.Issuer, *httptest.Server) {
	t.Helper()
	srv := httptest.NewUnstartedServer(nil)
	o.URL = "http://" + srv.Listener.Addr().String()
	if o.Clients == nil {
		o.Clients = shopClients()
	}
	issuer, err := demo.NewIssuer(o)
	if err != nil {
		t.Fatal(err)
	}
	srv.Config.Handler = issuer
	srv.Start()
	t.Cleanup(srv.Close)
	return issuer, srv
}

type response struct {
	status int
	header http.Header
	body   string
}

func do(t *testing.T, req *http.Request) response {
	t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response{res.StatusCode, res.Header, string(body)}
}

func get(t *testing.T, u string, header http.Header) response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	return do(t, req)
}

// post sends a body, with HTTP Basic where there is an id.
func post(t *testing.T, u, contentType, id, secret, body string) response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, u, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	if id != "" {
		req.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret)) // RFC 6749, section 2.3.1
	}
	return do(t, req)
}

const formType = "application/x-www-form-urlencoded"

func decode[T any](t *testing.T, body string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return v
}
