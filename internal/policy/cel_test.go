package policy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/auth"
	"github.com/sallyport/sallyport/internal/policy"
)

// claimsOf reads claims as a token's are read: numbers stay texts.
func claimsOf(t testing.TB, text string) map[string]any {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var claims map[string]any
	if err := decoder.Decode(&claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func caller(t testing.TB) *auth.Principal {
	return &auth.Principal{
		Subject: "ann", Issuer: "corp", Scopes: []string{"orders:read", "x"},
		Claims: claimsOf(t, `{"tenant": "acme", "level": 7, "ratio": 0.5, "whole": 7.0, "big": 9007199254740993, "huge": 18446744073709551615,
			"gigantic": 99999999999999999999, "next": 99999999999999999998, "far": 1e400, "groups": ["a", "b"], "admin": true, "none": null,
			"address": {"city": "Bonn", "codes": [1, 2]}}`),
	}
}

func asked() *policy.Request {
	return &policy.Request{
		Method: "GET", Path: "/orders/acme", Host: "orders.example.com", IP: "192.0.2.1",
		Headers: map[string]string{"x-kind": "a,b", "user-agent": "curl"},
		Query:   map[string][]string{"role": {"user", "admin"}, "page": {"2"}},
		Params:  map[string]string{"tenant": "acme"},
	}
}

func expression(t testing.TB, text string) *policy.Policy {
	t.Helper()
	p, err := policy.New(policy.Options{Allow: text, Params: []string{"tenant"}})
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return p
}

func TestAllowDecides(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{ // the denial's check, or nothing
		`true`:  "",
		`false`: "allow",
		`claims.tenant == params.tenant || "admin" in scopes`:                                               "",
		`claims.tenant == "globex" || "admin" in scopes`:                                                    "allow",
		`claims.absent == params.tenant || "x" in scopes`:                                                   "", // an error beside a yes is a yes
		`claims.absent == params.tenant`:                                                                    "allow_error",
		`claims.absent != "acme"`:                                                                           "allow_error", // absent is not "something else"
		`!has(claims.absent) && has(claims.tenant)`:                                                         "",
		`request.method == "GET" && request.path.startsWith("/orders/")`:                                    "",
		`request.host == "orders.example.com" && request.ip == "192.0.2.1"`:                                 "",
		`request.headers["x-kind"] == "a,b" && request.headers["user-agent"].matches("^curl")`:              "",
		`request.headers["absent"] == ""`:                                                                   "allow_error",
		`"absent" in request.headers`:                                                                       "allow",
		`request.query.page == ["2"] && !("x" in request.query)`:                                            "",
		`request.query.role.all(r, r == "user")`:                                                            "allow", // path-11
		`request.query.role == ["user"]`:                                                                    "allow",
		`subject == "ann" && issuer == "corp"`:                                                              "",
		`claims.level == 7 && claims.level >= 5 && claims.level < 7.5 && claims.whole == 7`:                 "",
		`claims.ratio == 0.5 && claims.ratio < 1`:                                                           "",
		`claims.big == 9007199254740993 && claims.big != 9007199254740992`:                                  "",
		`claims.huge == 18446744073709551615u`:                                                              "",
		`claims.gigantic == claims.next`:                                                                    "allow_error", // neither can be held
		`claims.gigantic > 5`:                                                                               "allow_error",
		`claims.far > 5.0`:                                                                                  "allow_error",
		`claims.level == "7"`:                                                                               "allow",
		`claims.admin == true && claims.none == null`:                                                       "",
		`claims.groups.exists(g, g == "b") && "a" in claims.groups`:                                         "",
		`claims.address.city == "Bonn" && claims.address.codes[1] == 2`:                                     "",
		`claims.address.codes.all(c, c < 3)`:                                                                "",
		`claims.tenant.city == "Bonn"`:                                                                      "allow_error",
		`claims["tenant"] == params["tenant"]`:                                                              "",
		`scopes.exists_one(s, s.startsWith("orders:")) && size(scopes) == 2`:                                "",
		`dyn(request).method == "GET"`:                                                                      "allow_error",
		`dyn(request).methd == "GET"`:                                                                       "allow_error",
		`[request].size() == 1`:                                                                             "allow_error",
		`[1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, claims.groups.all(c, a + b > 0)))`:           "",
		`params.tenant.size() > 0 && timestamp("2026-01-01T00:00:00Z") < timestamp("2026-01-02T00:00:00Z")`: "",
	} {
		err := expression(t, text).Allow(caller(t), asked())
		got := ""
		var denied *policy.Denied
		if errors.As(err, &denied) {
			got = denied.Check
		} else if err != nil {
			t.Errorf("%s: an error that is no denial: %v", text, err)
		}
		if got != want {
			t.Errorf("%s: %q, want %q (%v)", text, got, want, err)
		}
	}
}

func TestAllowIsCheckedWhenItIsRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`request.methd == "GET"`:                     "1:8: undefined field 'methd'",
		"request.method == 'GET' &&\n  clams.x == 1": "2:3: undeclared reference to 'clams' (did you mean 'claims'?)",
		`claims.tenant == params.tenan`:              `1:24: the route's path has no parameter "tenan": it has tenant`,
		`params["x"] == "a"`:                         `1:7: the route's path has no parameter "x": it has tenant`,
		`"x" in params`:                              `1:5: the route's path has no parameter "x": it has tenant`,
		`request.headers["X-Kind"] == "a"`:           `1:16: names of headers are in lower case: write "x-kind"`,
		`request["method"] == "GET"`:                 "1:8: found no matching overload for '_[_]' applied to '(sallyport.Request, string)'",
		`claims.admin`:                               "1:1: the expression is of type dyn and must be of type bool; compare it, as in == true",
		`subject`:                                    "1:1: the expression is of type string and must be of type bool; compare it, as in == true",
		`subject == 5`:                               "1:9: found no matching overload for '_==_' applied to '(string, int)'",
		`subject ==`:                                 "1:11: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
		` `:                                          "1:1: the expression is empty",
		`subject.matches("(")`:                       "1:17: invalid matches argument",
		`sallyport.Request{method: "GET"} == request`: "1:18: an expression cannot make objects, only read them",
		`subject.matches(claims.pattern)`:             "1:16: the pattern of matches must be written out",
		`matches(subject, "a" + subject)`:             "1:8: the pattern of matches must be written out",
		`now == now`:                                  "1:1: undeclared reference to 'now'",
	} {
		_, err := policy.New(policy.Options{Allow: text, Params: []string{"tenant"}})
		var list policy.ExpressionErrors
		if !errors.As(err, &list) {
			t.Errorf("%s: %v is not of ExpressionErrors", text, err)
			continue
		}
		if got := fmt.Sprintf("%d:%d: %s", list[0].Line, list[0].Column, list[0].Problem); !strings.HasPrefix(got, want) {
			t.Errorf("%s:\n got %s\nwant %s", text, got, want)
		}
	}
}

