package secrets_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/internal/peertest"
	"github.com/sallyport/sallyport/internal/secrets"
)

func TestFileSetIsReadBackByteForByte(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := newFile(t, dir, nil)
	for _, ref := range []secrets.Reference{{Path: "a"}, {Path: "new/folder/a.b"}, {Path: "doc", Field: "user"}, {Path: "new/doc", Field: "user name"}} {
		for _, value := range []string{"x", "x\n", "x\r\n", "\n", "\r", " x ", "\ufeffx", "\x00\x01", `{"a":"b"}`, strings.Repeat("x", 1<<19)} {
			must(t, file.Set(t.Context(), ref, secrets.NewSecret(value)))
			if got, err := secrets.Get(t.Context(), file, ref); err != nil || got.Reveal() != value {
				t.Errorf("%s: %q reads as %q, %v", ref, value, got.Reveal(), err)
			}
		}
	}
	for path, want := range map[string]os.FileMode{"a": 0o600, "new": 0o700, "new/folder": 0o700, "new/folder/a.b": 0o600} {
		if info, err := os.Stat(filepath.Join(dir, path)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %v", path, info.Mode(), err, want)
		}
	}
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) != 3 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestFileSetOfAFieldLeavesTheOthers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := newFile(t, dir, nil)
	write(t, dir, "db", "{\n  \"user\": \"old\",\n  \"port\": 5432\n}\n")
	must(t, file.Set(t.Context(), secrets.Reference{Path: "db", Field: "user"}, secrets.NewSecret("new")))
	must(t, file.Set(t.Context(), secrets.Reference{Path: "db", Field: "password"}, secrets.NewSecret("p")))
	want := "{\n  \"user\": \"new\",\n  \"port\": 5432, \"password\": \"p\"\n}\n"
	if got, err := os.ReadFile(filepath.Join(dir, "db")); err != nil || string(got) != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
	write(t, dir, "text", canary)
	err := file.Set(t.Context(), secrets.Reference{Path: "text", Field: "user"}, secrets.NewSecret("canary-5f2b9c"))
	if !errors.Is(err, secrets.ErrInvalid) {
		t.Errorf("a field of what is no JSON: %v, want ErrInvalid", err)
	}
	assertClean(t, "error", fmt.Sprint(err))
	if got, err := os.ReadFile(filepath.Join(dir, "text")); err != nil || string(got) != canary {
		t.Errorf("what was refused has changed the file: %v", err)
	}
}

func TestFileSetKeepsTheModeOfWhatItReplaces(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "a", "x")
	must(t, os.Chmod(filepath.Join(dir, "a"), 0o640))
	must(t, newFile(t, dir, nil).Set(t.Context(), secrets.Reference{Path: "a"}, secrets.NewSecret("y")))
	if info, err := os.Stat(filepath.Join(dir, "a")); err != nil || info.Mode() != 0o640 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// Without the lock, fields of one go under in what another has read before.
func TestWritersDoNotLoseEachOthersFields(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "..unfinished", "left over from a writer that was cut off")
	var all sync.WaitGroup
	const writers = 8
	for i := range writers {
		file := newFile(t, dir, nil) // as from different processes
		all.Go(func() {
			ref := secrets.Reference{Path: "doc", Field: fmt.Sprint(i)}
			for n := range 10 {
				if err := file.Set(t.Context(), ref, secrets.NewSecret(fmt.Sprint(n))); err != nil {
					t.Errorf("writer %d: %v", i, err)
				}
			}
		})
	}
	all.Wait()
	for i := range writers {
		got, err := secrets.Get(t.Context(), newFile(t, dir, nil), secrets.Reference{Path: "doc", Field: fmt.Sprint(i)})
		if err != nil || got.Reveal() != "9" {
			t.Errorf("field %d is %q, %v; want its last value", i, got.Reveal(), err)
		}
	}
}

func TestFileSetRefuses(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	dir := filepath.Join(top, "secrets")
	write(t, top, "outside", "x")
	write(t, dir, "file", "x")
	write(t, dir, "folder/x", "x")
	must(t, os.Symlink("../outside", filepath.Join(dir, "out")))
	must(t, os.Symlink("..", filepath.Join(dir, "above")))
	must(t, os.Symlink("file", filepath.Join(dir, "link")))
	file := newFile(t, dir, nil)
	for path, want := range map[string]struct {
		kind error
		says string
	}{
		"":                        {secrets.ErrInvalid, "empty"},
		"../outside":              {secrets.ErrInvalid, "two dots"},
		"a/../../outside":         {secrets.ErrInvalid, "plain"},
		"/etc/x":                  {secrets.ErrInvalid, "plain"},
		"a//b":                    {secrets.ErrInvalid, "plain"},
		"a/":                      {secrets.ErrInvalid, "plain"},
		"a\x00b":                  {secrets.ErrInvalid, "printed"},
		"a#b":                     {secrets.ErrInvalid, "#"},
		"..data/x":                {secrets.ErrInvalid, "two dots"},
		"a/..b":                   {secrets.ErrInvalid, "two dots"},
		"folder":                  {secrets.ErrInvalid, "it is a folder"},
		"file/below":              {secrets.ErrInvalid, "is a file"},
		"file/far/below":          {secrets.ErrInvalid, "is a file"},
		"link":                    {secrets.ErrReadOnly, "symbolic link"},
		"out":                     {secrets.ErrReadOnly, "symbolic link"},
		"above/outside":           {secrets.ErrInvalid, "escapes"},
		strings.Repeat("a", 300):  {secrets.ErrInvalid, "too long"},
		strings.Repeat("a", 1025): {secrets.ErrInvalid, "longer"},
	} {
		err := file.Set(t.Context(), secrets.Reference{Path: path}, secrets.NewSecret(canary))
		if !errors.Is(err, want.kind) || !strings.Contains(err.Error(), want.says) {
			t.Errorf("%q: %v; want %v that says %q", path, err, want.kind, want.says)
		}
		assertClean(t, "error", fmt.Sprint(err))
	}
	for what, c := range map[string]struct {
		value string
		kind  error
	}{"empty": {"", secrets.ErrEmpty}, "too large": {strings.Repeat("x", 1<<20+1), secrets.ErrInvalid}} {
		if err := file.Set(t.Context(), secrets.Reference{Path: "a"}, secrets.NewSecret(c.value)); !errors.Is(err, c.kind) {
			t.Errorf("%s: %v, want %v", what, err, c.kind)
		}
	}
	if got, err := os.ReadFile(filepath.Join(top, "outside")); err != nil || string(got) != "x" {
		t.Errorf("a file outside was changed: %q, %v", got, err)
	}
	late := newFile(t, filepath.Join(top, "late"), nil)
	if err := late.Set(t.Context(), secrets.Reference{Path: "a"}, secrets.NewSecret("x")); !errors.Is(err, secrets.ErrUnavailable) {
		t.Errorf("no folder yet: %v, want ErrUnavailable", err)
	}
}

