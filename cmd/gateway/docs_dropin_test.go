package main

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/config"
)

const dropIn = repository + "/configs/drop-in.yaml"

func TestReadmeListsTheVariablesOfTheDropIn(t *testing.T) {
	asked := make(map[string]bool)
	for _, match := range regexp.MustCompile(`\$\{env:([A-Z_]+)`).FindAllStringSubmatch(read(t, dropIn), -1) {
		asked[match[1]] = true
	}
	listed := make(map[string]bool)
	for _, row := range table(section(t, read(t, repository+"/README.md"), "## Put it in front of a service you have")) {
		listed[row[0]] = true
	}
	if len(asked) < 10 || !maps.Equal(asked, listed) {
		t.Errorf("the drop-in reads %v\nand README lists %v", slices.Sorted(maps.Keys(asked)), slices.Sorted(maps.Keys(listed)))
	}
}

// section returns what stands between a heading and the next of its rank.
func section(t *testing.T, text, heading string) string {
	t.Helper()
	_, rest, found := strings.Cut(text, "\n"+heading+"\n")
	if !found {
		t.Fatalf("there is no %q", heading)
	}
	rank, _, _ := strings.Cut(heading, " ")
	rest, _, _ = strings.Cut(rest, "\n"+rank+" ")
	return rest
}

// What README and the compose file set for the gateway makes it do what they
// say: one route, protected, that injects the legacy key as it stands.
func TestComposeFilesConfigureTheDropIn(t *testing.T) {
	readme := ""
	for _, b := range blocks(read(t, repository+"/README.md")) {
		if strings.Contains(b.text, "UPSTREAM_URL: ") {
			readme = b.text
		}
	}
	for name, compose := range map[string]string{"README.md": readme, "docker-compose.yml": read(t, repository+"/docker-compose.yml")} {
		t.Run(name, func(t *testing.T) {
			variables := environmentOf(t, compose)
			lookup := func(name string) (string, bool) { value, ok := variables[name]; return value, ok }
			c, err := config.Parse("drop-in.yaml", []byte(read(t, dropIn)), config.Options{LookupEnv: lookup})
			if err != nil {
				t.Fatal(err)
			}
			credential, route := c.Credentials["upstream-header"], c.Routes[0]
			if credential.Header != "X-Legacy-Key" || credential.Prefix == nil || *credential.Prefix != "" || credential.Token.Path != "legacy/api-key" {
				t.Errorf("credential %+v", credential)
			}
			if !slices.Equal(route.Inject, []string{"upstream-header"}) || !slices.Equal(route.Auth.Scopes, []string{"orders:read"}) || route.Auth.Public {
				t.Errorf("route %+v", route)
			}
			if _, set := variables["LEGACY_API_KEY"]; !set {
				t.Error("the secret that is injected is not set")
			}
			if !strings.Contains(compose, "stop_grace_period: 35s") {
				t.Error("there is no stop_grace_period: 35s")
			}
		})
	}
}

// environmentOf reads the first environment block of a compose file, in the few
// forms it is written in here.
func environmentOf(t *testing.T, compose string) map[string]string {
	t.Helper()
	_, rest, found := strings.Cut(compose, "    environment:\n")
	if !found {
		t.Fatal("there is no environment block")
	}
	variables := make(map[string]string)
	for line := range strings.Lines(rest) {
		text, inside := strings.CutPrefix(strings.TrimRight(line, "\n"), "      ")
		if !inside {
			break
		}
		if strings.HasPrefix(text, "#") {
			continue
		}
		name, value, _ := strings.Cut(text, ":")
		value = strings.TrimSpace(regexp.MustCompile(`\s#.*$`).ReplaceAllString(value, ""))
		switch {
		case strings.HasPrefix(value, `"`):
			unquoted, err := strconv.Unquote(value)
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			value = unquoted
		case strings.HasPrefix(value, "'"):
			value = strings.Trim(value, "'")
		}
		// ${NAME:-default} is Compose's own.
		value = regexp.MustCompile(`\$\{[A-Z_]+(:-([^}]*))?\}`).ReplaceAllString(value, "$2")
		variables[name] = value
	}
	return variables
}