// What cannot end in time is refused when it is read, or cut off.
func TestAllowIsBounded(t *testing.T) {
	t.Parallel()
	ten := "[0,1,2,3,4,5,6,7,8,9]"
	nested := func(depth int) string {
		text := "true"
		for i := range depth {
			text = fmt.Sprintf("%s.all(v%d, %s)", ten, i, text)
		}
		return text
	}
	for name, text := range map[string]string{
		"lists in lists": nested(12),
		"too long":       strings.Repeat(" ", 9000) + "true",
		"too deep":       strings.Repeat("(", 100) + "true" + strings.Repeat(")", 100),
		"many nodes":     "1" + strings.Repeat("+1", 3000) + " == 1",
		"a huge regex":   `subject.matches("(a{500}){500}")`,
	} {
		begun := time.Now()
		if _, err := policy.New(policy.Options{Allow: text}); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("%s: refused after %v", name, took)
		}
	}
	big := caller(t)
	var groups []any
	for i := range 4000 {
		groups = append(groups, fmt.Sprint("group", i))
	}
	big.Claims["groups"] = groups
	big.Claims["text"] = strings.Repeat("a", 16<<10)
	for text, check := range map[string]string{
		`claims.groups.all(a, !claims.groups.exists(b, a == b + "!"))`: "allow_cost",
		`claims.groups.all(a, claims.text.contains(a + "b"))`:          "allow",
	} {
		begun := time.Now()
		err := expression(t, text).Allow(big, asked())
		var denied *policy.Denied
		if !errors.As(err, &denied) || denied.Check != check {
			t.Errorf("%s: %v, want %s", text, err, check)
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("%s took %v", text, took)
		}
	}
}

func TestAllowDeniesWithoutPrincipal(t *testing.T) {
	t.Parallel()
	p := expression(t, "true")
	if err := p.Allow(nil, asked()); err == nil {
		t.Error("nobody was allowed")
	}
	if err := p.Allow(caller(t), nil); err == nil {
		t.Error("no request was allowed")
	}
}

func TestReadsNameWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]policy.Reads{
		`subject == "a"`: {},
		`request.headers["b"] == request.headers["a"] && "c" in request.headers`: {Headers: policy.Names{Names: []string{"a", "b", "c"}}},
		`request.headers[subject] == "a"`:                                        {Headers: policy.Names{All: true}},
		`request.headers.exists(h, h == "a")`:                                    {Headers: policy.Names{All: true}},
		`params.tenant == "a"`:                                                   {Params: policy.Names{Names: []string{"tenant"}}},
		`request.query.role.all(r, r == "a") && has(request.query.x)`:            {Query: policy.Names{Names: []string{"role", "x"}}},
		`request.query.role == ["a"] && size(request.query.role) == 1`:           {Query: policy.Names{Names: []string{"role"}}},
		`request.query.role[0] == "a"`:                                           {Query: policy.Names{Names: []string{"role"}}, Single: policy.Names{Names: []string{"role"}}},
		`"a" in request.query["role"]`:                                           {Query: policy.Names{Names: []string{"role"}}, Single: policy.Names{Names: []string{"role"}}},
		`request.query.role.exists(r, r == "a")`:                                 {Query: policy.Names{Names: []string{"role"}}, Single: policy.Names{Names: []string{"role"}}},
		`request.query.all(q, q == "a")`:                                         {Query: policy.Names{All: true}, Single: policy.Names{All: true}},
	} {
		if got := expression(t, text).Reads(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s reads %+v, want %+v", text, got, want)
		}
	}
}

// What is not the list ["admin"] may hold admin all the same, and the upstream may
// read that one: of a list that is denied one value decides.
func TestDenyingAListOfValuesNeedsOneValue(t *testing.T) {
	t.Parallel()
	role := policy.Names{Names: []string{"role"}}
	for text, single := range map[string]bool{
		`request.query.role != ["admin"]`:                              true,
		`!(request.query.role == ["admin"])`:                           true,
		`(request.query.role == ["admin"]) == false`:                   true,
		`request.query.role == ["admin"] ? false : true`:               true,
		`!request.query.role.all(r, r == "admin")`:                     true,
		`subject == "a" || !(request.query["role"] == ["admin"])`:      true,
		`subject == "a" || request.query.role == ["user"] && 1 < 2`:    false,
		`!(size(request.query.role) > 1) && !has(request.query.role)`:  false,
		`subject == "a" && request.query.role.all(r, r in ["a", "b"])`: false,
	} {
		want := policy.Reads{Query: role}
		if single {
			want.Single = role
		}
		if got := expression(t, text).Reads(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s reads %+v, want %+v", text, got, want)
		}
	}
}

func FuzzAllow(f *testing.F) {
	for _, text := range []string{
		`claims.tenant == params.tenant || "admin" in scopes`, `request.headers["a"].matches("^(a|b)*$")`, `[1,2].map(x, x * 2).exists(y, y > 3)`,
		`request.query.role.all(r, r in scopes) && !has(claims.a.b.c)`, `timestamp("2026-01-01T00:00:00Z").getFullYear() == 2026`, "\"\\u0000\" == b'x'", `{"a": 1}.a == dyn(claims).level`,
	} {
		f.Add(text, `{"a": 1e9, "b": [null, {"c": "d"}]}`)
	}
	f.Fuzz(func(t *testing.T, text, claims string) {
		p, err := policy.New(policy.Options{Allow: text, Params: []string{"tenant"}})
		if err != nil {
			for _, one := range err.(policy.ExpressionErrors) {
				if one.Line < 1 || one.Column < 1 || one.Problem == "" {
					t.Errorf("mistake without a place: %+v", one)
				}
			}
			return
		}
		pr := caller(t)
		decoder := json.NewDecoder(strings.NewReader(claims))
		decoder.UseNumber()
		_ = decoder.Decode(&pr.Claims)
		begun := time.Now()
		first, second := p.Allow(pr, asked()), p.Allow(pr, asked())
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("%q took %v", text, took)
		}
		if (first == nil) != (second == nil) {
			t.Errorf("%q: %v, then %v", text, first, second)
		}
	})
}

func BenchmarkAllow(b *testing.B) {
	p := expression(b, `claims.tenant == params.tenant || "admin" in scopes`)
	pr, r := caller(b), asked()
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Allow(pr, r); err != nil {
			b.Fatal(err)
		}
	}
}
