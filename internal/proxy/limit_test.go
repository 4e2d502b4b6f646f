package proxy

import (
	"net/http"
	"net/netip"
	"testing"

	"github.com/sallyport/sallyport/internal/auth"
)

func TestBuckets(t *testing.T) {
	t.Parallel()
	x := func(address, issuer, subject string, claims map[string]any, h http.Header) *exchange {
		x := &exchange{client: netip.MustParseAddr(address), fields: httpFields(h)}
		if issuer != "" {
			x.principal = &auth.Principal{Issuer: issuer, Subject: subject, Claims: claims}
		}
		return x
	}
	tenant := func(v any) map[string]any { return map[string]any{"tenant": v} }
	for _, c := range []struct {
		name       string
		key        string
		one, other *exchange
		same       bool
	}{
		{"one IPv4 address", "ip", x("192.0.2.1", "", "", nil, nil), x("192.0.2.1", "", "", nil, nil), true},
		{"two IPv4 addresses", "ip", x("192.0.2.1", "", "", nil, nil), x("192.0.2.2", "", "", nil, nil), false},
		{"one IPv6 /64", "ip", x("2001:db8::1", "", "", nil, nil), x("2001:db8::ffff:1", "", "", nil, nil), true},
		{"two IPv6 /64", "ip", x("2001:db8::1", "", "", nil, nil), x("2001:db8:0:1::1", "", "", nil, nil), false},
		{"one route", "route", x("192.0.2.1", "", "", nil, nil), x("192.0.2.2", "", "", nil, nil), true},
		{"one subject, two addresses", "subject", x("192.0.2.1", "a", "1", nil, nil), x("192.0.2.2", "a", "1", nil, nil), true},
		{"one subject of two issuers", "subject", x("192.0.2.1", "a", "1", nil, nil), x("192.0.2.1", "b", "1", nil, nil), false},
		{"no subject: by address", "subject", x("192.0.2.1", "a", "", nil, nil), x("192.0.2.2", "a", "", nil, nil), false},
		{"a number and its text", "claim:tenant", x("192.0.2.1", "a", "1", tenant(1), nil), x("192.0.2.1", "a", "1", tenant(2), nil), false},
		{"one claim, two subjects", "claim:tenant", x("192.0.2.1", "a", "1", tenant("x"), nil), x("192.0.2.2", "a", "2", tenant("x"), nil), true},
		{"no claim: by address", "claim:tenant", x("192.0.2.1", "a", "1", nil, nil), x("192.0.2.2", "a", "1", nil, nil), false},
		{"one header", "header:X-Tenant", x("192.0.2.1", "", "", nil, http.Header{"X-Tenant": {"x"}}), x("192.0.2.2", "", "", nil, http.Header{"X-Tenant": {"x"}}), true},
		{"a header that reads like an address", "header:X-Tenant", x("192.0.2.1", "", "", nil, http.Header{"X-Tenant": {"192.0.2.2"}}), x("192.0.2.2", "", "", nil, nil), false},
	} {
		l := Limit{Key: c.key}.ready()
		if one, other := l.bucket(c.one), l.bucket(c.other); (one == other) != c.same {
			t.Errorf("%s: %q and %q", c.name, one, other)
		}
	}
	if (Limit{Key: "ip", Number: 1}).ready().bucket(x("192.0.2.1", "", "", nil, nil)) == (Limit{Key: "ip"}).ready().bucket(x("192.0.2.1", "", "", nil, nil)) {
		t.Error("equal limits of one route share a bucket")
	}
}
