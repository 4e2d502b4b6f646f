package credentials

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/secrets"
)

// A memory is a secret backend whose secrets the test changes.
type memory map[string]string

func (m memory) Name() string { return "memory" }

func (m memory) Read(_ context.Context, path string) (secrets.Document, error) {
	text, ok := m[path]
	if !ok {
		return nil, secrets.ErrNotFound
	}
	return secrets.Text(m.Name(), path, secrets.NewSecret(text)), nil
}

// watch returns a value and what changes it; "" takes it away.
func watch(t *testing.T, text string) (value *secrets.Value, change func(string)) {
	t.Helper()
	backend := memory{}
	store := secrets.NewStore(backend, secrets.Options{})
	value = store.Watch(secrets.Reference{Path: "it"})
	change = func(text string) {
		if backend["it"] = text; text == "" {
			delete(backend, "it")
		}
		_ = store.Fetch(context.Background())
	}
	change(text)
	return value, change
}

func fixed(text string) *secrets.Value { return secrets.Fixed(secrets.NewSecret(text)) }

func bearer() Placement { return Placement{Header: "Authorization", Prefix: "Bearer "} }

func TestPlacementIsOneValidPlace(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		p     Placement
		valid bool
	}{
		"a header":                        {Placement{Header: "X-API-Key"}, true},
		"a header with a prefix":          {Placement{Header: "Authorization", Prefix: "Bearer "}, true},
		"a query parameter":               {Placement{Query: "api_key"}, true},
		"a cookie":                        {Placement{Cookie: "session"}, true},
		"nowhere":                         {Placement{}, false},
		"two places":                      {Placement{Header: "A", Cookie: "b"}, false},
		"three places":                    {Placement{Header: "A", Cookie: "b", Query: "c"}, false},
		"a prefix alone":                  {Placement{Prefix: "Bearer "}, false},
		"a prefix in a query":             {Placement{Query: "q", Prefix: "Bearer "}, false},
		"a prefix that ends the line":     {Placement{Header: "A", Prefix: "x\r\nX-Admin: 1"}, false},
		"a prefix that begins with space": {Placement{Header: "A", Prefix: " x"}, false},
		"a prefix beyond ASCII":           {Placement{Header: "A", Prefix: "é"}, false},
		"a header name with a space":      {Placement{Header: "X Key"}, false},
		"a header name with a colon":      {Placement{Header: "X-Key:"}, false},
		"a header name that ends a line":  {Placement{Header: "X\r\nY"}, false},
		"a header that frames":            {Placement{Header: "transfer-Encoding"}, false},
		"the host":                        {Placement{Header: "Host"}, false},
		"a cookie name with a semicolon":  {Placement{Cookie: "a;b"}, false},
		"a cookie name with an equals":    {Placement{Cookie: "a=b"}, false},
		"a query name with a new line":    {Placement{Query: "a\nb"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := tt.p.Validate(); (err == nil) != tt.valid {
				t.Errorf("Validate = %v", err)
			}
		})
	}
}

func TestPlacementTellsWhere(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]Placement{
		"header Authorization": bearer(),
		"query key":            {Query: "key"},
		"cookie sid":           {Cookie: "sid"},
		"nowhere":              {},
	} {
		if got := p.String(); got != want {
			t.Errorf("String() = %s, want %s", got, want)
		}
	}
}

func TestStaticFollowsItsSecret(t *testing.T) {
	t.Parallel()
	token, change := watch(t, "one")
	c := NewStatic("legacy", bearer(), token)
	mustHave(t, c, "one")
	change("two")
	mustHave(t, c, "two")
	change("")
	mustHaveNone(t, c, secrets.ErrNotFound)
	change("three")
	mustHave(t, c, "three")
}

// The row "credentials in transit" of the threat model: a secret with a new line
// in it would be a header of its own.
func TestStaticThatCannotStandInItsPlaceIsRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		p       Placement
		text    string
		refused bool
	}{
		"an api key":                {bearer(), "sk_live_abc", false},
		"two words":                 {Placement{Header: "Authorization"}, "Token abc", false},
		"a new line":                {bearer(), "abc\r\nX-Admin: 1", true},
		"a line feed at the end":    {bearer(), "abc\n", true},
		"a tab":                     {bearer(), "a\tb", true},
		"a NUL":                     {bearer(), "a\x00b", true},
		"a delete":                  {bearer(), "a\x7fb", true},
		"a byte beyond ASCII":       {bearer(), "a\xffb", true},
		"a space in front":          {bearer(), " abc", true},
		"too long":                  {bearer(), strings.Repeat("a", maxValue+1), true},
		"in a cookie, a semicolon":  {Placement{Cookie: "c"}, "a;b", true},
		"in a cookie, a space":      {Placement{Cookie: "c"}, "a b", true},
		"in a cookie, a plain one":  {Placement{Cookie: "c"}, "a=b", false},
		"in a query, an ampersand":  {Placement{Query: "q"}, "a&b", false}, // it is escaped there
		"in a query, a line's end":  {Placement{Query: "q"}, "a\nb", true},
		"in a header, a semicolon":  {bearer(), "a;b", false},
		"in a header, a quote mark": {bearer(), `a"b`, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := NewStatic("legacy", tt.p, fixed(tt.text))
			if tt.refused {
				mustHaveNone(t, c, secrets.ErrInvalid)
			} else {
				mustHave(t, c, tt.text)
			}
		})
	}
}