func TestFileSetInAReadOnlyFolderSaysSo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "a", "x")
	must(t, os.Chmod(dir, 0o555))
	must(t, os.Chmod(filepath.Dir(dir), 0o755))
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
	file := newFile(t, dir, nil)
	peertest.Unprivileged(t, func() {
		for _, path := range []string{"new", "new/below"} {
			err := file.Set(t.Context(), secrets.Reference{Path: path}, secrets.NewSecret(canary))
			if !errors.Is(err, secrets.ErrReadOnly) || !strings.Contains(err.Error(), "may not write in "+dir) {
				t.Errorf("%s: %v, want ErrReadOnly that names the folder", path, err)
			}
		}
	})
}

func TestFileSetOfOneWhoHasLeftDoesNothing(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	file := newFile(t, t.TempDir(), nil)
	if err := file.Set(ctx, secrets.Reference{Path: "a"}, secrets.NewSecret("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
}

func TestFileListsWhatItReads(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	dir := filepath.Join(top, "secrets")
	write(t, top, "outside", "x")
	write(t, top, "folder/outside", "x")
	write(t, dir, "..2026_01/password", "x") // as Kubernetes lays it out
	write(t, dir, "..2026_01/db/user", "x")
	must(t, os.Symlink("..2026_01", filepath.Join(dir, "..data")))
	must(t, os.Symlink("..data/password", filepath.Join(dir, "password")))
	must(t, os.Symlink("..data/db", filepath.Join(dir, "db")))
	write(t, dir, "a/b/c", "x")
	write(t, dir, "a/b.txt", "")
	write(t, dir, ".hidden", "x")
	write(t, dir, "a/..unfinished", "x")
	write(t, dir, "no#reference", "x")
	write(t, dir, "not\nprinted", "x")
	must(t, os.Symlink("../outside", filepath.Join(dir, "out")))
	must(t, os.Symlink("../folder", filepath.Join(dir, "outfolder")))
	must(t, os.Symlink(".", filepath.Join(dir, "again")))
	must(t, os.Symlink("nowhere", filepath.Join(dir, "dangling")))
	must(t, os.Symlink("loop", filepath.Join(dir, "loop")))
	file := newFile(t, dir, nil)
	for pattern, want := range map[string]string{
		"":      "[.hidden a/b.txt a/b/c db/user password]",
		"a/*":   "[a/b.txt a/b/c]",
		"*/c":   "[a/b/c]",
		"a/b/c": "[a/b/c]",
		"none*": "[]",
	} {
		if got, err := file.List(t.Context(), pattern); err != nil || fmt.Sprint(got) != want {
			t.Errorf("%q lists %v, %v; want %s", pattern, got, err, want)
		}
	}
	if _, err := newFile(t, filepath.Join(top, "late"), nil).List(t.Context(), ""); !errors.Is(err, secrets.ErrUnavailable) {
		t.Errorf("no folder yet: %v, want ErrUnavailable", err)
	}
}

func TestFileListIsBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range 10_001 {
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600))
	}
	file := newFile(t, dir, nil)
	if _, err := file.List(t.Context(), ""); !errors.Is(err, secrets.ErrInvalid) || !strings.Contains(err.Error(), "narrower pattern") {
		t.Errorf("%v, want ErrInvalid that says what to do", err)
	}
	if got, err := file.List(t.Context(), "1000*"); err != nil || !slices.Equal(got, []string{"1000", "10000"}) {
		t.Errorf("%v, %v", got, err)
	}
}

// Twenty folders that link to each other make a tree without end.
func TestFileListOfLinksWithoutEndEnds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range 20 {
		name := filepath.Join(dir, fmt.Sprint(i))
		must(t, os.Mkdir(name, 0o700))
		for j := range 20 {
			must(t, os.Symlink("../"+fmt.Sprint(j), filepath.Join(name, fmt.Sprint(j))))
		}
	}
	if _, err := newFile(t, dir, nil).List(t.Context(), ""); !errors.Is(err, secrets.ErrInvalid) {
		t.Errorf("%v, want ErrInvalid", err)
	}
}
