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
