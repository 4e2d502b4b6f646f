package credentials

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/peertest"
	"github.com/sallyport/sallyport/internal/secrets"
)

func TestRequestIsTheClientCredentialsGrant(t *testing.T) {
	t.Parallel()
	// The example of special characters that other clients got wrong: +, %, space,
	// colon, and letters beyond ASCII.
	const id, secret = "1PpG/Q 1:é", "z/tZ+9:%41&="
	for name, tt := range map[string]struct {
		auth, header string
		form         url.Values
	}{
		"basic": {
			"basic", "Basic " + base64.StdEncoding.EncodeToString([]byte("1PpG%2FQ+1%3A%C3%A9:z%2FtZ%2B9%3A%2541%26%3D")),
			url.Values{},
		},
		"basic, which is the default": {
			"", "Basic " + base64.StdEncoding.EncodeToString([]byte("1PpG%2FQ+1%3A%C3%A9:z%2FtZ%2B9%3A%2541%26%3D")),
			url.Values{},
		},
		"post": {"post", "", url.Values{"client_id": {id}, "client_secret": {secret}}},
	} {
		t.Run(name, func(t *testing.T) {
			var got *http.Request
			server, asked := startEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
				if err := r.ParseForm(); err != nil {
					t.Error(err)
				}
				got = r
				writeToken(w, "token", 3600)
			})
			c := newOAuth2(t, OAuth2Options{
				TokenURL: server.URL + "/token?tenant=1", ClientID: id, ClientSecret: fixed(secret), ClientAuth: tt.auth,
				Scopes: []string{"read", "write"}, Audience: "orders", Resource: "https://orders.example.com/",
				Parameters: map[string]string{"organisation": "a&b=c"},
			})
			start(t, c)
			mustHave(t, c, "token")
			want := url.Values{
				"grant_type": {"client_credentials"}, "scope": {"read write"}, "audience": {"orders"},
				"resource": {"https://orders.example.com/"}, "organisation": {"a&b=c"},
			}
			maps.Copy(want, tt.form)
			if got.Method != http.MethodPost || got.URL.RawQuery != "tenant=1" || got.PostForm.Encode() != want.Encode() {
				t.Errorf("%s ?%s %s, want %s", got.Method, got.URL.RawQuery, got.PostForm.Encode(), want.Encode())
			}
			if a := got.Header.Get("Authorization"); a != tt.header {
				t.Errorf("Authorization: %s, want %s", a, tt.header)
			}
			if a := got.Header.Get("Accept"); a != "application/json" {
				t.Errorf("Accept: %s", a)
			}
			if asked.Load() != 1 {
				t.Errorf("%d requests, want 1", asked.Load())
			}
		})
	}
}

// The case oauth-06, at the start.
func TestTwoHundredFirstRequestsMakeOneFetch(t *testing.T) {
	t.Parallel()
	var callers sync.WaitGroup
	callers.Add(200)
	server, asked := startEndpoint(t, func(w http.ResponseWriter, _ *http.Request) {
		callers.Wait() // the answer is not sent before all have begun to ask
		writeToken(w, "token", 3600)
	})
	c := newOAuth2(t, OAuth2Options{TokenURL: server.URL})
	start(t, c)
	var group sync.WaitGroup
	for range 200 {
		group.Go(func() {
			callers.Done()
			if got, err := c.Value(t.Context()); err != nil || got.Reveal() != "token" {
				t.Errorf("Value = %v", err)
			}
		})
	}
	group.Wait()
	if asked.Load() != 1 {
		t.Errorf("%d fetches, want 1", asked.Load())
	}
}

func TestTokenIsRenewedBehindTheScenesAndNeverSentPastItsExpiry(t *testing.T) {
	t.Parallel()
	const lifetime = 2 * time.Second
	var mu sync.Mutex
	issued := make(map[string]time.Time)
	var down atomic.Bool
	server, _ := startEndpoint(t, func(w http.ResponseWriter, _ *http.Request) {
		if down.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		token := fmt.Sprint("token-", len(issued))
		issued[token] = time.Now()
		writeToken(w, token, int(lifetime/time.Second))
	})
	c := newOAuth2(t, OAuth2Options{TokenURL: server.URL})
	start(t, c)
	check := func() error {
		got, err := c.Value(t.Context())
		mu.Lock()
		defer mu.Unlock()
		if age := time.Since(issued[got.Reveal()]); err == nil && age >= lifetime {
			t.Fatalf("%s was sent %s after its issue", got.Reveal(), age)
		}
		return err
	}
	await(t, "the third token", func() bool {
		if err := check(); err != nil {
			t.Fatalf("a request in between: %v", err)
		}
		mu.Lock()
		defer mu.Unlock()
		return len(issued) == 3
	})
	down.Store(true)
	await(t, "the end of the last token", func() bool { return errors.Is(check(), ErrUnavailable) })
	down.Store(false)
	await(t, "the endpoint's return", func() bool { return check() == nil })
}

func TestClientSecretIsReadAnewForEachFetch(t *testing.T) {
	t.Parallel()
	server, _ := startEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
		_, secret, _ := r.BasicAuth()
		writeToken(w, "token-for-"+secret, 1)
	})
	secret, change := watch(t, "one")
	c := newOAuth2(t, OAuth2Options{TokenURL: server.URL, ClientSecret: secret})
	start(t, c)
	mustHave(t, c, "token-for-one")
	change("two")
	await(t, "a token for the new secret", func() bool {
		got, err := c.Value(t.Context())
		return err == nil && got.Reveal() == "token-for-two"
	})
}

