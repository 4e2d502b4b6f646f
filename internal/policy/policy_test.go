package policy

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/auth"
)

func mustNew(t *testing.T, o Options) *Policy {
	t.Helper()
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAllScopesAreRequired(t *testing.T) {
	t.Parallel()
	p := mustNew(t, Options{Scopes: []string{"orders:write", "orders:read", "orders:write"}})
	for name, tt := range map[string]struct {
		has, missing []string
	}{
		"both":                        {[]string{"orders:read", "x", "orders:write"}, nil},
		"one":                         {[]string{"orders:read"}, []string{"orders:write"}},
		"none, in the order asked":    {nil, []string{"orders:write", "orders:read"}},
		"longer by a letter":          {[]string{"orders:reads", "orders:write"}, []string{"orders:read"}},
		"a prefix":                    {[]string{"orders", "orders:write"}, []string{"orders:read"}},
		"in another case":             {[]string{"Orders:Read", "orders:write"}, []string{"orders:read"}},
		"a wildcard, which is a word": {[]string{"orders:*", "*"}, []string{"orders:write", "orders:read"}},
		"two in one string":           {[]string{"orders:read orders:write"}, []string{"orders:write", "orders:read"}},
		"empty":                       {[]string{""}, []string{"orders:write", "orders:read"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := p.Check(&auth.Principal{Scopes: tt.has})
			if tt.missing == nil {
				if err != nil {
					t.Fatalf("Check = %v", err)
				}
				return
			}
			var denied *Denied
			if !errors.As(err, &denied) {
				t.Fatalf("Check = %v, want *Denied", err)
			}
			if denied.Check != "scopes" || !slices.Equal(denied.MissingScopes, tt.missing) {
				t.Errorf("denied by %s, missing %q; want scopes, %q", denied.Check, denied.MissingScopes, tt.missing)
			}
		})
	}
}

func TestClaimsMatchExactly(t *testing.T) {
	t.Parallel()
	p := mustNew(t, Options{Claims: map[string][]string{"tenant": {"acme", "7", "true", "null", ""}}})
	for name, tt := range map[string]struct {
		claims string
		passes bool
	}{
		"one of the strings":             {`{"tenant": "acme"}`, true},
		"in another case":                {`{"tenant": "Acme"}`, false},
		"longer by a space":              {`{"tenant": "acme "}`, false},
		"a prefix":                       {`{"tenant": "ac"}`, false},
		"a number":                       {`{"tenant": 7}`, true},
		"the number as text":             {`{"tenant": "7"}`, true},
		"the same number, other text":    {`{"tenant": 7.0}`, false},
		"a bool":                         {`{"tenant": true}`, true},
		"another bool":                   {`{"tenant": false}`, false},
		"an array with one of them":      {`{"tenant": ["x", "acme"]}`, true},
		"an array with the number":       {`{"tenant": [{}, 7]}`, true},
		"an array with none":             {`{"tenant": ["x", "acmes"]}`, false},
		"an empty array":                 {`{"tenant": []}`, false},
		"an array in an array":           {`{"tenant": [["acme"]]}`, false},
		"an object":                      {`{"tenant": {"acme": "acme"}}`, false},
		"null, though the text is asked": {`{"tenant": null}`, false},
		"the empty string, as asked":     {`{"tenant": ""}`, true},
		"absent":                         {`{"tenants": "acme"}`, false},
		"its name in another case":       {`{"Tenant": "acme"}`, false},
		"no claims at all":               {`null`, false},
	} {
		t.Run(name, func(t *testing.T) {
			err := p.Check(&auth.Principal{Claims: claims(t, tt.claims)})
			if tt.passes {
				if err != nil {
					t.Fatalf("Check = %v", err)
				}
				return
			}
			var denied *Denied
			if !errors.As(err, &denied) {
				t.Fatalf("Check = %v, want *Denied", err)
			}
			if denied.Check != "claims" || denied.MissingScopes != nil {
				t.Errorf("denied by %s, missing %q", denied.Check, denied.MissingScopes)
			}
		})
	}
}

func TestEveryClaimIsRequired(t *testing.T) {
	t.Parallel()
	p := mustNew(t, Options{Claims: map[string][]string{"b": {"1"}, "a": {"1"}}})
	if err := p.Check(&auth.Principal{Claims: claims(t, `{"a": "1", "b": "1"}`)}); err != nil {
		t.Errorf("both: %v", err)
	}
	for _, has := range []string{`{"a": "1"}`, `{"b": "1"}`, `{"a": "1", "b": "2"}`} {
		var denied *Denied
		if err := p.Check(&auth.Principal{Claims: claims(t, has)}); !errors.As(err, &denied) {
			t.Errorf("%s: Check = %v, want *Denied", has, err)
		}
	}
}

func TestClaimNamesAreNotPaths(t *testing.T) {
	t.Parallel()
	p := mustNew(t, Options{Claims: map[string][]string{"realm.role": {"admin"}}})
	if err := p.Check(&auth.Principal{Claims: claims(t, `{"realm.role": "admin"}`)}); err != nil {
		t.Errorf("the exact name: %v", err)
	}
	var denied *Denied
	if err := p.Check(&auth.Principal{Claims: claims(t, `{"realm": {"role": "admin"}}`)}); !errors.As(err, &denied) {
		t.Errorf("an object: Check = %v, want *Denied", err)
	}
}

func TestScopesAreAskedBeforeClaims(t *testing.T) {
	t.Parallel()
	p := mustNew(t, Options{Scopes: []string{"s"}, Claims: map[string][]string{"c": {"1"}}})
	var denied *Denied
	if err := p.Check(&auth.Principal{}); !errors.As(err, &denied) || denied.Check != "scopes" {
		t.Errorf("Check = %#v, want scopes", err)
	}
}

func TestNobodyIsDenied(t *testing.T) {
	t.Parallel()
	var denied *Denied
	if err := mustNew(t, Options{}).Check(nil); !errors.As(err, &denied) {
		t.Errorf("Check(nil) = %v, want *Denied", err)
	}
	if err := mustNew(t, Options{}).Check(&auth.Principal{}); err != nil {
		t.Errorf("a principal where nothing is asked: %v", err)
	}
}

// The row "open by mistake" of the threat model.
func TestPoliciesThatMeanNothingAreRefused(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{
		"an empty scope":          {Scopes: []string{"a", ""}},
		"two scopes in one":       {Scopes: []string{"a b"}},
		"a scope with a quote":    {Scopes: []string{`a"b`}},
		"a scope with a new line": {Scopes: []string{"a\r\nb"}},
		"a scope beyond ASCII":    {Scopes: []string{"é"}},
		"a claim without values":  {Claims: map[string][]string{"tenant": {}}},
		"a claim without a name":  {Claims: map[string][]string{"": {"x"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if p, err := New(o); err == nil || p != nil {
				t.Errorf("New = %v, %v; want an error alone", p, err)
			}
		})
	}
}

func TestReasonsDoNotQuoteTheCaller(t *testing.T) {
	t.Parallel()
	p := mustNew(t, Options{Claims: map[string][]string{"tenant": {"acme"}}})
	err := p.Check(&auth.Principal{Subject: "canary", Claims: map[string]any{"tenant": "canary"}})
	if err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("Check = %v", err)
	}
}

func claims(t *testing.T, text string) (all map[string]any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&all); err != nil {
		t.Fatal(err)
	}
	return all
}
