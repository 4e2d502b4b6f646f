package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/crypto"
)

func newPassword(std streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "password",
		Short: "Hash a password, or check one against a hash",
		Long: `Hash a password, or check one against a hash.

The password is asked for without echo, or read from stdin where that is no
terminal; one newline at its end is cut.`,
		Example: "  gateway password hash\n  gateway password verify '$pbkdf2-sha256$i=600000$…'",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newPasswordHash(std), newPasswordVerify(std))
	return c
}

func newPasswordHash(std streams) *cobra.Command {
	var o crypto.PasswordOptions
	var output string
	c := &cobra.Command{
		Use:   "hash",
		Short: "Print the hash of a password",
		Long: `Print the hash of a password that is asked for, or read from stdin.

It is PBKDF2-SHA256 with 600,000 iterations unless --algorithm and --iterations
say otherwise. With --output json: {"hash": …}.`,
		Example: "  gateway password hash\n  gateway password hash --algorithm argon2id < password.txt",
		Args:    cobra.NoArgs,
		RunE: command(func(c *cobra.Command, _ []string) error {
			if c.Flags().Changed("iterations") && o.Iterations == 0 {
				o.Iterations = -1 // zero is no wish for the default here
			}
			if err := textOrJSON(output); err != nil {
				return err
			}
			password, err := readSecret(c.Context(), std, "Password: ")
			if err != nil {
				return err
			}
			hash, err := crypto.HashPassword(password, o)
			if errors.Is(err, crypto.ErrCost) {
				return usage{err}
			}
			if err != nil {
				return err
			}
			if output == "json" {
				return printJSON(std, struct {
					Hash string `json:"hash"`
				}{hash})
			}
			_, err = fmt.Fprintln(std.out, hash)
			return err
		}),
	}
	outputFlag(c, &output)
	c.Flags().StringVar(&o.Algorithm, "algorithm", crypto.PBKDF2, "pbkdf2-sha256, argon2id, bcrypt or scrypt")
	c.Flags().IntVar(&o.Iterations, "iterations", 0, "of pbkdf2-sha256, 100000 to 10000000 (default 600000)")
	return c
}

func newPasswordVerify(std streams) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "verify HASH",
		Short: "Print whether a password is the one that was hashed",
		Long: `Print true if the password, asked for or read from stdin, is the one that was
hashed; else print false, and the exit status is 1.

HASH is one of PBKDF2-SHA256, argon2id, bcrypt or scrypt, or as passlib and
Django write PBKDF2. It has dollar signs: put it in single quotes.

With --output json: {"valid": …, "needs_rehash": …}.`,
		Example: "  gateway password verify '$pbkdf2-sha256$i=600000$…' < password.txt",
		Args:    cobra.ExactArgs(1),
		RunE: command(func(c *cobra.Command, args []string) error {
			if err := textOrJSON(output); err != nil {
				return err
			}
			hash, err := crypto.ParsePasswordHash(args[0])
			if err != nil {
				return err
			}
			password, err := readSecret(c.Context(), std, "Password: ")
			if err != nil {
				return err
			}
			valid, err := hash.Verify(password)
			if errors.Is(err, crypto.ErrPassword) {
				valid = false // no hash is of it
			} else if err != nil {
				return err
			}
			if output == "json" {
				err = printJSON(std, struct {
					Valid       bool `json:"valid"`
					NeedsRehash bool `json:"needs_rehash"`
				}{valid, hash.NeedsRehash()})
			} else {
				_, err = fmt.Fprintln(std.out, valid)
			}
			if err == nil && !valid {
				return errors.New("the password is not the one that was hashed")
			}
			return err
		}),
	}
	outputFlag(c, &output)
	return c
}
