package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// Options say what a configuration is read with. The zero value is ready for use.
type Options struct {
	LookupEnv func(string) (string, bool) // nil means os.LookupEnv
}

// Load reads the configuration in a file of at most 4 MiB, which may be a pipe.
// The error is [Errors], with a place for each mistake, or says in one line why
// there is nothing to read.
func Load(path string, o Options) (*Config, error) {
	text, err := readConfig(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, text, o)
}

// readConfig is readFile with what to do where there is no such file.
func readConfig(path string) ([]byte, error) {
	text, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w; write one, or name it with --config FILE", err)
	}
	return text, err
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%s: %w; let the user that runs the gateway read it", path, fs.ErrPermission)
	case err != nil:
		return nil, fmt.Errorf("%s: cannot be opened; name a file with --config FILE: %w", path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("%s: cannot be read: %w", path, err)
	}
	switch mode := info.Mode(); {
	case mode.IsDir():
		return nil, fmt.Errorf("%s: is a directory; name the file in it with --config FILE", path)
	case !mode.IsRegular() && mode&fs.ModeNamedPipe == 0:
		return nil, fmt.Errorf("%s: is no file; name a regular file or a pipe with --config FILE", path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: cannot be read: %w", path, err)
	case len(text) > maxFile:
		return nil, fmt.Errorf("%s: is larger than %d MiB; a configuration is far smaller, check the file's name", path, maxFile>>20)
	case strings.TrimSpace(string(text)) == "":
		return nil, fmt.Errorf("%s: is empty; write at least one route", path)
	}
	return text, nil
}

// Draft is [Load] for who looks for further mistakes: it returns the mistakes it
// found, and what could be read beside them, which must not be served and is nil
// where nothing could. The error says why there is nothing to read.
func Draft(path string, o Options) (*Config, Errors, error) {
	text, err := readConfig(path)
	if err != nil {
		return nil, nil, err
	}
	c, wrong := read(path, text, o)
	return c, wrong, nil
}

// Sound reports whether no mistake was found at a key such as routes[0].path or
// inside it.
func (c *Config) Sound(key string) bool {
	return !(&report{marks: c.marks}).failed(key)
}

// Parse reads a configuration from text; name stands for the file in messages.
// The error is [Errors].
func Parse(name string, text []byte, o Options) (*Config, error) {
	c, wrong := read(name, text, o)
	if len(wrong) > 0 {
		return nil, wrong
	}
	return c, nil
}

// read returns what could be read, nil if nothing, and the mistakes.
func read(name string, text []byte, o Options) (*Config, Errors) {
	root, bad := parseYAML(text)
	if bad != nil {
		bad.File = name
		return nil, Errors{*bad}
	}
	lookup := o.LookupEnv
	if lookup == nil {
		lookup = os.LookupEnv
	}
	var scouted, c Config
	scout := newDecoder(name, text, lookup, hidden{}, false)
	scout.document(root, &scouted)
	d := newDecoder(name, text, lookup, scout.seen, scouted.AllowLiteralSecrets)
	d.document(root, &c)
	if d.stopped {
		return nil, d.errs.sorted()
	}
	(&checker{report: &d.report, c: &c}).all()
	c.file, c.marks, c.uses = name, d.marks, d.uses
	c.markUsed()
	return &c, d.errs.sorted()
}

// document decodes the whole tree.
func (d *decoder) document(root *yaml.Node, c *Config) {
	d.marks[""] = &mark{line: root.Line, column: root.Column, written: true}
	d.decode(root, reflect.ValueOf(c).Elem(), "", new(field))
}

// SecretUse is a place of the configuration that holds a secret reference.
type SecretUse struct {
	Path, Field  string
	Where        string // as in credentials.legacy.token
	Line, Column int
	Used         bool // false where it belongs to an issuer, list of API keys or credential that no route uses
}

// File returns the name of the file the configuration was read from.
func (c *Config) File() string { return c.file }

// SecretUses returns every place with a secret reference, in the file's order.
func (c *Config) SecretUses() []SecretUse { return c.uses }

// Position returns where a key such as routes[0].inject stands in the file, or
// the nearest thing that holds it: a value at its first character, a block of
// keys at its name.
func (c *Config) Position(key string) (line, column int) {
	m := (&report{marks: c.marks}).nearest(key)
	return m.line, m.column
}

// markUsed finds which references are needed: those of the issuers, lists of API
// keys and credentials that are named, and all that belong to none of them.
func (c *Config) markUsed() {
	var named []string
	for _, auth := range c.Auths() {
		for _, name := range auth.Issuers {
			named = append(named, "issuers."+name+".")
		}
		for _, name := range auth.APIKeys {
			named = append(named, "api_keys."+name+".")
		}
	}
	for _, route := range c.Routes {
		for _, name := range route.Inject {
			named = append(named, "credentials."+name+".")
		}
	}
	for i := range c.uses {
		use := &c.uses[i]
		use.Used = !strings.HasPrefix(use.Where, "issuers.") && !strings.HasPrefix(use.Where, "api_keys.") && !strings.HasPrefix(use.Where, "credentials.")
		for _, prefix := range named {
			use.Used = use.Used || strings.HasPrefix(use.Where, prefix)
		}
	}
}
