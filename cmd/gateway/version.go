package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/gateway"
)

// Set by the linker: -ldflags "-X main.version=… -X main.commit=…".
var version, commit string

func newVersion(std streams) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print version, commit and Go version",
		Example: "  gateway version",
		Args:    cobra.NoArgs,
		RunE: command(func(*cobra.Command, []string) error {
			v := buildVersion()
			_, err := fmt.Fprintf(std.out, "gateway %s, commit %s, %s\n", v.Version, v.Commit, v.Go)
			return err
		}),
	}
}

// buildVersion is what the linker said, or what Go noted of the build.
func buildVersion() gateway.Version {
	v := gateway.Version{Version: version, Commit: commit, Go: runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		if v.Version == "" && info.Main.Version != "(devel)" {
			v.Version = info.Main.Version
		}
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				v.Commit = cmp.Or(v.Commit, setting.Value)
			}
		}
	}
	v.Version, v.Commit = cmp.Or(v.Version, "development"), cmp.Or(v.Commit, "unknown")
	return v
}
