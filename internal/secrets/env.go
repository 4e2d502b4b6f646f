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
	prefix string
	lookup func(string) (string, bool)
}

// NewEnv returns an Env that puts prefix, as it is, before each variable's
// name. A nil lookup is os.LookupEnv.
func NewEnv(prefix string, lookup func(string) (string, bool)) *Env {
	if lookup == nil {
		lookup = os.LookupEnv
	}
	return &Env{prefix: prefix, lookup: lookup}
}

// Name returns env.
func (e *Env) Name() string { return "env" }

// Get returns the value of ref's variable: [ErrNotFound] if it is unset,
// [ErrEmpty] if it is set to nothing.
func (e *Env) Get(_ context.Context, ref Reference) (Secret, error) {
	name := e.variable(ref)
	value, ok := e.lookup(name)
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
