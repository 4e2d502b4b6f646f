package gateway_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/gateway"
)

// The first line of each file in testdata/allow is the error it must give, or
// the beginning of it.
func TestMistakesInAllowAreNamedByTheirPlace(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/allow/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(string(text), "\n")
		_, err = gateway.Build(parse(t, string(text), nil), gateway.Options{Log: slog.New(slog.DiscardHandler), LookupEnv: environment{}.lookup})
		if want := "test.yaml:" + strings.TrimPrefix(first, "# "); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s:\n got %v\nwant %s", file, err, want)
		}
	}
}
