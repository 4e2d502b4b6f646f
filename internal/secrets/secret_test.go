package secrets_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/secrets"
)

const canary = "canary-5f2b9c"

// holder keeps a secret where package fmt asks no methods, and where it does.
type holder struct {
	hidden secrets.Secret
	Open   secrets.Secret
	Many   []secrets.Secret
	Named  map[string]secrets.Secret
}

func TestSecretNeverPrintsItself(t *testing.T) {
	s := secrets.NewSecret(canary)
	h := holder{hidden: s, Open: s, Many: []secrets.Secret{s}, Named: map[string]secrets.Secret{"k": s}}
	printed := map[string]string{"String": s.String(), "GoString": s.GoString()}
	for _, verb := range []string{"v", "+v", "#v", "s", "q", "x", "X", "d", "t", "c", "T", "p", "w", "5.2f", "!"} {
		for name, value := range map[string]any{
			"itself": s, "by pointer": &s, "in a struct": h, "in a struct's pointer": &h, "in a slice": h.Many,
		} {
			printed["%"+verb+" "+name] = fmt.Sprintf("%"+verb, value)
		}
	}
	for _, wrong := range []string{"it is %w", "%*d", "%.*d", "nothing", "%[2]d", "%"} { // not constant, or go vet sees it
		printed["Errorf "+wrong] = fmt.Errorf(wrong, s).Error()
	}
	for name, value := range map[string]any{"itself": s, "in a struct": h, "in a pointer": &h} {
		var out bytes.Buffer
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "value", value)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "value", value, slog.Group("g", "value", value))
		printed["slog "+name] = out.String()
		encoded, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		printed["json "+name] = string(encoded)
	}
	text, err := s.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	printed["text"] = string(text)
	if doc, err := xml.Marshal(s); err == nil {
		printed["xml"] = string(doc)
	}
	for how, got := range printed {
		assertClean(t, how, got)
	}
	for _, how := range []string{"%v itself", "%+v itself", "%#v itself", "%s itself", "%q itself", "%x itself", "%d itself", "String", "GoString", "text"} {
		if printed[how] != secrets.Redacted {
			t.Errorf("%s prints %q, want %q", how, printed[how], secrets.Redacted)
		}
	}
	if got, want := printed["json itself"], `"[redacted]"`; got != want {
		t.Errorf("JSON is %s, want %s", got, want)
	}
}

// assertClean fails if text has the canary in it, in any usual dress.
func assertClean(t *testing.T, what, text string) {
	t.Helper()
	for _, form := range []string{canary, "Y2FuYXJ5LTVmMmI5Y", fmt.Sprintf("%x", canary), fmt.Sprint([]byte(canary))} {
		if strings.Contains(strings.ToLower(text), strings.ToLower(form)) {
			t.Errorf("%s shows the secret: %s", what, text)
		}
	}
}

func TestSecretComparesByContent(t *testing.T) {
	for name, c := range map[string]struct {
		a, b secrets.Secret
		want bool
	}{
		"the same":            {secrets.NewSecret("abc"), secrets.NewSecret("abc"), true},
		"another":             {secrets.NewSecret("abc"), secrets.NewSecret("abd"), false},
		"a beginning":         {secrets.NewSecret("abc"), secrets.NewSecret("ab"), false},
		"zero and empty":      {secrets.Secret{}, secrets.NewSecret(""), true},
		"zero and some value": {secrets.Secret{}, secrets.NewSecret("a"), false},
	} {
		if got := c.a.Equal(c.b); got != c.want {
			t.Errorf("%s: Equal is %v", name, got)
		}
	}
	if !(secrets.Secret{}).Empty() || !secrets.NewSecret("").Empty() || secrets.NewSecret(" ").Empty() {
		t.Error("Empty is true of the zero Secret and of nothing, and of no space")
	}
}

func TestRevealDoesNotAllocate(t *testing.T) {
	s := secrets.NewSecret(canary)
	if n := testing.AllocsPerRun(100, func() { _ = s.Reveal() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if s.Reveal() != canary {
		t.Error("Reveal returns something else")
	}
}
