package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/sallyport/sallyport/internal/secrets"
)

// maxInput bounds a secret that is read from stdin, in bytes.
const maxInput = 1 << 20

// newValue is the value to store: the argument, if it is not -, else what stdin
// or a prompt gives.
func newValue(ctx context.Context, std streams, ref secrets.Reference, arg []string) (secrets.Secret, error) {
	if len(arg) == 1 && arg[0] != "-" {
		fmt.Fprintln(std.err, "warning: a value on the command line stands in the shell's history; leave it out, or write - and give it by stdin")
		return given(arg[0])
	}
	text, err := readSecret(ctx, std, fmt.Sprintf("Value of %s: ", ref))
	if err != nil {
		return secrets.Secret{}, err
	}
	return given(text)
}

func given(text string) (secrets.Secret, error) {
	if text == "" {
		return secrets.Secret{}, errors.New("the value is empty; nothing is stored")
	}
	return secrets.NewSecret(text), nil
}

// readSecret reads stdin to its end and cuts one newline, or asks without echo
// where it is a terminal.
func readSecret(ctx context.Context, std streams, prompt string) (string, error) {
	terminal, ok := std.in.(*os.File)
	if ok && term.IsTerminal(int(terminal.Fd())) {
		return ask(ctx, terminal, std.err, prompt)
	}
	text, err := orEnd(ctx, func() (string, error) {
		text, err := io.ReadAll(io.LimitReader(std.in, maxInput+3))
		return string(text), err
	})
	if err != nil {
		return "", fmt.Errorf("stdin: %w", err)
	}
	if cut, ok := strings.CutSuffix(text, "\n"); ok {
		text = strings.TrimSuffix(cut, "\r")
	}
	if len(text) > maxInput {
		return "", fmt.Errorf("stdin: more than %d bytes", maxInput)
	}
	return text, nil
}

// ask reads a line from a terminal, which has its echo back when ask is over.
func ask(ctx context.Context, terminal *os.File, out io.Writer, prompt string) (string, error) {
	fd := int(terminal.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("terminal: %w", err)
	}
	defer func() {
		_ = term.Restore(fd, before)
		fmt.Fprintln(out)
	}()
	fmt.Fprint(out, prompt)
	line, err := orEnd(ctx, func() (string, error) {
		line, err := term.ReadPassword(fd)
		return string(line), err
	})
	if err != nil {
		return "", fmt.Errorf("prompt: %w", err)
	}
	return line, nil
}

// orEnd returns what read does, or that it was interrupted, for a read of a
// terminal or a pipe heeds no context.
func orEnd(ctx context.Context, read func() (string, error)) (string, error) {
	type result struct {
		text string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		text, err := read()
		done <- result{text, err}
	}()
	select {
	case r := <-done:
		return r.text, r.err
	case <-ctx.Done():
		return "", errors.New("interrupted")
	}
}
