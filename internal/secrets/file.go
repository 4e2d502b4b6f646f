package secrets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/sallyport/sallyport/internal/telemetry"
)

// maxFile bounds a secret's file, in bytes.
const maxFile = 1 << 20

// File keeps secrets in the files below a folder, such as the ones that Docker
// and Kubernetes mount. Nothing outside the folder is ever read or written:
// symbolic links are followed inside it only.
type File struct {
	dir string
	log *slog.Logger

	mu     sync.Mutex
	warned map[string]bool // paths that others can read, each told of once
}

// NewFile returns a File of the folder dir. It need not be there yet, since
// mounts may come late: while it is missing, reads give [ErrUnavailable].
func NewFile(dir string, log *slog.Logger) (*File, error) {
	if dir == "" || strings.ContainsRune(dir, 0) {
		return nil, fmt.Errorf("file: folder %q: %w: must be the path of a folder", dir, ErrInvalid)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("file: folder %s: %w", dir, err)
	}
	if info, err := os.Stat(abs); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("file: folder %s: %w: it is not a folder", dir, ErrInvalid)
	}
	log = telemetry.Discard(log)
	return &File{dir: abs, log: log, warned: make(map[string]bool)}, nil
}

// Name returns file.
func (f *File) Name() string { return "file" }

// Read returns the content of path's file without its last newline; its fields
// are the strings of the JSON object that it may be. A file of more than 1 MiB,
// or what is no plain file, is [ErrInvalid]; so is a field that is no string.
func (f *File) Read(ctx context.Context, path string) (Document, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("file: read %s: %w: %w", path, ErrUnavailable, err)
	}
	content, err := f.read(path)
	if err != nil {
		return nil, fmt.Errorf("file: read %s: %w", path, err)
	}
	return Text(f.Name(), path, NewSecret(cutNewline(string(content)))), nil
}

func (f *File) read(path string) ([]byte, error) {
	if !filepath.IsLocal(path) || strings.ContainsRune(path, 0) {
		return nil, fmt.Errorf("%w: the path leaves the folder", ErrInvalid)
	}
	root, err := f.open()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return f.readIn(root, path)
}

// open opens the folder, anew for each use: one mounted anew is another folder.
func (f *File) open() (*os.Root, error) {
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return nil, fmt.Errorf("%w: the folder cannot be opened: %w", ErrUnavailable, err)
	}
	return root, nil
}

func (f *File) readIn(root *os.Root, path string) ([]byte, error) {
	// Before it is opened, for opening a device may do something; and not to
	// block, for the file may since have become a FIFO without a writer.
	info, err := root.Stat(path)
	if err != nil {
		return nil, classify(err)
	}
	if err := plain(info); err != nil {
		return nil, err
	}
	file, err := root.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, classify(err)
	}
	defer file.Close()
	if info, err = file.Stat(); err != nil {
		return nil, classify(err)
	}
	if err := plain(info); err != nil {
		return nil, err
	}
	f.warnOfOthers(path, info.Mode())
	content, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	switch {
	case err != nil:
		return nil, classify(err)
	case len(content) > maxFile:
		return nil, tooLarge()
	}
	return content, nil
}

// plain refuses what is no plain file of a bearable size.
func plain(info fs.FileInfo) error {
	switch {
	case info.IsDir():
		return fmt.Errorf("%w: it is a folder", ErrInvalid)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%w: it is a device, socket or FIFO, not a file", ErrInvalid)
	case info.Size() > maxFile:
		return tooLarge()
	}
	return nil
}

func tooLarge() error { return fmt.Errorf("%w: the file is larger than %d bytes", ErrInvalid, maxFile) }

// classify gives an error of the operating system its kind. Only a plain "there
// is no such file" is an answer; what may pass is an outage.
func classify(err error) error {
	var errno syscall.Errno
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: there is no such file", ErrNotFound)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", ErrDenied, err)
	case !errors.As(err, &errno): // package os's own: the path escapes from the folder
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	case errno == syscall.ELOOP, errno == syscall.ENAMETOOLONG, errno == syscall.EINVAL, errno == syscall.EISDIR, errno == syscall.ENXIO:
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

func (f *File) warnOfOthers(path string, mode fs.FileMode) {
	if mode.Perm()&0o006 == 0 {
		return
	}
	f.mu.Lock()
	told := f.warned[path]
	f.warned[path] = true
	f.mu.Unlock()
	if !told {
		f.log.Warn("secret file is open to every user of this machine", "reference", path, "mode", mode.Perm().String())
	}
}

func cutNewline(s string) string {
	if cut, ok := strings.CutSuffix(s, "\n"); ok {
		return strings.TrimSuffix(cut, "\r")
	}
	return s
}
