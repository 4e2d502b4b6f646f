package peertest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/peertest"
)

func TestAMissingPeerSkipsUnlessPeersAreRequired(t *testing.T) {
	t.Setenv("SALLYPORT_PEERS", t.TempDir())
	for required, want := range map[string]string{"": "skipped", "0": "skipped", "1": "failed"} {
		t.Run("REQUIRE_PEERS="+required, func(t *testing.T) {
			t.Setenv("REQUIRE_PEERS", required)
			end := &ending{TB: t}
			done := make(chan struct{})
			go func() {
				defer close(done)
				peertest.Fosite(end)
			}()
			<-done
			if end.how != want || !strings.Contains(end.said, "make peers") {
				t.Errorf("the test is %s with %q, want %s, naming make peers", end.how, end.said, want)
			}
		})
	}
}

func TestThePeersFolder(t *testing.T) {
	home := t.TempDir()
	for name, c := range map[string]struct{ peers, cache, want string }{
		"as said":           {"/peers", "/cache", "/peers"},
		"in the user's own": {"", "/cache", "/cache/sallyport-peers"},
		"else below home":   {"", "", filepath.Join(home, ".cache/sallyport-peers")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("HOME", home)
			t.Setenv("SALLYPORT_PEERS", c.peers)
			t.Setenv("XDG_CACHE_HOME", c.cache)
			if got, err := peertest.Dir(); err != nil || got != c.want {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}
}

func TestAFolderIsNoProgram(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("SALLYPORT_PEERS", dir)
	t.Setenv("REQUIRE_PEERS", "")
	if err := os.Mkdir(filepath.Join(dir, "fositepeer"), 0o755); err != nil {
		t.Fatal(err)
	}
	end := &ending{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		peertest.Binary(end, "fositepeer")
	}()
	<-done
	if end.how != "skipped" {
		t.Errorf("the test is %q, want skipped", end.how)
	}
}

// ending records how the code under test ended its test.
type ending struct {
	testing.TB
	how, said string
}

func (e *ending) Skipf(format string, args ...any) { e.end("skipped", format, args...) }

func (e *ending) Fatalf(format string, args ...any) { e.end("failed", format, args...) }

func (e *ending) end(how, format string, args ...any) {
	e.how, e.said = how, fmt.Sprintf(format, args...)
	runtime.Goexit()
}
