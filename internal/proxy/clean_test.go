package proxy

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/credentials"
)

// Spoofing of identity headers (THREATS, first row): every managed header in
// every spelling a careless upstream would read as the same.
func TestManagedHeadersAreDroppedInEverySpelling(t *testing.T) {
	t.Parallel()
	c := newCleaner([]string{"X-User", "X-Legacy-Key"}, false, false)
	for _, name := range []string{
		"Authorization", "X-User", "X-Legacy-Key", "X-Request-Id", "Traceparent", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host",
		"X-Forwarded-Prefix", "Forwarded", "X-Real-Ip", "X-Original-Url", "X-Rewrite-Url", "True-Client-Ip", "Cf-Connecting-Ip",
		"X-Http-Method-Override", "X-Http-Method", "X-Method-Override", "Connection", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings",
	} {
		for _, spelling := range []string{
			name, strings.ToLower(name), strings.ToUpper(name), strings.ReplaceAll(name, "-", "_"), strings.ReplaceAll(name, "-", "."),
			strings.ReplaceAll(strings.ToLower(name), "-", "_"), strings.ReplaceAll(name, "-", "~"),
		} {
			if !c.drops(spelling, false) {
				t.Errorf("%s passes as %s", name, spelling)
			}
		}
	}
	for _, name := range []string{"Accept", "Cookie", "X-Users", "X-Custom", "Content-Type", "User-Agent", "X-Forward"} {
		if c.drops(name, false) {
			t.Errorf("%s does not pass", name)
		}
	}
}

func TestTrustedProxiesForwardingHeadersPassUnderTheirOwnNamesOnly(t *testing.T) {
	t.Parallel()
	c := newCleaner([]string{"X-Real-IP"}, false, false)
	for name, dropped := range map[string]bool{
		"X-Forwarded-For": false, "x-forwarded-port": false, "Forwarded": false, "True-Client-Ip": false,
		"X_Forwarded_For": true, "X.Forwarded.For": true, "True_Client_Ip": true,
		"X-Real-Ip": true, "X_Real_Ip": true, "X-Request-Id": true, "Authorization": true,
	} {
		if c.drops(name, true) != dropped {
			t.Errorf("%s: dropped is %v, want %v", name, !dropped, dropped)
		}
	}
}

func TestRoutesMayKeepAuthorizationAndMethodOverride(t *testing.T) {
	t.Parallel()
	c := newCleaner(nil, true, true)
	for _, name := range []string{"Authorization", "X-HTTP-Method-Override"} {
		if c.drops(name, false) {
			t.Errorf("%s does not pass", name)
		}
	}
	if c := newCleaner([]string{"Authorization"}, true, false); !c.drops("Authorization", false) {
		t.Error("an injected Authorization can be kept from the caller")
	}
}

// FuzzCleaner: no name that folds to a managed one passes, whoever sends it.
func FuzzCleaner(f *testing.F) {
	for _, seed := range []string{"X-User", "x_user", "X.USER", "Authorization", "x_forwarded_for", "X-Users", "\xffX-User", ""} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	c := newCleaner([]string{"X-User"}, false, false)
	f.Fuzz(func(t *testing.T, name string, trusted bool) {
		twin := strings.Map(func(r rune) rune {
			switch {
			case 'a' <= r && r <= 'z' || '0' <= r && r <= '9':
				return r
			case 'A' <= r && r <= 'Z':
				return r + 'a' - 'A'
			}
			return '-'
		}, name)
		for _, managed := range []string{"x-user", "authorization", "x-request-id", "connection"} {
			if twin == managed && !c.drops(name, trusted) {
				t.Fatalf("%q passes as %s", name, managed)
			}
		}
		if fold(name) != fold(fold(name)) {
			t.Fatalf("%q folds to %q, and that to %q", name, fold(name), fold(fold(name)))
		}
	})
}

