package main

import (
	"bytes"
	"context"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/config"
)

// repository is where the documents are, from this folder.
const repository = "../.."

// documents are the files whose words are held to the code.
func documents(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob(repository + "/docs/*.md")
	if err != nil || len(names) < 4 {
		t.Fatalf("documents: %v, %v", names, err)
	}
	texts := make(map[string]string)
	for _, name := range append(names, repository+"/README.md") {
		texts[name] = read(t, name)
	}
	return texts
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// block is a fenced block of a document.
type block struct{ language, text string }

// title is what the first line says the block is, as in "# gateway.yaml".
func (b block) title() string {
	first, _, _ := strings.Cut(b.text, "\n")
	title, _ := strings.CutPrefix(first, "# ")
	return title
}

func blocks(text string) (list []block) {
	for _, match := range regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		list = append(list, block{match[1], match[2]})
	}
	return list
}

// table returns the cells of every table row of a document whose first cell is
// code, without the code marks of that cell.
func table(text string) (rows [][]string) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "| `") || !strings.HasSuffix(line, "|") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		cells[0] = strings.Trim(cells[0], "`")
		rows = append(rows, cells)
	}
	return rows
}

// routeOfItsOwn makes a part of a configuration a whole one.
const routeOfItsOwn = "routes: [{name: all, path: /*, auth: public, upstream: http://legacy:8080}]\n"

func TestConfigurationsInTheDocumentsAreValid(t *testing.T) {
	environment := map[string]string{"UPSTREAM_URL": "http://legacy:8080"}
	lookup := func(name string) (string, bool) { value, ok := environment[name]; return value, ok }
	whole, parts := 0, 0
	for name, text := range documents(t) {
		for _, b := range blocks(text) {
			switch {
			case b.language != "yaml":
				continue
			case b.title() == "gateway.yaml":
				whole++
			case b.title() == "part of gateway.yaml":
				b.text += routeOfItsOwn
				parts++
			default:
				continue
			}
			if _, err := config.Parse(filepath.Base(name), []byte(b.text), config.Options{LookupEnv: lookup}); err != nil {
				t.Errorf("%s: %v in\n%s", name, err, b.text)
			}
		}
	}
	if whole < 3 || parts < 5 {
		t.Errorf("%d whole configurations and %d parts were found", whole, parts)
	}
}

// A console block shows a command and what it prints. status says how each
// ends; varies marks what differs from one machine to the next after its first
// word.
func TestConsoleBlocksShowWhatTheCommandsPrint(t *testing.T) {
	status := map[string]int{
		"version": exitOK,
		"healthcheck --url http://127.0.0.1:1/readyz": exitFailure,
		"validate -c nowhere.yaml":                    exitFailure,
		"validate -c wrong.yaml --offline":            exitFailure,
		"test -c gateway.yaml --coverage cases.yaml":  exitOK,
		"test -c gateway.yaml wrong-cases.yaml":       exitFailure,
	}
	varies := map[string]bool{"version": true}
	texts := documents(t)
	t.Chdir(t.TempDir())
	shown := make(map[string]bool)
	for name, text := range texts {
		for _, b := range blocks(text) {
			if strings.HasSuffix(b.title(), ".yaml") && !strings.Contains(b.title(), " ") {
				if err := os.WriteFile(b.title(), []byte(b.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, b := range blocks(text) {
			if b.language != "console" {
				continue
			}
			line, want, _ := strings.Cut(b.text, "\n")
			command, isOurs := strings.CutPrefix(line, "$ gateway ")
			ends, known := status[command]
			if !isOurs || !known {
				t.Errorf("%s: no test knows how %q ends", name, line)
				continue
			}
			shown[command] = true
			var printed bytes.Buffer
			if got := run(t.Context(), strings.Fields(command), streams{strings.NewReader(""), &printed, &printed}); got != ends {
				t.Errorf("%s: %s ended with %d, want %d", name, line, got, ends)
			}
			got := printed.String()
			if varies[command] {
				got, want = firstWord(got), firstWord(want)
			}
			if got != want {
				t.Errorf("%s: %s printed\n%s\nand the document has\n%s", name, line, got, want)
			}
		}
	}
	for command := range status {
		if !shown[command] {
			t.Errorf("no document shows %q", command)
		}
	}
}

func firstWord(s string) string {
	return strings.Join(strings.Fields(s)[:min(1, len(strings.Fields(s)))], "")
}

func TestOfflineValidationAcceptsTheReadmesConfiguration(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gateway.yaml")
	if err := os.WriteFile(file, []byte(quickStart(t).configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if got := run(t.Context(), []string{"validate", "-c", file, "--offline"}, streams{nil, &out, &errs}); got != exitOK {
		t.Errorf("ended with %d: %s", got, errs.String())
	}
}

// Every command that a document gives in a shell block exists, with its flags.
func TestCommandsInShellBlocksExist(t *testing.T) {
	command := regexp.MustCompile(`(?m)^(?:bin/)?gateway ([^#&|>\n]+)`)
	seen := 0
	for name, text := range documents(t) {
		for _, b := range blocks(text) {
			if b.language != "sh" {
				continue
			}
			for _, match := range command.FindAllStringSubmatch(b.text, -1) {
				seen++
				var errs bytes.Buffer
				args := append(strings.Fields(match[1]), "--help")
				if got := run(context.Background(), args, streams{nil, &errs, &errs}); got != exitOK || strings.Contains(errs.String(), "gateway [command]") {
					t.Errorf("%s: gateway %s ended with %d: %s", name, strings.Join(args, " "), got, errs.String())
				}
			}
		}
	}
	if seen < 4 {
		t.Errorf("only %d commands were found", seen)
	}
}

func TestLinksLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	seen := 0
	for name, text := range documents(t) {
		for _, match := range link.FindAllStringSubmatch(text, -1) {
			target, anchor, _ := strings.Cut(match[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			seen++
			path := name
			if target != "" {
				path = filepath.Join(filepath.Dir(name), target)
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s: %s leads nowhere: %v", name, match[1], err)
				continue
			}
			if anchor != "" && !slices.Contains(anchors(read(t, path)), anchor) {
				t.Errorf("%s: %s has no heading #%s", name, path, anchor)
			}
		}
	}
	if seen < 15 {
		t.Errorf("only %d links were found", seen)
	}
}

// anchors are the names that headings are linked by.
func anchors(text string) (list []string) {
	dropped := regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	for _, match := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		list = append(list, strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(match[1]), ""), " ", "-"))
	}
	return list
}

func TestMakeTargetsExist(t *testing.T) {
	makefile := read(t, repository+"/Makefile")
	used := make(map[string]bool)
	for _, text := range documents(t) {
		for _, match := range regexp.MustCompile("(?m)(?:^|`)make ([a-z]+)(?:`|$)").FindAllStringSubmatch(text, -1) {
			used[match[1]] = true
		}
	}
	if !used["test"] || !used["build"] {
		t.Errorf("the documents use %v", slices.Sorted(maps.Keys(used)))
	}
	for target := range used {
		if !regexp.MustCompile(`(?m)^` + target + `:`).MatchString(makefile) {
			t.Errorf("the Makefile has no target %s", target)
		}
	}
}
