package proxy

import (
	"errors"
	"net/url"
	"strings"
	"testing"
)

func TestTargetHasOneNormalForm(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]target{
		"/":                             {path: "/"},
		"/orders/1":                     {path: "/orders/1"},
		"/orders/":                      {path: "/orders/"},
		"//orders///1":                  {path: "/orders/1"},
		"/%6frders/%31":                 {path: "/orders/1"},
		"/%7e%2d%5F%2e1":                {path: "/~-_.1"},
		"/a%3ab":                        {path: "/a%3Ab"},
		"/caf%c3%a9":                    {path: "/caf%C3%A9"},
		"/caf\xc3\xa9":                  {path: "/caf%C3%A9"},
		`/a"b<c>{d}|^` + "`":            {path: "/a%22b%3Cc%3E%7Bd%7D%7C%5E%60"},
		"/a%20b":                        {path: "/a%20b"},
		"/%252e%252e/admin":             {path: "/%252e%252e/admin"},
		"/admin;a=b":                    {path: "/admin;a=b"},
		"/admin%3Ba=b":                  {path: "/admin%3Ba=b"},
		"/...":                          {path: "/..."},
		"/.well-known/x":                {path: "/.well-known/x"},
		"/a..b/..c":                     {path: "/a..b/..c"},
		"/a/%2Fb":                       {path: "/a/%2Fb", slashes: true},
		"/a%2fb":                        {path: "/a%2Fb", slashes: true},
		"/?":                            {path: "/", asked: true},
		"/a?b=/../c":                    {path: "/a", query: "b=/../c", asked: true},
		"/a?b=%zz;c":                    {path: "/a", query: "b=%zz;c", asked: true},
		"http://host/a":                 {path: "/a"},
		"HTTPS://host:1/a?b":            {path: "/a", query: "b", asked: true},
		"http://host":                   {path: "/"},
		"http://host?b":                 {path: "/", query: "b", asked: true},
		"/a:b@c!$&'()*+,=d":             {path: "/a:b@c!$&'()*+,=d"},
		"/" + strings.Repeat("a", 9000): {path: "/" + strings.Repeat("a", 9000)},
	} {
		got, err := parseTarget(raw)
		if err != nil || got != want {
			t.Errorf("%.80q: %+v, %v, want %+v", raw, got, err, want)
		}
	}
}

func TestTargetIsRefused(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]error{
		"":                                errTargetForm,
		"*":                               errTargetForm,
		"orders":                          errTargetForm,
		"@evil/x":                         errTargetForm,
		"http:/x":                         errTargetForm,
		"http:///x":                       errTargetForm,
		"http://user@host/x":              errTargetForm,
		"ftp://host/x":                    errTargetForm,
		"/a\\b":                           errTargetBytes,
		"/a%5cb":                          errTargetBytes,
		"/a%00b":                          errTargetBytes,
		"/a\x00b":                         errTargetBytes,
		"/a%0d%0ab":                       errTargetBytes,
		"/a%7f":                           errTargetBytes,
		"/a#b":                            errTargetBytes,
		"/a?b#c":                          errTargetBytes,
		"/a?b\x01c":                       errTargetBytes,
		"/a?b c":                          errTargetBytes,
		"/%":                              errTargetEscape,
		"/%4":                             errTargetEscape,
		"/%zz":                            errTargetEscape,
		"/%u002e":                         errTargetEscape,
		"/..":                             errTargetDots,
		"/.":                              errTargetDots,
		"/a/../b":                         errTargetDots,
		"/a/./b":                          errTargetDots,
		"/a/%2e%2e/b":                     errTargetDots,
		"/a/.%2E/b":                       errTargetDots,
		"/a/..;/b":                        errTargetDots,
		"/a/..;x=y":                       errTargetDots,
		"/a/%2e%2e%3bx/b":                 errTargetDots,
		"/a/.;/b":                         errTargetDots,
		"/a;x/../b":                       errTargetDots,
		"/public//../admin":               errTargetDots,
		"/a/..%2fb":                       errTargetDots,
		"/a%2f..":                         errTargetDots,
		"/a%2f..%2fb":                     errTargetDots,
		"/" + strings.Repeat("a", 16<<10): errTargetTooLong,
	} {
		if got, err := parseTarget(raw); !errors.Is(err, want) {
			t.Errorf("%.80q: %+v, %v, want %v", raw, got, err, want)
		}
	}
}

// FuzzTarget: what is accepted is in normal form already when read again, holds
// no dot segment under any further decoding of one level, and reaches the wire
// byte for byte.
func FuzzTarget(f *testing.F) {
	for _, seed := range []string{"/", "//a/%2e%2e/b", "/a%2Fb?c=d", "/..;/x", "/%252e", "http://h/x?y", "/\xff\"", "/a#b", "*"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := parseTarget(raw)
		if err != nil {
			return
		}
		again, err := parseTarget(got.path)
		if err != nil || again.path != got.path {
			t.Fatalf("%q became %q, which becomes %q, %v", raw, got.path, again.path, err)
		}
		decoded, err := url.PathUnescape(got.path)
		if err != nil {
			t.Fatalf("%q is not decodable: %v", got.path, err)
		}
		for segment := range strings.SplitSeq(decoded, "/") {
			if cut, _, _ := strings.Cut(segment, ";"); cut == ".." || cut == "." {
				t.Fatalf("%q let the dot segment of %q pass", raw, decoded)
			}
		}
		u := &url.URL{Path: decoded, RawPath: got.path}
		if u.EscapedPath() != got.path {
			t.Fatalf("%q would be sent as %q", got.path, u.EscapedPath())
		}
	})
}

func TestHostHasOneForm(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"orders.example.com":      "orders.example.com",
		"Orders.EXAMPLE.com:8443": "orders.example.com",
		"orders.example.com.":     "orders.example.com",
		"orders.example.com.:80":  "orders.example.com",
		"127.0.0.1:80":            "127.0.0.1",
		"[::1]:80":                "[::1]",
		"[2001:DB8::1]":           "[2001:db8::1]",
		"under_score":             "under_score",
		"":                        "",
	} {
		if got, _, err := canonicalHost(host); err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", host, got, err, want)
		}
	}
	for _, host := range []string{"a b", "a/b", "a@b", "a:b", "a:80:80", ":80", "[::1", "[a]", "[::1]x", "[fe80::1%25eth0]", "a,b", "a%2eb", "a\x00", "a:123456", strings.Repeat("a", 254)} {
		if got, _, err := canonicalHost(host); !errors.Is(err, errHost) {
			t.Errorf("%q: %q, %v, want it refused", host, got, err)
		}
	}
}
