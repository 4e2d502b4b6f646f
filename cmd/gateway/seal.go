package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sallyport/sallyport/internal/crypto"
)

// Bounds of what encrypt, decrypt and rewrap read, in bytes.
const (
	maxSealed = 64 << 20 // as a whole
	maxLine   = 4 << 20  // with --lines
)

// sealFlags are those of encrypt, decrypt and rewrap.
type sealFlags struct {
	file, keyring, context string
	maxAge                 time.Duration
	lines                  bool
}

// sealing does one plaintext or ciphertext with a keyring.
type sealing func(k *crypto.Keyring, f *sealFlags, in []byte) ([]byte, error)

func newEncrypt(std streams) *cobra.Command {
	return sealCommand(std, "encrypt", "Encrypt with a keyring", `Encrypt stdin, or FILE, with the newest key of a keyring, and print the ciphertext
and a newline. With --lines each line is encrypted on its own, as a database
column is: line n of the output is that of line n of the input.`,
		func(k *crypto.Keyring, f *sealFlags, in []byte) ([]byte, error) {
			ciphertext, _, err := k.Encrypt(in, []byte(f.context))
			return []byte(ciphertext), err
		})
}

func newDecrypt(std streams) *cobra.Command {
	c := sealCommand(std, "decrypt", "Decrypt with a keyring", `Decrypt the ciphertext on stdin, or in FILE, and print the plaintext as it stands.
With --lines each line is decrypted on its own. The first that cannot be ends
the command, with its number.`,
		func(k *crypto.Keyring, f *sealFlags, in []byte) ([]byte, error) {
			plaintext, _, err := k.Decrypt(string(in), crypto.DecryptOptions{Context: []byte(f.context), MaxAge: f.maxAge})
			if err == nil && f.lines && bytes.ContainsAny(plaintext, "\r\n") {
				return nil, errors.New("the plaintext has a line break; decrypt it without --lines")
			}
			return plaintext, err
		})
	return c
}

func newRewrap(std streams) *cobra.Command {
	return sealCommand(std, "rewrap", "Encrypt anew under the newest key", `Read ciphertexts and print them encrypted anew under the newest key of the keyring.
The plaintext is not shown. With --lines each line is a ciphertext.`,
		func(k *crypto.Keyring, f *sealFlags, in []byte) ([]byte, error) {
			ciphertext, _, err := k.Rewrap(string(in), []byte(f.context))
			return []byte(ciphertext), err
		})
}

func sealCommand(std streams, name, short, long string, do sealing) *cobra.Command {
	f := new(sealFlags)
	c := &cobra.Command{
		Use:     name + " --keyring NAME [FILE]",
		Short:   short,
		Long:    long,
		Example: fmt.Sprintf("  gateway %s --keyring pii < in > out\n  gateway %s --keyring pii --lines column.txt > out.txt", name, name),
		Args:    cobra.MaximumNArgs(1),
		RunE: command(func(c *cobra.Command, args []string) error {
			if f.keyring == "" {
				return usage{errors.New("--keyring is missing: name one of the configuration's keyrings")}
			}
			k, err := findKeyring(c, std, f.file, f.keyring)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(c.Context(), backendTimeout)
			defer cancel()
			ring, err := k.Open(ctx)
			if err != nil {
				return err
			}
			in, done, err := input(std, args)
			if err != nil {
				return err
			}
			defer done()
			if f.lines {
				return f.eachLine(c.Context(), in, std.out, ring, do)
			}
			return f.whole(name, in, std.out, ring, do)
		}),
	}
	configFlag(c, &f.file)
	c.Flags().StringVar(&f.keyring, "keyring", "", "keyring of the configuration")
	c.Flags().StringVar(&f.context, "context", "", "additional data that must be given again to decrypt; not for fernet")
	c.Flags().BoolVar(&f.lines, "lines", false, "line by line")
	if name == "decrypt" {
		c.Flags().DurationVar(&f.maxAge, "max-age", 0, "refuse Fernet tokens that are older, as 5m")
	}
	return c
}

// input is stdin, or the file named. Where a file is read and somebody looks on,
// a bar shows how far it is.
func input(std streams, args []string) (in io.Reader, done func(), err error) {
	if len(args) == 0 || args[0] == "-" {
		return std.in, func() {}, nil
	}
	file, err := os.Open(args[0])
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	terminal, ok := std.err.(*os.File)
	if err != nil || !ok || !info.Mode().IsRegular() || !term.IsTerminal(int(terminal.Fd())) {
		return file, func() { _ = file.Close() }, nil
	}
	bar := progressbar.NewOptions64(info.Size(),
		progressbar.OptionSetWriter(terminal), progressbar.OptionShowBytes(true), progressbar.OptionSetWidth(30),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	return io.TeeReader(file, bar), func() {
		_ = bar.Finish()
		_ = file.Close()
	}, nil
}

// whole does all of in at once. A ciphertext may end with a newline; so do those
// that are printed.
func (f *sealFlags) whole(name string, in io.Reader, out io.Writer, k *crypto.Keyring, do sealing) error {
	text, err := io.ReadAll(io.LimitReader(in, maxSealed+1))
	switch {
	case err != nil:
		return err
	case len(text) > maxSealed:
		return fmt.Errorf("more than %d MiB; cut it, or use --lines", maxSealed>>20)
	}
	if name != "encrypt" {
		text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	}
	result, err := do(k, f, text)
	if err != nil {
		return err
	}
	if name != "decrypt" {
		result = append(result, '\n')
	}
	_, err = out.Write(result)
	return err
}

// eachLine does in line by line. What was done before a line that fails is
// printed.
func (f *sealFlags) eachLine(ctx context.Context, in io.Reader, to io.Writer, k *crypto.Keyring, do sealing) (err error) {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	out := bufio.NewWriterSize(to, 256<<10)
	defer func() { err = errors.Join(err, out.Flush()) }()
	number := 0
	for lines.Scan() {
		number++
		if number%1024 == 0 && ctx.Err() != nil {
			return errors.New("interrupted")
		}
		result, err := do(k, f, lines.Bytes())
		if err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		if _, err := out.Write(result); err != nil {
			return err
		}
		if err := out.WriteByte('\n'); err != nil {
			return err
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("line %d has more than %d MiB", number+1, maxLine>>20)
	}
	return lines.Err()
}
