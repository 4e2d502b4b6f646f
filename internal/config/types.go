package config

import "time"

// Strings is a list; in the file it may also be one text with commas.
type Strings []string

// Size is a number of bytes, written 64KiB or 10MiB.
type Size int64

// Rate is a count in a span of time, written 100/s or 6000/1m. The zero Rate
// is one that was not written.
type Rate struct {
	Count int
	Per   time.Duration
}

// Expression is a text in a language of its own, which keeps the place of each of
// its characters.
type Expression string

// RouteLimits is one limit or a list of them.
type RouteLimits []RouteLimit

// Secret is a place that takes a secret: the name of one, or, where the
// configuration allows it, the secret itself. It never prints the latter.
type Secret struct {
	Path, Field string
	literal     string
	isLiteral   bool
}

// LiteralSecret is a place with the secret itself in it, for a configuration that
// is made and not read.
func LiteralSecret(text string) Secret { return Secret{literal: text, isLiteral: true} }

// IsZero reports whether nothing was written.
func (s Secret) IsZero() bool { return s == Secret{} }

// Literal returns the secret written in the file, if that is what was written.
func (s Secret) Literal() (string, bool) { return s.literal, s.isLiteral }

// Reference returns the secret's reference as written, ${secret:PATH#FIELD}.
func (s Secret) Reference() string {
	if s.Field != "" {
		return "${secret:" + s.Path + "#" + s.Field + "}"
	}
	return "${secret:" + s.Path + "}"
}

// String names the secret; of a literal it shows nothing.
func (s Secret) String() string {
	switch {
	case s.isLiteral:
		return "[redacted]"
	case s.IsZero():
		return ""
	}
	return s.Reference()
}

// GoString is String, so that %#v shows no more.
func (s Secret) GoString() string { return s.String() }
