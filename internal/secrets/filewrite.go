package secrets

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
)

// unfinished is the name of a file that is being written, in the folder of the
// one it will be. There is one writer at a time, so one that is there already
// is left over from one that was cut off.
const unfinished = "..unfinished"

// Set writes value into ref's file, or into a field of the JSON object it holds,
// of which all else stays as it stands. Readers see the old file or the new one
// and nothing between. A new file is for its owner alone; one that is replaced
// hands on its owner and mode. A folder that may not be written in is
// [ErrReadOnly], a change by another meanwhile [ErrConflict].
func (f *File) Set(ctx context.Context, ref Reference, value Secret) error {
	if err := f.set(ctx, ref, value, nil); err != nil {
		return fmt.Errorf("file: set %s: %w", ref, err)
	}
	return nil
}

// Swap implements [Swapper]. Other programs that write are not kept out by its
// lock.
func (f *File) Swap(ctx context.Context, ref Reference, old, value Secret) error {
	if err := f.set(ctx, ref, value, &old); err != nil {
		return fmt.Errorf("file: swap %s: %w", ref, err)
	}
	return nil
}

func (f *File) set(ctx context.Context, ref Reference, value Secret, old *Secret) error {
	if err := writable(ref.Path); err != nil {
		return err
	}
	if value.Empty() {
		return ErrEmpty
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	root, err := f.open()
	if err != nil {
		return err
	}
	defer root.Close()
	unlock, err := lock(ctx, root)
	if err != nil {
		return err
	}
	defer unlock()

	before, err := standing(root, ref.Path)
	if err != nil {
		return err
	}
	if old != nil {
		current, err := f.current(root, ref, before != nil)
		if err != nil {
			return err
		}
		if err := expected(*old, current); err != nil {
			return err
		}
	}
	content, err := f.content(root, ref, value, before != nil)
	if err != nil {
		return err
	}
	if dir := path.Dir(ref.Path); dir != "." {
		if err := root.MkdirAll(dir, 0o700); err != nil {
			return f.refusal(err)
		}
	}
	return f.replace(root, ref.Path, content, before)
}

// writable refuses paths that no list would show.
func writable(name string) error {
	if fault := faultOf(name); fault != "" {
		return fmt.Errorf("%w: the path %s", ErrInvalid, fault)
	}
	if path.Clean(name) != name || path.IsAbs(name) {
		return fmt.Errorf("%w: the path must be plain: no slash at its ends, no two in a row, no dot segments", ErrInvalid)
	}
	for segment := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(segment, "..") {
			return fmt.Errorf("%w: names that begin with two dots are not for secrets", ErrInvalid)
		}
	}
	return nil
}

// standing looks at what stands at name: nil if nothing does.
func standing(root *os.Root, name string) (fs.FileInfo, error) {
	info, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return nil, nil
	case err != nil:
		return nil, classify(err)
	case info.Mode()&fs.ModeSymlink != 0:
		return nil, fmt.Errorf("%w: it is a symbolic link, which whoever made it would miss", ErrReadOnly)
	}
	return info, plain(info)
}

// current is the value that stands at ref, empty if there is none.
func (f *File) current(root *os.Root, ref Reference, exists bool) (Secret, error) {
	if !exists {
		return Secret{}, nil
	}
	text, err := f.readIn(root, ref.Path)
	if err != nil {
		return Secret{}, err
	}
	secret, err := Text("file", ref.Path, NewSecret(string(text))).Field(ref.Field)
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrEmpty) {
		return Secret{}, nil
	}
	return secret, err
}

// content is what the file is to hold.
func (f *File) content(root *os.Root, ref Reference, value Secret, exists bool) ([]byte, error) {
	content := []byte(value.Reveal())
	if ref.Field != "" {
		object := []byte("{}\n")
		if exists {
			var err error
			if object, err = f.readIn(root, ref.Path); err != nil {
				return nil, err
			}
		}
		var err error
		if content, err = withField(object, ref.Field, value); err != nil {
			return nil, err
		}
	} else if content[len(content)-1] == '\n' { // one is cut when it is read
		content = append(content, '\n')
	}
	if len(content) > maxFile {
		return nil, tooLarge()
	}
	return content, nil
}

// replace puts content in the place of the file that before tells of.
func (f *File) replace(root *os.Root, name string, content []byte, before fs.FileInfo) (err error) {
	temporary := path.Join(path.Dir(name), unfinished)
	if err := root.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return f.refusal(err)
	}
	file, err := root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return f.refusal(err)
	}
	defer func() {
		_ = file.Close() // a second time, if all went well
		if err != nil {
			_ = root.Remove(temporary)
		}
	}()
	if before != nil {
		keepOwner(file, before)
	}
	if _, err := file.Write(content); err != nil {
		return f.refusal(err)
	}
	if err := file.Sync(); err != nil {
		return f.refusal(err)
	}
	if err := file.Close(); err != nil {
		return f.refusal(err)
	}
	// Editors and other tools know of no lock.
	now, err := standing(root, name)
	if err != nil {
		return err
	}
	if !same(before, now) {
		return ErrConflict
	}
	if err := root.Rename(temporary, name); err != nil {
		return f.refusal(err)
	}
	syncFolder(root, path.Dir(name))
	return nil
}

// same reports whether a file, or none, is what it was.
func same(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// syncFolder makes a rename last. Not every file system can; the file is in its
// place all the same.
func syncFolder(root *os.Root, dir string) {
	if folder, err := root.Open(dir); err == nil {
		_ = folder.Sync()
		_ = folder.Close()
	}
}

// refusal gives an error of a write its kind, and tells the operator what to do.
func (f *File) refusal(err error) error {
	switch {
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: %s is mounted read-only: set the secret where the mount comes from", ErrReadOnly, f.dir)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: this user may not write in %s", ErrReadOnly, f.dir)
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%w: what should be a folder on the way is a file", ErrInvalid)
	}
	return classify(err)
}
