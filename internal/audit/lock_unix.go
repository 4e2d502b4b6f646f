//go:build unix

package audit

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// appending opens a log for writing. A pipe that nobody reads must not hang the
// start: without a reader it cannot be opened.
const appending = os.O_WRONLY | os.O_APPEND | os.O_CREATE | syscall.O_NONBLOCK

// lock keeps other gateways off the log: two would break each other's chain.
func lock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrInUse
	}
	if err != nil {
		return fmt.Errorf("audit: lock %s: %w", f.Name(), err)
	}
	return nil
}