func TestClientAddress(t *testing.T) {
	t.Parallel()
	trusted := trust{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
	for name, c := range map[string]struct {
		peer string
		sent http.Header
		want string
	}{
		"nothing sent":                     {"192.0.2.1", nil, "192.0.2.1"},
		"untrusted peer is not believed":   {"192.0.2.1", http.Header{"X-Forwarded-For": {"1.2.3.4"}}, "192.0.2.1"},
		"trusted peer is":                  {"10.0.0.1", http.Header{"X-Forwarded-For": {"1.2.3.4"}}, "1.2.3.4"},
		"right-most untrusted hop":         {"10.0.0.1", http.Header{"X-Forwarded-For": {"6.6.6.6, 1.2.3.4, 10.0.0.2"}}, "1.2.3.4"},
		"lines are one list":               {"10.0.0.1", http.Header{"X-Forwarded-For": {"6.6.6.6", "1.2.3.4", "10.0.0.2"}}, "1.2.3.4"},
		"all hops trusted: the first":      {"10.0.0.1", http.Header{"X-Forwarded-For": {"10.0.0.3, 10.0.0.2"}}, "10.0.0.3"},
		"garbage ends the search":          {"10.0.0.1", http.Header{"X-Forwarded-For": {"6.6.6.6, unknown, 10.0.0.2"}}, "10.0.0.2"},
		"with a port":                      {"10.0.0.1", http.Header{"X-Forwarded-For": {"1.2.3.4:567"}}, "1.2.3.4"},
		"IPv6 in brackets":                 {"2001:db8::1", http.Header{"X-Forwarded-For": {"[2a00::1]:567"}}, "2a00::1"},
		"IPv4 in IPv6 is IPv4":             {"10.0.0.1", http.Header{"X-Forwarded-For": {"::ffff:10.0.0.9"}}, "10.0.0.9"},
		"Forwarded":                        {"10.0.0.1", http.Header{"Forwarded": {`for=6.6.6.6, for="[2a00::1]:9";proto=https`}}, "2a00::1"},
		"X-Forwarded-For before Forwarded": {"10.0.0.1", http.Header{"Forwarded": {"for=6.6.6.6"}, "X-Forwarded-For": {"1.2.3.4"}}, "1.2.3.4"},
		"endless list is cut":              {"10.0.0.1", http.Header{"X-Forwarded-For": {"1.2.3.4" + strings.Repeat(", 10.0.0.2", 1000)}}, "10.0.0.2"},
	} {
		got := trusted.client(netip.MustParseAddr(c.peer), httpFields(c.sent))
		if got != netip.MustParseAddr(c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// FuzzForwarded: whatever a trusted proxy sends, the caller's address is an
// address.
func FuzzForwarded(f *testing.F) {
	for _, seed := range []string{"1.2.3.4", "for=1.2.3.4", `for="[::1]:80";by=x`, ",,,", "unknown", `for="`} {
		f.Add(seed, seed)
	}
	trusted := trust{netip.MustParsePrefix("0.0.0.0/0")}
	peer := netip.MustParseAddr("10.0.0.1")
	f.Fuzz(func(t *testing.T, xff, forwarded string) {
		for _, h := range []http.Header{{"X-Forwarded-For": {xff}}, {"Forwarded": {forwarded}}} {
			if got := trusted.client(peer, httpFields(h)); !got.IsValid() || got.Zone() != "" {
				t.Fatalf("%v gave %v", h, got)
			}
		}
	})
}

func TestParameterReplacesEveryTwin(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"":                       "key=s%26",
		"a=1&b":                  "a=1&b&key=s%26",
		"key=mine&a=1":           "a=1&key=s%26",
		"a=1&k%65y=mine":         "a=1&key=s%26",
		"a=1;key=mine&b=2":       "b=2&key=s%26",
		"key[]=mine&key[0]=mine": "key=s%26",
		"%zz=1&keys=2":           "keys=2&key=s%26",
		"key&KEY=1":              "KEY=1&key=s%26",
	} {
		if got := withParameter(query, "key", "s&"); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}

func TestCookieReplacesItsTwin(t *testing.T) {
	t.Parallel()
	got := withoutCookie([]string{"a=1; key=mine;b=2", "key=mine", " key =mine"}, "key")
	if strings.Join(got, "; ") != "a=1; b=2" {
		t.Errorf("kept %v", got)
	}
}

// An injected query credential must not come back in a URL, however it is
// written there, and other URLs must stay as they are.
func TestInjectedValueIsTakenOutOfURLs(t *testing.T) {
	t.Parallel()
	const value = "SEC'RET/+1234"
	raw, once, twice := value, "SEC%27RET%2F%2B1234", "SEC%2527RET%252F%252B1234"
	for text, want := range map[string]string{
		"/x?a=1&api_key=" + raw:                                    "/x?a=1",
		"/x?api_key=" + once + "&a=1#top":                          "/x?a=1#top",
		"/a;jsessionid=1?api_key=" + once:                          "/a;jsessionid=1",
		"0;url=/x?api_key=" + once:                                 "0;url=/x",
		"</a;v=1?api_key=" + once + ">; rel=next":                  "</a;v=1>; rel=next",
		"/login?next=/orders?api_key=" + once:                      "/login?next=/orders",
		"/login?next=%2Forders%3Fapi_key%3D" + once:                "/login?next=%2Forders%3Fapi_key%3D",
		"/login?next=%2Forders%3Fa%3D1%26api_key%3D" + twice:       "/login?next=%2Forders%3Fa%3D1%26api_key%3D",
		"/x#api_key=" + raw:                                        "/x#api_key=",
		"https://else.test/path;v=1?a=1&b=%20#c":                   "https://else.test/path;v=1?a=1&b=%20#c",
		`5; url="/?a=1"`:                                           `5; url="/?a=1"`,
		"<https://a.test/?page=2>; rel=\"next\", </b?c&d>; rel=up": "<https://a.test/?page=2>; rel=\"next\", </b?c&d>; rel=up",
	} {
		h := http.Header{"Location": {text}}
		keepFromCaller(h, credentials.Placement{Query: "api_key"}, value)
		if got := h.Get("Location"); got != want {
			t.Errorf("%s\nbecame %s\nwant   %s", text, got, want)
		}
	}
	h := http.Header{"Location": {"/x?next=" + strings.ReplaceAll(once, "%2F", "%2f")}, "Server": {"x"}}
	keepFromCaller(h, credentials.Placement{Query: "api_key"}, value)
	if len(h["Location"]) != 0 || len(h["Server"]) != 1 {
		t.Errorf("a spelling of its own was sent on: %v", h)
	}
}