func TestRotatedClientSecretIsTriedWithoutWaitingForThePause(t *testing.T) {
	t.Parallel()
	server, asked := startEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
		if _, secret, _ := r.BasicAuth(); secret != "two" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		writeToken(w, "token", 3600)
	})
	secret, change := watch(t, "one")
	c := newOAuth2(t, OAuth2Options{TokenURL: server.URL, ClientSecret: secret})
	start(t, c)
	await(t, "the second failure", func() bool { return c.Status().ConsecutiveFailures == 2 }) // the next pause is 2 s at least
	change("two")
	rotated := time.Now()
	await(t, "a token", func() bool { return c.Status().Ready })
	if took := time.Since(rotated); took > time.Second {
		t.Errorf("the new secret was tried after %s", took)
	}
	if asked.Load() != 3 {
		t.Errorf("%d fetches, want 3", asked.Load())
	}
}

func TestMissingClientSecretIsNoFetch(t *testing.T) {
	t.Parallel()
	server, asked := startEndpoint(t, func(w http.ResponseWriter, _ *http.Request) { writeToken(w, "token", 3600) })
	secret, change := watch(t, "")
	c := newOAuth2(t, OAuth2Options{TokenURL: server.URL, ClientSecret: secret})
	start(t, c)
	await(t, "the failure", func() bool { return c.Status().ConsecutiveFailures > 0 })
	mustHaveNone(t, c, secrets.ErrNotFound)
	if asked.Load() != 0 {
		t.Error("the endpoint was asked without a secret")
	}
	change("there")
	await(t, "a token", func() bool { return c.Status().Ready })
	mustHave(t, c, "token")
}

func TestOAuth2ThatCannotWorkIsRefused(t *testing.T) {
	t.Parallel()
	good := OAuth2Options{
		Name: "crm", Placement: bearer(), TokenURL: "https://auth.example.com/token?x=1", ClientID: "id", ClientSecret: fixed("s"),
		Audience: "a", Parameters: map[string]string{"resource": "https://r.example.com/"},
	}
	if _, err := NewOAuth2(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*OAuth2Options){
		"no placement":                   func(o *OAuth2Options) { o.Placement = Placement{} },
		"no URL":                         func(o *OAuth2Options) { o.TokenURL = "" },
		"a path":                         func(o *OAuth2Options) { o.TokenURL = "/token" },
		"another scheme":                 func(o *OAuth2Options) { o.TokenURL = "file:///etc/canary" },
		"a URL with a password":          func(o *OAuth2Options) { o.TokenURL = "https://a:canary@b.example.com/" },
		"a URL with a fragment":          func(o *OAuth2Options) { o.TokenURL = "https://b.example.com/#canary" },
		"a URL that is none":             func(o *OAuth2Options) { o.TokenURL = "https://canary\x7f" },
		"no client id":                   func(o *OAuth2Options) { o.ClientID = "" },
		"no client secret":               func(o *OAuth2Options) { o.ClientSecret = nil },
		"another authentication":         func(o *OAuth2Options) { o.ClientAuth = "auto" },
		"a negative refresh_before":      func(o *OAuth2Options) { o.RefreshBefore = -1 },
		"a parameter without a name":     func(o *OAuth2Options) { o.Parameters = map[string]string{"": "x"} },
		"another grant":                  func(o *OAuth2Options) { o.Parameters = map[string]string{"grant_type": "password"} },
		"a secret among parameters":      func(o *OAuth2Options) { o.Parameters = map[string]string{"client_secret": "x"} },
		"the audience twice":             func(o *OAuth2Options) { o.Parameters = map[string]string{"audience": "x"} },
		"the scope among the parameters": func(o *OAuth2Options) { o.Parameters = map[string]string{"scope": "x"} },
	} {
		t.Run(name, func(t *testing.T) {
			o := good
			change(&o)
			c, err := NewOAuth2(o)
			if err == nil || c != nil || strings.Contains(err.Error(), "canary") {
				t.Errorf("NewOAuth2 = %v, %v; want an error that does not quote the URL", c, err)
			}
		})
	}
}

// The real peer: an OAuth 2.0 server that is not ours.
func TestTokensOfARealServer(t *testing.T) {
	t.Parallel()
	peer := peertest.Fosite(t, "-lifetime", "2s")
	for method, auth := range map[string]string{"client_secret_basic": "basic", "client_secret_post": "post"} {
		t.Run(auth, func(t *testing.T) {
			client := peer.Clients[method]
			options := OAuth2Options{
				TokenURL: peer.TokenURL, ClientID: client.ID, ClientSecret: fixed(client.Secret), ClientAuth: auth,
				Scopes: []string{"orders:read"},
			}
			c := newOAuth2(t, options)
			start(t, c)
			first, err := c.Value(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			await(t, "the renewal", func() bool {
				next, err := c.Value(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				return !next.Equal(first)
			})
			options.ClientSecret = fixed("wrong")
			if _, _, err := newOAuth2(t, options).fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "refused: invalid_client") {
				t.Errorf("with a wrong secret: %v", err)
			}
			options.ClientSecret, options.Scopes = fixed(client.Secret), []string{"unknown"}
			if _, _, err := newOAuth2(t, options).fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "refused: invalid_scope") {
				t.Errorf("with an unknown scope: %v", err)
			}
		})
	}
}
