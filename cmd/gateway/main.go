// Command gateway is an HTTP reverse-proxy auth gateway.
//
// main calls run, and run picks the command. Each command has a file of its
// own.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/config"
)

// Exit statuses (CONTRACT 2).
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// failure is an error of a command that was used rightly.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// usage is an error that has its own exit status 2.
type usage struct{ error }

// run runs the command that args name and returns the exit status.
func run(ctx context.Context, args []string, std streams) int {
	root := newRoot(std)
	root.SetArgs(args)
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	c, err := root.ExecuteContextC(ctx)
	var failed failure
	var wrong usage
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &wrong):
		fmt.Fprintln(std.err, "gateway:", strings.TrimSpace(wrong.Error()))
		return exitUsage
	case errors.As(err, new(config.Errors)), errors.As(err, new(config.Error)):
		fmt.Fprintln(std.err, err) // each line begins with its place in the file
		return exitFailure
	case errors.As(err, &failed):
		fmt.Fprintln(std.err, "gateway:", strings.TrimSpace(failed.Error()))
		return exitFailure
	}
	fmt.Fprintf(std.err, "gateway: %s\nSee %s --help.\n", strings.TrimSpace(err.Error()), c.CommandPath())
	return exitUsage
}

func newRoot(std streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "gateway",
		Short: "An HTTP reverse-proxy auth gateway",
		Long: `Sallyport stands in front of an API that cannot be changed. It checks who calls
and what they may do, takes the caller's credential away, and puts in the one
the API wants.`,
		Example:       "  gateway demo\n  gateway run -c gateway.yaml",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(newRun(std), newValidate(std), newDemo(std), newVersion(std), newHealthcheck(std), newSchema(std), newSecrets(std), newEncrypt(std), newDecrypt(std), newRewrap(std), newKeyring(std), newAudit(std), newGenerate(std), newToken(std), newPassword(std))
	root.AddCommand(newExplain(std), newTest(std))
	root.Version = buildVersion().Version // for --version
	root.SetVersionTemplate(versionLine())
	nameArguments(root)
	return root
}

// configFlag adds -c/--config.
func configFlag(c *cobra.Command, file *string) {
	c.Flags().StringVarP(file, "config", "c", "gateway.yaml", "configuration file")
}

// command wraps do so that what it returns counts as a failure, not as wrong
// usage.
func command(do func(c *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		err := do(c, args)
		if err == nil || errors.As(err, new(usage)) {
			return err
		}
		return failure{err}
	}
}
