//go:build linux

package peertest

import (
	"os"
	"runtime"
	"syscall"
	"testing"
)

// nobody owns no file.
const nobody = 65534

// Unprivileged runs do as a user whom file modes bind, also where the tests run
// as root: on a thread of its own that opens files as nobody (setfsuid(2)),
// which ends with it.
func Unprivileged(t testing.TB, do func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		do()
		return
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := syscall.Setfsuid(nobody)
		if err == nil {
			do()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
