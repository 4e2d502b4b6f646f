//go:build linux || darwin || freebsd || openbsd || netbsd || dragonfly

package secrets

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// lockWait bounds the wait for another writer, who has a file to write and no
// more.
const lockWait = 3 * time.Second

// lock keeps other writers out of the folder. The lock is on the folder itself:
// it leaves no file behind, and ends with the process.
func lock(ctx context.Context, root *os.Root) (unlock func(), err error) {
	dir, err := root.Open(".")
	if err != nil {
		return nil, classify(err)
	}
	unlock = func() { _ = dir.Close() }
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	for {
		err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return unlock, nil
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			unlock()
			return nil, fmt.Errorf("%w: the folder cannot be locked: %w", ErrUnavailable, err)
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			unlock()
			return nil, fmt.Errorf("%w: another writer has the folder", ErrConflict)
		}
	}
}

// keepOwner gives file the owner and the mode of the one it replaces, where this
// user may; else it stays its own and private.
func keepOwner(file *os.File, replaced fs.FileInfo) {
	owner, ok := replaced.Sys().(*syscall.Stat_t)
	if ok && file.Chown(int(owner.Uid), int(owner.Gid)) == nil {
		_ = file.Chmod(replaced.Mode().Perm())
	}
}
