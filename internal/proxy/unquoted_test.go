package proxy

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestErrorsOfUpstreamsQuoteNothing(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"connection refused": "connection refused",
		fmt.Sprintf("malformed HTTP response %q", "canary \"x\" \n"):    "malformed HTTP response …",
		fmt.Sprintf("malformed %q after %q: end", "canary", "canary\\"): "malformed … after …: end",
		`malformed "canary`:      "malformed …",
		`malformed ""`:           "malformed …",
		"malformed \"can\nary\"": "malformed …",
	} {
		if got := (unquoted{errors.New(text)}).Error(); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	if !errors.Is(unquoted{fmt.Errorf("a: %w", io.EOF)}, io.EOF) {
		t.Error("the kind of the error is lost")
	}
}
