package main

import (
	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/config"
)

func newSchema(std streams) *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the configuration's JSON Schema, for editors",
		Example: "  gateway schema > gateway.schema.json",
		Args:    cobra.NoArgs,
		RunE: command(func(*cobra.Command, []string) error {
			schema, err := config.Schema()
			if err != nil {
				return err
			}
			_, err = std.out.Write(append(schema, '\n'))
			return err
		}),
	}
}
