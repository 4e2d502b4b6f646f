package auth

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// published is what an issuer serves, by path, and how often it was asked.
type published struct {
	URL  string
	mu   sync.Mutex
	docs map[string]string
	hits map[string]int
}

func publish(t testing.TB, docs map[string]string) *published {
	t.Helper()
	p := &published{docs: docs, hits: make(map[string]int)}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	p.URL = server.URL
	return p
}

func (p *published) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hits[r.URL.Path]++
	doc, ok := p.docs[r.URL.Path]
	switch {
	case !ok:
		http.NotFound(w, r)
	case strings.HasPrefix(doc, "redirect "):
		http.Redirect(w, r, strings.TrimPrefix(doc, "redirect "), http.StatusFound)
	case strings.HasPrefix(doc, "<"):
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, doc)
	default:
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, strings.ReplaceAll(doc, "{URL}", p.URL))
	}
}

func (p *published) asked(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hits[path]
}

// Discovery by both kinds of documents, and what of them is not believed.
func TestDiscovery(t *testing.T) {
	t.Parallel()
	s := signer(t, privatePEM(t, newECKey(t)), "ES256", "1")
	set := string(setOf(t, jwk(t, s, nil)))
	elsewhere := publish(t, map[string]string{"/jwks": set, "/doc": `{"issuer":"x","jwks_uri":"x"}`})
	const oidc, oauth = "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"
	for name, c := range map[string]struct {
		issuer string // behind the server's URL
		docs   map[string]string
		want   string // "" or the end of the error
	}{
		"OpenID Connect":              {"", map[string]string{oidc: `{"issuer":"{URL}","jwks_uri":"{URL}/jwks"}`}, ""},
		"OpenID Connect, with slash":  {"/", map[string]string{oidc: `{"issuer":"{URL}/","jwks_uri":"{URL}/jwks"}`}, ""},
		"OpenID Connect, with path":   {"/realms/a", map[string]string{"/realms/a" + oidc: `{"issuer":"{URL}/realms/a","jwks_uri":"{URL}/jwks"}`}, ""},
		"RFC 8414":                    {"", map[string]string{oauth: `{"issuer":"{URL}","jwks_uri":"{URL}/jwks"}`}, ""},
		"RFC 8414, with path":         {"/realms/a/", map[string]string{oauth + "/realms/a": `{"issuer":"{URL}/realms/a/","jwks_uri":"{URL}/jwks"}`}, ""},
		"RFC 8414 behind HTML":        {"", map[string]string{oidc: "<html>", oauth: `{"issuer":"{URL}","jwks_uri":"{URL}/jwks"}`}, ""},
		"redirected":                  {"", map[string]string{oidc: "redirect /doc", "/doc": `{"issuer":"{URL}","jwks_uri":"{URL}/jwks"}`}, ""},
		"none":                        {"", nil, "no such document"},
		"redirected elsewhere":        {"", map[string]string{oidc: "redirect " + elsewhere.URL + "/doc"}, "redirects to another host"},
		"another issuer":              {"", map[string]string{oidc: `{"issuer":"https://evil.example","jwks_uri":"{URL}/jwks"}`}, "of another issuer"},
		"the issuer with a slash":     {"", map[string]string{oidc: `{"issuer":"{URL}/","jwks_uri":"{URL}/jwks"}`}, "of another issuer"},
		"the issuer without":          {"/", map[string]string{oidc: `{"issuer":"{URL}","jwks_uri":"{URL}/jwks"}`}, "of another issuer"},
		"the issuer in another case":  {"/a", map[string]string{"/a" + oidc: `{"issuer":"{URL}/A","jwks_uri":"{URL}/jwks"}`}, "of another issuer"},
		"another issuer, not a text":  {"", map[string]string{oidc: `{"issuer":["{URL}"],"jwks_uri":"{URL}/jwks"}`}, "of another issuer"},
		"no issuer":                   {"", map[string]string{oidc: `{"jwks_uri":"{URL}/jwks"}`}, "of another issuer"},
		"two issuers":                 {"", map[string]string{oidc: `{"issuer":"https://evil.example","issuer":"{URL}","jwks_uri":"{URL}/jwks"}`}, "twice in one object"},
		"no jwks_uri":                 {"", map[string]string{oidc: `{"issuer":"{URL}"}`}, "no jwks_uri"},
		"jwks_uri elsewhere":          {"", map[string]string{oidc: `{"issuer":"{URL}","jwks_uri":"` + elsewhere.URL + `/jwks"}`}, "another host"},
		"jwks_uri link-local":         {"", map[string]string{oidc: `{"issuer":"{URL}","jwks_uri":"http://169.254.169.254/latest"}`}, "link-local address"},
		"jwks_uri a file":             {"", map[string]string{oidc: `{"issuer":"{URL}","jwks_uri":"file:///etc/passwd"}`}, "not https"},
		"jwks_uri relative":           {"", map[string]string{oidc: `{"issuer":"{URL}","jwks_uri":"/jwks"}`}, "not https"},
		"jwks_uri plain, other host":  {"", map[string]string{oidc: `{"issuer":"{URL}","jwks_uri":"http://idp.example.com/jwks"}`}, "another host"},
		"jwks_uri redirected away":    {"", map[string]string{oidc: `{"issuer":"{URL}","jwks_uri":"{URL}/away"}`, "/away": "redirect " + elsewhere.URL + "/jwks"}, "redirects to another host"},
		"jwks_uri with a password":    {"", map[string]string{oidc: `{"issuer":"{URL}","jwks_uri":"http://user:canary@{HOST}/jwks"}`}, "with a user name"},
		"not JSON":                    {"", map[string]string{oidc: `canary`}, "not JSON at byte 0"},
		"an array":                    {"", map[string]string{oidc: `[]`}, "not a JSON object"},
		"over 512 KiB":                {"", map[string]string{oidc: `{"a":"` + strings.Repeat("x", maxSetSize) + `"}`}, "more than 524288 bytes"},
		"the document is a key set":   {"", map[string]string{oidc: set}, "of another issuer"},
		"the key set is the document": {"", map[string]string{oidc: `{"issuer":"{URL}","jwks_uri":"{URL}` + oidc + `"}`}, "answers no JWKS: key set has no array \"keys\""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			docs := map[string]string{"/jwks": set}
			for path, doc := range c.docs {
				docs[path] = doc
			}
			p := publish(t, docs)
			for path, doc := range docs {
				p.docs[path] = strings.ReplaceAll(doc, "{HOST}", strings.TrimPrefix(p.URL, "http://"))
			}
			before := elsewhere.asked("/jwks") + elsewhere.asked("/doc")
			k, err := NewKeySet(KeySetOptions{URL: p.URL + c.issuer, Discover: true})
			if err != nil {
				t.Fatal(err)
			}
			a := accepting(newIssuer(t, IssuerOptions{Issuer: p.URL + c.issuer, Keys: []KeySource{k}}))
			raw := sign(t, s, claims(map[string]any{"iss": p.URL + c.issuer}))
			_, err = a.Authenticate(t.Context(), bearerOf(raw))
			wantReason(t, err, "keys_unavailable") // before the first fetch
			err = k.Fetch(t.Context())
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasSuffix(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("%v quotes the answer", err)
			}
			want := ""
			if c.want != "" {
				want = "keys_unavailable"
			}
			_, err = a.Authenticate(t.Context(), bearerOf(raw))
			wantReason(t, err, want)
			if elsewhere.asked("/jwks")+elsewhere.asked("/doc") != before {
				t.Error("the other host was asked")
			}
		})
	}
}

