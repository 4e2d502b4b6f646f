//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// openTerminal returns the two ends of a terminal: what a person has, and what a
// program has.
func openTerminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		noTerminal(t, err)
	}
	t.Cleanup(func() { _ = person.Close() })
	var number, unlocked int32
	for call, arg := range map[uintptr]*int32{syscall.TIOCGPTN: &number, syscall.TIOCSPTLCK: &unlocked} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, person.Fd(), call, uintptr(unsafe.Pointer(arg))); errno != 0 {
			noTerminal(t, errno)
		}
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		noTerminal(t, err)
	}
	t.Cleanup(func() { _ = program.Close() })
	return person, program
}

// noTerminal skips, but not where every test must run.
func noTerminal(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("REQUIRE_PEERS") == "1" {
		t.Fatalf("PEER MISSING: no pseudo-terminal to be had: %v", err)
	}
	t.Skipf("PEER MISSING: no pseudo-terminal to be had: %v", err)
}

// echoes reports whether the terminal shows what is typed.
func echoes(t *testing.T, terminal *os.File) bool {
	t.Helper()
	var mode syscall.Termios
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, terminal.Fd(), syscall.TCGETS, uintptr(unsafe.Pointer(&mode))); errno != 0 {
		t.Fatal(errno)
	}
	return mode.Lflag&syscall.ECHO != 0
}

func awaitNoEcho(t *testing.T, terminal *os.File) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); echoes(t, terminal); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the terminal goes on to echo")
		}
	}
}

func TestPromptHasNoEcho(t *testing.T) {
	t.Parallel()
	person, program := openTerminal(t)
	folder := t.TempDir()
	config := fileConfig(t, folder)
	var out, errs bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(t.Context(), []string{"secrets", "set", "a", "-c", config}, streams{program, &out, &errs})
	}()
	awaitNoEcho(t, program)
	if _, err := person.WriteString(canary + "\n"); err != nil {
		t.Fatal(err)
	}
	if status := <-ended; status != 0 || !strings.Contains(errs.String(), "Value of a: ") {
		t.Fatalf("status %d: %s", status, &errs)
	}
	if got, err := os.ReadFile(filepath.Join(folder, "a")); err != nil || string(got) != canary {
		t.Errorf("stored %q, %v", got, err)
	}
	if !echoes(t, program) {
		t.Error("the terminal is left without echo")
	}
	if _, err := program.WriteString("end"); err != nil {
		t.Fatal(err)
	}
	shown := make([]byte, 1000)
	n, err := person.Read(shown)
	if err != nil || strings.Contains(string(shown[:n]), "canary") {
		t.Errorf("the terminal shows %q, %v", shown[:n], err)
	}
}

func TestInterruptedPromptGivesTheTerminalItsEchoBack(t *testing.T) {
	t.Parallel()
	_, program := openTerminal(t)
	config := fileConfig(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	var out, errs bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"secrets", "set", "a", "-", "-c", config}, streams{program, &out, &errs})
	}()
	awaitNoEcho(t, program)
	cancel()
	if status := <-ended; status != 1 || !strings.Contains(errs.String(), "interrupted") {
		t.Errorf("status %d: %s", status, &errs)
	}
	if !echoes(t, program) {
		t.Error("the terminal is left without echo")
	}
}
