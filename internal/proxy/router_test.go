package proxy

import (
	"testing"
)

func testRoutes(t *testing.T, routes ...Route) *router {
	t.Helper()
	list := make([]*route, len(routes))
	for i, r := range routes {
		list[i] = &route{Route: r}
	}
	r, err := newRouter(list)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestMostSpecificRouteWins(t *testing.T) {
	t.Parallel()
	r := testRoutes(t,
		Route{Name: "any", Path: "/*"},
		Route{Name: "any-orders", Path: "/orders/*"},
		Route{Name: "host", Hosts: []string{"api.example.com"}, Path: "/orders/*", Methods: []string{"GET"}},
		Route{Name: "host-one", Hosts: []string{"api.example.com"}, Path: "/orders/{id}", Methods: []string{"POST"}},
		Route{Name: "host-fixed", Hosts: []string{"api.example.com"}, Path: "/orders/new"},
		Route{Name: "host-exact", Hosts: []string{"api.example.com"}, Path: "/exact"},
		Route{Name: "wild", Hosts: []string{"*.example.com"}, Path: "/*"},
		Route{Name: "wild-deep", Hosts: []string{"*.deep.example.com"}, Path: "/*"},
		Route{Name: "param-get", Hosts: []string{"p.test"}, Path: "/{a}/x", Methods: []string{"GET"}},
		Route{Name: "param-post", Hosts: []string{"p.test"}, Path: "/{b}/x", Methods: []string{"POST"}},
		Route{Name: "space", Hosts: []string{"p.test"}, Path: "/a b/*"},
		Route{Name: "status", Hosts: []string{"p.test"}, Path: "/api/{any:[a-z]+}/status"},
	)
	for _, c := range []struct{ host, method, path, want string }{
		{"other.test", "GET", "/", "any"},
		{"other.test", "GET", "/orders/1", "any-orders"},
		{"other.test", "GET", "/orders", "any-orders"},
		{"other.test", "GET", "/orders/", "any-orders"},
		{"other.test", "GET", "/ordersx", "any"},
		{"", "GET", "/x", "any"},
		{"api.example.com", "GET", "/orders/a/b", "host"},
		{"api.example.com", "HEAD", "/orders/a/b", "host"},
		{"api.example.com", "GET", "/orders", "host"},
		{"api.example.com", "GET", "/orders/", "host"},
		{"api.example.com", "POST", "/orders/1", "host-one"},
		{"api.example.com", "GET", "/orders/1", "405"}, // no falling through to another path
		{"api.example.com", "POST", "/orders/a/b", "405"},
		{"api.example.com", "GET", "/orders/new", "host-fixed"},
		{"api.example.com", "GET", "/exact", "host-exact"},
		{"api.example.com", "GET", "/exact/", "404"},
		{"api.example.com", "GET", "/else", "404"}, // nor to another host
		{"a.example.com", "GET", "/x", "wild"},
		{"a.b.example.com", "GET", "/x", "wild"},
		{"x.deep.example.com", "GET", "/x", "wild-deep"},
		{"example.com", "GET", "/x", "any"},
		{"p.test", "GET", "/1/x", "param-get"},
		{"p.test", "POST", "/1/x", "param-post"},
		{"p.test", "PUT", "/1/x", "405"},
		{"p.test", "GET", "/a%20b/c", "space"},
		{"p.test", "GET", "/api/x/status", "status"},
		{"p.test", "GET", "/api/1/status", "404"},
		{"p.test", "GET", "/api/x/y/status", "404"},
		{"p.test", "TRACE", "/a%20b/c", "405"},
		{"p.test", "get", "/a%20b/c", "405"},
	} {
		got := "404"
		if p, _ := r.find(c.host, c.path); p != nil {
			got = "405"
			if rt := p.methods[c.method]; rt != nil {
				got = rt.Name
			}
		}
		if got != c.want {
			t.Errorf("%s %s%s: %s, want %s", c.method, c.host, c.path, got, c.want)
		}
	}
}

func TestAllowNamesTheMethodsOfThePath(t *testing.T) {
	t.Parallel()
	r := testRoutes(t, Route{Name: "a", Path: "/a", Methods: []string{"GET"}}, Route{Name: "b", Path: "/a", Methods: []string{"PUT"}})
	if p, _ := r.find("", "/a"); p.allow != "GET, HEAD, PUT" {
		t.Errorf("Allow is %q", p.allow)
	}
}

func TestRoutesThatCannotStandTogetherAreRefused(t *testing.T) {
	t.Parallel()
	for name, routes := range map[string][2]Route{
		"same path":              {{Name: "a", Path: "/x"}, {Name: "b", Path: "/x"}},
		"parameter names differ": {{Name: "a", Path: "/{x}"}, {Name: "b", Path: "/{y}"}},
		"GET implies HEAD":       {{Name: "a", Path: "/x", Methods: []string{"GET"}}, {Name: "b", Path: "/x", Methods: []string{"HEAD"}}},
		"host in another case":   {{Name: "a", Hosts: []string{"H.test"}, Path: "/x"}, {Name: "b", Hosts: []string{"h.test."}, Path: "/x"}},
		"broken pattern":         {{Name: "a", Path: "/{x"}, {Name: "b", Path: "/y"}},
	} {
		first, second := &route{Route: routes[0]}, &route{Route: routes[1]}
		if _, err := newRouter([]*route{first, second}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
