package secrets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// maxLooks bounds the files and folders that one list looks at.
const maxLooks = 3 * maxNames

// List returns the paths of the files that the pattern fits. What begins with
// two dots is left out, for so Kubernetes names the versions behind its links;
// so are folders that may not be read, which the log tells of.
func (f *File) List(ctx context.Context, pattern string) ([]string, error) {
	root, err := f.open()
	if err != nil {
		return nil, fmt.Errorf("file: list: %w", err)
	}
	defer root.Close()
	l := lister{ctx: ctx, file: f, root: root, pattern: pattern}
	if err = l.folder(".", nil); err == nil {
		l.found, err = names(l.found)
	}
	if err != nil {
		return nil, fmt.Errorf("file: list: %w", err)
	}
	return l.found, nil
}

// lister walks a folder. Links are followed, unlike by fs.WalkDir.
type lister struct {
	ctx     context.Context
	file    *File
	root    *os.Root
	pattern string
	looks   int
	found   []string
}

// folder lists what is in dir, of which above are the folders it is in.
func (l *lister) folder(dir string, above []fs.FileInfo) error {
	open, err := l.root.Open(dir)
	if err != nil {
		return l.unreadable(dir, err)
	}
	defer open.Close()
	info, err := open.Stat()
	if err != nil {
		return l.unreadable(dir, err)
	}
	for _, other := range above {
		if os.SameFile(info, other) { // a link that leads back
			return nil
		}
	}
	above = append(above[:len(above):len(above)], info)
	for {
		entries, err := open.ReadDir(1000)
		for _, entry := range entries {
			if err := l.entry(path.Join(dir, entry.Name()), entry.Type(), above); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return l.unreadable(dir, err)
		}
	}
}

func (l *lister) entry(name string, mode fs.FileMode, above []fs.FileInfo) error {
	if strings.HasPrefix(path.Base(name), "..") || faultOf(name) != "" {
		return nil
	}
	if l.looks++; l.looks > maxLooks {
		return fmt.Errorf("%w: more than %d files and folders", ErrInvalid, maxLooks)
	}
	if err := l.ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if mode&fs.ModeSymlink != 0 {
		info, err := l.root.Stat(name)
		if err != nil { // gone, or it leads nowhere or out of the folder: not readable either
			return nil
		}
		mode = info.Mode()
	}
	switch {
	case mode.IsDir():
		return l.folder(name, above)
	case mode.IsRegular() && fits(l.pattern, name):
		if l.found = append(l.found, name); len(l.found) > maxNames {
			return errTooManyNames()
		}
	}
	return nil
}

// unreadable is the error of a folder, unless it is below the one to list.
func (l *lister) unreadable(dir string, err error) error {
	if dir == "." {
		return classify(err)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		l.file.log.Warn("folder left out: it cannot be read", "folder", dir, "error", err)
	}
	return nil
}
