package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// nameArguments has the commands below c that take a wrong number of arguments
// say what they take. An argument is not repeated: it may be a secret.
func nameArguments(c *cobra.Command) {
	for _, sub := range c.Commands() {
		nameArguments(sub)
	}
	check := c.Args
	if c.HasSubCommands() || check == nil {
		return
	}
	c.Args = func(c *cobra.Command, args []string) error {
		switch err := check(c, args); {
		case err == nil:
			return nil
		case len(args) == 0:
			return fmt.Errorf("an argument is missing; write %s", c.UseLine())
		}
		return fmt.Errorf("too many arguments; write %s", c.UseLine())
	}
}

// outputFlag adds --output.
func outputFlag(c *cobra.Command, output *string) {
	c.Flags().StringVar(output, "output", "text", "text or json")
}

func textOrJSON(output string) error {
	if output != "text" && output != "json" {
		return usage{errors.New("--output must be text or json")}
	}
	return nil
}
