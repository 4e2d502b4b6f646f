//go:build !(linux || darwin || freebsd || openbsd || netbsd || dragonfly)

package secrets

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"runtime"
)

func lock(context.Context, *os.Root) (unlock func(), err error) {
	return nil, fmt.Errorf("%w: folders cannot be locked on %s", ErrReadOnly, runtime.GOOS)
}

func keepOwner(*os.File, fs.FileInfo) {}