// A jwks_uri on another host is believed where the configuration names the host.
func TestALearnedURLMayBeOnAHostTheConfigNames(t *testing.T) {
	t.Parallel()
	set := string(setOf(t, jwk(t, signer(t, privatePEM(t, newECKey(t)), "ES256", "1"), nil)))
	other := publish(t, map[string]string{"/jwks": set})
	p := publish(t, map[string]string{"/.well-known/openid-configuration": `{"issuer":"{URL}","jwks_uri":"` + other.URL + `/jwks"}`})
	k, err := NewKeySet(KeySetOptions{URL: p.URL, Discover: true, Hosts: func() []string { return []string{strings.TrimPrefix(other.URL, "http://")} }})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Fetch(t.Context()); err != nil || !k.Status().Ready {
		t.Errorf("%v, %+v", err, k.Status())
	}
}

// What may be learned from https, http on this machine, and http elsewhere.
func TestReachOfLearnedURLs(t *testing.T) {
	t.Parallel()
	hosts := func() []string { return []string{"keys.example.net:443", "plain.example.net:80", "127.0.0.1:8081"} }
	for _, c := range []struct {
		written, to string
		insecure    bool
		want        string
	}{
		{"https://idp.example.com/", "https://keys.example.net/jwks", false, ""},
		{"https://idp.example.com/", "https://KEYS.example.net:443/jwks", false, ""},
		{"https://idp.example.com/", "https://keys.example.net:8443/jwks", false, "another host"},
		{"https://idp.example.com/", "http://plain.example.net/", true, "not https"},
		{"https://idp.example.com/", "http://127.0.0.1:8081/", false, "not https"},
		{"http://127.0.0.1:8080/", "http://127.0.0.1:8081/", false, ""},
		{"http://127.0.0.1:8080/", "http://plain.example.net/", false, "not https"},
		{"http://127.0.0.1:8080/", "http://plain.example.net/", true, ""},
		{"http://idp.example.com/", "http://idp.example.com/jwks", true, ""},
		{"http://idp.example.com/", "http://idp.example.com/jwks", false, "not https"},
		{"http://idp.example.com/", "https://idp.example.com/jwks", true, ""},
	} {
		written, err := url.Parse(c.written)
		if err != nil {
			t.Fatal(err)
		}
		to, err := url.Parse(c.to)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := (reach{written, hosts, c.insecure}).judge(to); err != nil {
			got = err.Error()
		}
		if got != c.want && !(c.want != "" && strings.HasSuffix(got, c.want)) {
			t.Errorf("%s learned from %s: %q, want %q", c.to, c.written, got, c.want)
		}
	}
}

