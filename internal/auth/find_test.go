package auth

import (
	"errors"
	"testing"
)

// jwtenc-03, jwtenc-04.
func TestWhereABearerTokenStands(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"Bearer abc.def-_~+/==": "abc.def-_~+/==",
		"bearer tok":            "tok",
		"BEARER tok":            "tok",
		"bEaReR t":              "t",
	} {
		if got, err := bearerToken(fields{"Authorization": {value}}); got != want || err != nil {
			t.Errorf("%q: %q, %v; want %q", value, got, err, want)
		}
	}
	for _, value := range []string{
		"", " ", "Bearer", "Bearer ", "BearerTOK", "Bearer  tok", "Bearer\ttok", "Bearer tok ", " Bearer tok", "Bearer tok\t",
		"Bearer Bearer t", "Bearer t extra", "Token t", `Bearer "t"`, "Bearer t,u", "Bearer t, Bearer u", "Bearer =", "Bearer a=b", "Bearer a;b",
		"Basic YTpi", "Basic", "Digest username=x", "Bearer t\x00", "Bearer t\r\nX: y", "Bearer té", "Bearer: t", "Bearer t\n", "B\u212aearer t",
		"\xefBearer t", "JWT t", "tok",
	} {
		if got, err := bearerToken(fields{"Authorization": {value}}); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %q, %v; want ErrMalformed", value, got, err)
		}
	}
}

func TestNoCredentialAndMoreThanOne(t *testing.T) {
	t.Parallel()
	for _, h := range []fields{nil, {}, {"X-Authorization": {"Bearer t"}}, {"Cookie": {"access_token=t"}}, {"Authorization": {}}} {
		if _, err := bearerToken(h); !errors.Is(err, ErrNoCredential) {
			t.Errorf("%v: %v", h, err)
		}
	}
	for _, values := range [][]string{{"Bearer a", "Bearer a"}, {"Bearer a", "Basic b"}, {"", ""}, {"Bearer a", ""}} {
		if _, err := bearerToken(fields{"Authorization": values}); !errors.Is(err, ErrMultiple) {
			t.Errorf("%q: %v", values, err)
		}
	}
}
