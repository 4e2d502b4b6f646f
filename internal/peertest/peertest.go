// Package peertest starts the real servers that tests of the gateway speak to.
// Only tests import it.
//
// `make peers` builds those servers into a cache folder outside the repository.
// A test whose peer is not there is skipped, saying so; with REQUIRE_PEERS=1,
// as in CI, it fails, so that no peer is ever left out unseen.
package peertest

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Dir is the folder in which scripts/peers/*.sh leave what they build.
func Dir() (string, error) {
	if dir := os.Getenv("SALLYPORT_PEERS"); dir != "" {
		return dir, nil
	}
	home, err := os.UserHomeDir()
	if err != nil && os.Getenv("XDG_CACHE_HOME") == "" {
		return "", err
	}
	return filepath.Join(cmp.Or(os.Getenv("XDG_CACHE_HOME"), filepath.Join(home, ".cache")), "sallyport-peers"), nil
}

// Binary returns the path of the peer's program. If there is none, the test
// ends here: skipped, or failed with REQUIRE_PEERS=1.
func Binary(t testing.TB, name string) string {
	t.Helper()
	dir, err := Dir()
	if err != nil {
		t.Fatalf("peertest: no cache folder: %v", err)
	}
	path := filepath.Join(dir, name)
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		return path
	}
	missing(t, path, "run `make peers`")
	return ""
}

// Installed returns the path of a program that the system's package of that name
// has. If there is none, the test ends here, as with Binary.
func Installed(t testing.TB, name string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	missing(t, name, "install its package")
	return ""
}

// missing ends the test: skipped, or failed with REQUIRE_PEERS=1.
func missing(t testing.TB, what, remedy string) {
	t.Helper()
	if os.Getenv("REQUIRE_PEERS") == "1" {
		t.Fatalf("PEER MISSING: %s is not there, and REQUIRE_PEERS=1; %s", what, remedy)
	}
	t.Skipf("PEER MISSING: %s is not there, so nothing was tested against it; %s", what, remedy)
}