// The metadata is read again with each refresh, so that an issuer can move its
// keys; while it cannot be had, what it last said counts until max_stale. A kid
// that is not known asks for keys only.
func TestMetadataIsReadWithEachRefresh(t *testing.T) {
	t.Parallel()
	one, two := signer(t, privatePEM(t, newECKey(t)), "ES256", "1"), signer(t, privatePEM(t, newECKey(t)), "ES256", "2")
	first, second := setOf(t, jwk(t, one, nil)), setOf(t, jwk(t, two, nil))
	synctest.Test(t, func(t *testing.T) {
		var documents, moved, down atomic.Int32
		answer := func(w http.ResponseWriter, r *http.Request) {
			switch {
			case strings.Contains(r.URL.Path, ".well-known"):
				documents.Add(1)
				if down.Load() == 1 {
					w.WriteHeader(http.StatusBadGateway)
					return
				}
				fmt.Fprintf(w, `{"issuer":"http://idp","jwks_uri":"http://idp/jwks%d"}`, moved.Load())
			case r.URL.Path == "/jwks0" && moved.Load() == 0:
				_, _ = w.Write(first)
			case r.URL.Path == "/jwks1":
				_, _ = w.Write(second)
			default:
				http.NotFound(w, r)
			}
		}
		_, client := startIDP(t, answer)
		k, err := NewKeySet(KeySetOptions{Issuer: "corp", URL: "http://idp", Discover: true, Insecure: true, Client: client, MaxStale: 2 * time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		defer running(t, k)()
		synctest.Wait()
		if documents.Load() != 1 || k.Status().Keys != 1 {
			t.Errorf("at start: %d documents, %+v", documents.Load(), k.Status())
		}
		time.Sleep(time.Minute)
		k.Missed()
		time.Sleep(time.Second)
		if documents.Load() != 1 {
			t.Errorf("an unknown kid fetched the metadata")
		}
		has := func(kid string) bool { found, _ := k.Lookup(kid, "ES256"); return len(found) == 1 }
		down.Store(1) // the metadata; the keys are still there
		time.Sleep(time.Hour)
		if !has("1") || k.Status().Err != "" || k.Status().Age > 20*time.Minute {
			t.Errorf("without metadata: %+v", k.Status())
		}
		down.Store(0)
		moved.Store(1)
		time.Sleep(20 * time.Minute)
		if !has("2") || has("1") {
			t.Errorf("after the move: %+v", k.Status())
		}
	})
}

// FuzzReadMetadata: no panic, and whatever a document says, a jwks_uri that is
// believed is one that may be asked.
func FuzzReadMetadata(f *testing.F) {
	f.Add([]byte(`{"issuer":"https://idp.example.com/","jwks_uri":"https://idp.example.com/jwks"}`))
	f.Add([]byte(`{"issuer":"https://idp.example.com/","jwks_uri":"https://idp.example.com@169.254.169.254/jwks#x"}`))
	f.Add([]byte(`{"issuer":"https://idp.example.com","ISSUER":"https://idp.example.com/"}`))
	k, err := NewKeySet(KeySetOptions{URL: "https://idp.example.com/", Discover: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		found, err := k.readMetadata(doc)
		if err == nil && (found.Scheme != "https" || HostPort(found) != "idp.example.com:443" || found.User != nil || found.Fragment != "") {
			t.Errorf("%q leads to %v", doc, found)
		}
	})
}
