package secrets

import (
	"context"
	"fmt"
	"os"
	"strings"
)

// Env reads secrets from environment variables, as they stand: a newline at the
// end stays, for nobody's editor put it there.
type Env struct {
	prefix  string
	lookup  func(string) (string, bool)
	environ func() []string // nil where variables can only be looked up
}

// NewEnv returns an Env that puts prefix, as it is, before each variable's
// name. A nil lookup is the process's environment.
func NewEnv(prefix string, lookup func(string) (string, bool)) *Env {
	if lookup == nil {
		return &Env{prefix: prefix, lookup: os.LookupEnv, environ: os.Environ}
	}
	return &Env{prefix: prefix, lookup: lookup}
}

// Name returns env.
func (e *Env) Name() string { return "env" }

// Read returns the variable of path, and as its fields the variables that begin
// with it: [ErrNotFound] if there are neither.
func (e *Env) Read(_ context.Context, path string) (Document, error) {
	name := e.variable(Reference{Path: path})
	if _, ok := e.lookup(name); !ok && e.environ != nil && !e.begins(name+"_") {
		return nil, fmt.Errorf("env: read %s: %w: %s is not set", path, ErrNotFound, name)
	}
	return variables{e, path}, nil
}

// begins reports whether a variable's name begins so.
func (e *Env) begins(prefix string) bool {
	for _, variable := range e.environ() {
		if strings.HasPrefix(variable, prefix) {
			return true
		}
	}
	return false
}

// variables are those of one path.
type variables struct {
	*Env
	path string
}

// Field returns the value of the field's variable: [ErrNotFound] if it is
// unset, [ErrEmpty] if it is set to nothing.
func (v variables) Field(field string) (Secret, error) {
	ref := Reference{Path: v.path, Field: field}
	name := v.variable(ref)
	value, ok := v.lookup(name)
	switch {
	case !ok:
		return Secret{}, fmt.Errorf("env: read %s: %w: %s is not set", ref, ErrNotFound, name)
	case value == "":
		return Secret{}, fmt.Errorf("env: read %s: %w: %s is set to nothing", ref, ErrEmpty, name)
	}
	return NewSecret(value), nil
}

// variable names ref's variable: database/password#user is
// DATABASE_PASSWORD_USER.
func (e *Env) variable(ref Reference) string {
	name := ref.Path
	if ref.Field != "" {
		name += "_" + ref.Field
	}
	return e.prefix + strings.Map(func(r rune) rune {
		switch {
		case r == '/' || r == '-' || r == '.':
			return '_'
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		}
		return r
	}, name)
}

// Set returns [ErrReadOnly].
func (e *Env) Set(_ context.Context, ref Reference, _ Secret) error {
	return fmt.Errorf("env: set %s: %w: set %s where the gateway is started", ref, ErrReadOnly, e.variable(ref))
}

// List returns the names of the variables behind the prefix, as paths that Read
// takes. Nothing tells a secret from the other variables of a process: without
// a prefix there must be a pattern.
func (e *Env) List(_ context.Context, pattern string) ([]string, error) {
	if e.environ == nil {
		return nil, fmt.Errorf("env: list: %w: these variables can only be asked for by name", ErrInvalid)
	}
	if pattern == "" && e.prefix == "" {
		return nil, nil
	}
	variables := e.prefix + "*"
	if pattern != "" {
		variables = e.variable(Reference{Path: pattern})
	}
	var found []string
	for _, variable := range e.environ() {
		name, _, _ := strings.Cut(variable, "=")
		path, own := strings.CutPrefix(name, e.prefix)
		if own && fits(variables, name) && faultOf(path) == "" && e.variable(Reference{Path: path}) == name {
			found = append(found, path)
		}
	}
	found, err := names(found)
	if err != nil {
		return nil, fmt.Errorf("env: list: %w", err)
	}
	return found, nil
}

// Hint tells how a pattern, as for List, and variables belong together.
func (e *Env) Hint(pattern string) string {
	switch {
	case pattern != "":
		return fmt.Sprintf("env: %s stands for the variables %s", pattern, e.variable(Reference{Path: pattern}))
	case e.prefix != "":
		return fmt.Sprintf("env: the variables %s*", e.prefix)
	}
	return "env: nothing tells which variables are secrets: give a pattern, as database/* for DATABASE_*, or set secrets.env.prefix"
}
