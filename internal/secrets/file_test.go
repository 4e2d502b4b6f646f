package secrets_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sallyport/sallyport/internal/peertest"
	"github.com/sallyport/sallyport/internal/secrets"
)

// write puts content into a file below dir, all at once as mounts do.
func write(t *testing.T, dir, path, content string) {
	t.Helper()
	name := filepath.Join(dir, path)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name+".new", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newFile(t *testing.T, dir string, log *slog.Logger) *secrets.File {
	t.Helper()
	file, err := secrets.NewFile(dir, log)
	must(t, err)
	return file
}

// Case secrets-08.
func TestFileCutsOneNewline(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := newFile(t, dir, nil)
	for content, want := range map[string]string{
		"value":               "value",
		"value\n":             "value",
		"value\r\n":           "value",
		"value\n\n":           "value\n",
		"value\r":             "value\r",
		"value\r\r\n":         "value\r",
		" value \n":           " value ",
		"a\nb\n":              "a\nb",
		"\ufeffvalue\n":       "\ufeffvalue",
		"\x00\x01\xff":        "\x00\x01\xff",
		"\n\n":                "\n",
		`{"user":"x"}` + "\n": `{"user":"x"}`,
	} {
		write(t, dir, "a/b", content)
		got, err := secrets.Get(t.Context(), file, secrets.Reference{Path: "a/b"})
		if err != nil || got.Reveal() != want {
			t.Errorf("%q reads as %q, %v; want %q", content, got.Reveal(), err, want)
		}
	}
}

func TestFileFieldIsAStringOfAJSONObject(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := newFile(t, dir, nil)
	for name, c := range map[string]struct {
		content, want string
		err           error
	}{
		"there":               {`{"other": {"user": 1}, "user": "x\ny\n"}` + "\n", "x\ny\n", nil},
		"another case":        {`{"User":"canary-5f2b9c"}`, "", secrets.ErrNotFound},
		"not there":           {`{}`, "", secrets.ErrNotFound},
		"only further down":   {`{"a":{"user":"canary-5f2b9c"}}`, "", secrets.ErrNotFound},
		"empty":               {`{"user":""}`, "", secrets.ErrEmpty},
		"a number":            {`{"user":4711}`, "", secrets.ErrInvalid},
		"a bool":              {`{"user":true}`, "", secrets.ErrInvalid},
		"null":                {`{"user":null}`, "", secrets.ErrInvalid},
		"an object":           {`{"user":{"a":"canary-5f2b9c"}}`, "", secrets.ErrInvalid},
		"a list":              {`{"user":["canary-5f2b9c"]}`, "", secrets.ErrInvalid},
		"twice":               {`{"user":"canary-5f2b9c","user":"b"}`, "", secrets.ErrInvalid},
		"twice, escaped":      {`{"user":"canary-5f2b9c","\u0075ser":"b"}`, "", secrets.ErrInvalid},
		"another name twice":  {`{"canary-5f2b9c":1,"canary-5f2b9c":2,"user":"x"}`, "", secrets.ErrInvalid},
		"not UTF-8":           {"{\"user\":\"canary-5f2b9c\xff\"}", "", secrets.ErrInvalid},
		"a byte order mark":   {"\ufeff" + `{"user":"x"}`, "", secrets.ErrInvalid},
		"something behind it": {`{"user":"canary-5f2b9c"} {}`, "", secrets.ErrInvalid},
		"cut short":           {`{"user":"canary-5f2b9c"`, "", secrets.ErrInvalid},
		"a list of objects":   {`[{"user":"canary-5f2b9c"}]`, "", secrets.ErrInvalid},
		"no JSON":             {canary, "", secrets.ErrInvalid},
		"no content":          {"", "", secrets.ErrInvalid},
		"too deep":            {`{"a":` + strings.Repeat("[", 100_000), "", secrets.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			write(t, dir, "doc", c.content)
			got, err := secrets.Get(t.Context(), file, secrets.Reference{Path: "doc", Field: "user"})
			if !errors.Is(err, c.err) || got.Reveal() != c.want {
				t.Fatalf("%q, %v; want %q, %v", got.Reveal(), err, c.want, c.err)
			}
			if err != nil {
				assertClean(t, "error", err.Error())
			}
		})
	}
}