func TestStaticKeepsTheLastGoodSecret(t *testing.T) {
	t.Parallel()
	token, change := watch(t, "one")
	c := NewStatic("legacy", bearer(), token)
	mustHave(t, c, "one")
	change("two\r\n\r\n")
	mustHave(t, c, "one")
}

func TestBasicIsUserAndPassword(t *testing.T) {
	t.Parallel()
	user, changeUser := watch(t, "batch")
	password, changePassword := watch(t, "pass:word é")
	c := NewBasic("batch", Placement{Header: "Authorization", Prefix: "Basic "}, user, password)
	mustHave(t, c, base64.StdEncoding.EncodeToString([]byte("batch:pass:word é")))
	changePassword("another")
	mustHave(t, c, base64.StdEncoding.EncodeToString([]byte("batch:another")))
	changeUser("other")
	mustHave(t, c, base64.StdEncoding.EncodeToString([]byte("other:another")))
	changePassword("")
	mustHaveNone(t, c, secrets.ErrNotFound)
	changePassword("back")
	changeUser("")
	mustHaveNone(t, c, secrets.ErrNotFound)
}

func TestBasicThatWouldBeReadOtherwiseIsRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ user, password string }{
		"a colon in the user":       {"a:b", "c"},
		"a new line in the user":    {"a\n", "c"},
		"a NUL in the password":     {"a", "c\x00"},
		"a control beyond ASCII":    {"a", "c\u0085"},
		"a password for no header":  {"a", strings.Repeat("c", maxValue)},
		"a delete in the password":  {"a", "\x7f"},
		"a user longer than a line": {strings.Repeat("a", maxValue), "c"},
	} {
		t.Run(name, func(t *testing.T) {
			mustHaveNone(t, NewBasic("batch", bearer(), fixed(tt.user), fixed(tt.password)), secrets.ErrInvalid)
		})
	}
}

func TestRetryAfterIsAtLeastASecond(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want time.Duration
	}{
		{nil, time.Second},
		{errors.New("another"), time.Second},
		{&unavailable{"c", 0, errNotYet}, time.Second},
		{&unavailable{"c", -time.Minute, errNotYet}, time.Second},
		{errors.Join(errors.New("inject"), &unavailable{"c", 7 * time.Second, errNotYet}), 7 * time.Second},
	} {
		if got := RetryAfter(tt.err); got != tt.want {
			t.Errorf("RetryAfter(%v) = %s, want %s", tt.err, got, tt.want)
		}
	}
}

func mustHave(t *testing.T, c Credential, want string) {
	t.Helper()
	got, err := c.Value(t.Context())
	if err != nil || got.Reveal() != want {
		t.Fatalf("Value = %q, %v; want %q", got.Reveal(), err, want)
	}
	if s := c.Status(); !s.Ready || s.LastError != "" || s.Name != c.Name() || s.Type == "" {
		t.Fatalf("Status = %+v", s)
	}
}

func mustHaveNone(t *testing.T, c Credential, kind error) {
	t.Helper()
	got, err := c.Value(t.Context())
	if !got.Empty() || !errors.Is(err, ErrUnavailable) || !errors.Is(err, kind) {
		t.Fatalf("Value = %q, %v; want ErrUnavailable and %v", got.Reveal(), err, kind)
	}
	if RetryAfter(err) < time.Second {
		t.Errorf("RetryAfter = %s", RetryAfter(err))
	}
	if s := c.Status(); s.Ready || s.LastError == "" {
		t.Fatalf("Status = %+v", s)
	}
}

func BenchmarkBasicValue(b *testing.B) {
	c := NewBasic("batch", bearer(), fixed("user"), fixed(strings.Repeat("p", 40)))
	b.ReportAllocs()
	for b.Loop() {
		_, _ = c.Value(b.Context())
	}
}
