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
	var output string
	c := &cobra.Command{
		Use:   "version",
		Short: "Print version, commit and Go version",
		Long: `Print version, commit and Go version.

With --output json: {"version": …, "commit": …, "go": …}.`,
		Example: "  gateway version\n  gateway version --output json",
		Args:    cobra.NoArgs,
		RunE: command(func(*cobra.Command, []string) error {
			if err := textOrJSON(output); err != nil {
				return err
			}
			if output == "json" {
				v := buildVersion()
				return printJSON(std, struct {
					Version string `json:"version"`
					Commit  string `json:"commit"`
					Go      string `json:"go"`
				}{v.Version, v.Commit, v.Go})
			}
			_, err := fmt.Fprint(std.out, versionLine())
			return err
		}),
	}
	outputFlag(c, &output)
	return c
}

func versionLine() string {
	v := buildVersion()
	return fmt.Sprintf("gateway %s, commit %s, %s\n", v.Version, v.Commit, v.Go)
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