// The folder is laid out as Kubernetes does it, with links and a folder that
// changes; what is next to it must stay out of reach.
func TestFileStaysInItsFolder(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	dir := filepath.Join(top, "secrets")
	write(t, top, "outside", canary)
	write(t, dir, "..2026_01/password", "first")
	write(t, dir, "..2026_02/password", "second")
	must(t, os.Symlink("..2026_01", filepath.Join(dir, "..data")))
	must(t, os.Symlink("..data/password", filepath.Join(dir, "password")))
	must(t, os.Symlink("../outside", filepath.Join(dir, "relative")))
	must(t, os.Symlink(filepath.Join(top, "outside"), filepath.Join(dir, "absolute")))
	must(t, os.Symlink(top, filepath.Join(dir, "above")))
	must(t, os.Symlink("loop", filepath.Join(dir, "loop")))
	must(t, os.Symlink("nowhere", filepath.Join(dir, "dangling")))
	file := newFile(t, dir, nil)

	if got, err := secrets.Get(t.Context(), file, secrets.Reference{Path: "password"}); err != nil || got.Reveal() != "first" {
		t.Errorf("through links inside: %q, %v", got.Reveal(), err)
	}
	must(t, os.Symlink("..2026_02", filepath.Join(dir, "..data_tmp")))
	must(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	if got, err := secrets.Get(t.Context(), file, secrets.Reference{Path: "password"}); err != nil || got.Reveal() != "second" {
		t.Errorf("after the switch: %q, %v", got.Reveal(), err)
	}
	for path, want := range map[string]error{
		"../outside":                  secrets.ErrInvalid,
		"password/../../outside":      secrets.ErrInvalid,
		filepath.Join(top, "outside"): secrets.ErrInvalid,
		"relative":                    secrets.ErrInvalid,
		"absolute":                    secrets.ErrInvalid,
		"above/outside":               secrets.ErrInvalid,
		"loop":                        secrets.ErrInvalid,
		"password\x00/x":              secrets.ErrInvalid,
		"":                            secrets.ErrInvalid,
		".":                           secrets.ErrInvalid,
		"..data":                      secrets.ErrInvalid, // a folder
		strings.Repeat("a", 300):      secrets.ErrInvalid,
		"dangling":                    secrets.ErrNotFound,
		"missing":                     secrets.ErrNotFound,
		"missing/below":               secrets.ErrNotFound,
		"password/below":              secrets.ErrNotFound,
	} {
		got, err := secrets.Get(t.Context(), file, secrets.Reference{Path: path})
		if !errors.Is(err, want) || !got.Empty() {
			t.Errorf("%q: %q, %v; want %v", path, got.Reveal(), err, want)
		}
	}
}

// Case secrets-09.
func TestFileRefusesWhatIsNoPlainFile(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "s") // short, for the socket
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(t, syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600)) // without a writer, to open it would block
	socket, err := net.Listen("unix", filepath.Join(dir, "socket"))
	must(t, err)
	t.Cleanup(func() { _ = socket.Close() })
	must(t, os.Mkdir(filepath.Join(dir, "folder"), 0o700))
	write(t, dir, "large", strings.Repeat("x", 1<<20+1))
	write(t, dir, "empty", "")
	write(t, dir, "newline", "\r\n")
	write(t, dir, "full", strings.Repeat("x", 1<<20))
	file := newFile(t, dir, nil)
	for path, want := range map[string]struct {
		kind error
		says string
	}{
		"fifo":    {secrets.ErrInvalid, "FIFO"},
		"socket":  {secrets.ErrInvalid, "socket"},
		"folder":  {secrets.ErrInvalid, "it is a folder"},
		"large":   {secrets.ErrInvalid, "larger than 1048576 bytes"},
		"empty":   {secrets.ErrEmpty, "empty"},
		"newline": {secrets.ErrEmpty, "empty"},
	} {
		_, err := secrets.Get(t.Context(), file, secrets.Reference{Path: path})
		if !errors.Is(err, want.kind) || !strings.Contains(err.Error(), want.says) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v; want %v that says %q", path, err, want.kind, want.says)
		}
	}
	if _, err := secrets.Get(t.Context(), file, secrets.Reference{Path: "full"}); err != nil {
		t.Errorf("1 MiB: %v", err)
	}
}

func TestFileThatMayNotBeReadIsDenied(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.Chmod(filepath.Dir(dir), 0o711))
	write(t, dir, "a", "x")
	must(t, os.Chmod(filepath.Join(dir, "a"), 0))
	file := newFile(t, dir, nil)
	peertest.Unprivileged(t, func() {
		if _, err := secrets.Get(t.Context(), file, secrets.Reference{Path: "a"}); !errors.Is(err, secrets.ErrDenied) {
			t.Errorf("%v, want ErrDenied", err)
		}
	})
}

func TestFileOpenToOthersIsWarnedOfOnceAndRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "private", canary)
	write(t, dir, "open", canary)
	must(t, os.Chmod(filepath.Join(dir, "open"), 0o644))
	var out bytes.Buffer
	file := newFile(t, dir, slog.New(slog.NewTextHandler(&out, nil)))
	for range 3 {
		for _, path := range []string{"open", "private"} {
			if _, err := secrets.Get(t.Context(), file, secrets.Reference{Path: path}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if lines := strings.Count(out.String(), "\n"); lines != 1 || !strings.Contains(out.String(), "reference=open mode=-rw-r--r--") {
		t.Errorf("want one warning, of open alone; got:\n%s", &out)
	}
	assertClean(t, "log", out.String())
}

func TestFileFolderMayComeLate(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "late")
	file := newFile(t, dir, nil)
	if _, err := secrets.Get(t.Context(), file, secrets.Reference{Path: "a"}); !errors.Is(err, secrets.ErrUnavailable) {
		t.Errorf("before: %v, want ErrUnavailable", err)
	}
	write(t, dir, "a", "x")
	if _, err := secrets.Get(t.Context(), file, secrets.Reference{Path: "a"}); err != nil {
		t.Errorf("after: %v", err)
	}
}

func TestFileFolderMustBeAFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "a", "x")
	for _, path := range []string{"", "a\x00b", filepath.Join(dir, "a")} {
		if _, err := secrets.NewFile(path, nil); !errors.Is(err, secrets.ErrInvalid) {
			t.Errorf("%q: %v, want ErrInvalid", path, err)
		}
	}
}
