package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one mistake in a configuration file, with its place. It never holds
// the value of a secret place, nor of a variable that went into one.
type Error struct {
	File         string
	Line, Column int    // from 1; the column counts characters
	Problem      string // what is wrong
	Advice       string // what would be right; may be empty
}

func (e Error) Error() string {
	text := fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Problem)
	if e.Advice != "" {
		text += "; " + e.Advice
	}
	return text
}

// Errors are all mistakes of a file, in its order.
type Errors []Error

const (
	shownErrors = 50   // printed
	maxErrors   = 1000 // looked for
)

// Error lists the mistakes, one a line, and says how many are left out after
// the first 50.
func (e Errors) Error() string {
	var b strings.Builder
	for i, one := range e {
		if i == shownErrors {
			fmt.Fprintf(&b, "\nand %d more", len(e)-shownErrors)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(one.Error())
	}
	return b.String()
}

// Unwrap gives the single mistakes to [errors.As].
func (e Errors) Unwrap() []error {
	list := make([]error, len(e))
	for i, one := range e {
		list[i] = one
	}
	return list
}

// sorted puts e in the file's order. What an alias brought up twice stands once.
func (e Errors) sorted() Errors {
	slices.SortStableFunc(e, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.Compact(e)
}

// shownRunes is how much of a value a message quotes.
const shownRunes = 60

// quote returns text as a message shows it: in quotes, control characters
// escaped, cut to 60 characters.
func quote(text string) string {
	runes := 0
	for i := range text {
		if runes == shownRunes {
			return fmt.Sprintf("%q…", text[:i])
		}
		runes++
	}
	return fmt.Sprintf("%q", text)
}

// mark is what is known of one key of the file.
type mark struct {
	line, column int
	written      bool     // it has a value
	emptied      []string // the variables whose emptiness left it out
	from         []string // the variables its value came from
	wrong        bool     // a mistake was found in it
	inside       bool     // a mistake was found in it or in something inside
	unsupported  bool     // something in it is not there in this version
	hidden       bool     // its value may be that of a secret place
	located      *located // of an Expression as it stands in the file; nil where that cannot be told
}

// report gathers the mistakes of one file and what is known of its keys, which
// are named by their path, as in routes[0].inject.
type report struct {
	file  string
	marks map[string]*mark
	errs  Errors
}

// parent returns the path of what holds path, and whether there is one.
func parent(path string) (string, bool) {
	if path == "" {
		return "", false
	}
	return path[:max(strings.LastIndexAny(path, ".["), 0)], true
}

// join returns the path of a key in the block at path.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// nearest returns the mark of path, or of the nearest thing that holds it.
func (r *report) nearest(path string) *mark {
	for {
		if m := r.marks[path]; m != nil {
			return m
		}
		up, ok := parent(path)
		if !ok {
			return &mark{line: 1, column: 1}
		}
		path = up
	}
}

// fail tells of a mistake at path.
func (r *report) fail(path, problem, advice string) {
	m := r.nearest(path)
	if len(m.from) > 0 && len(m.emptied) == 0 { // who set the variable may never have seen this file
		problem += " (it came from " + strings.Join(m.from, " and ") + ")"
	}
	r.failAt(path, m.line, m.column, problem, advice)
}

// failAt tells of a mistake in path that stands elsewhere, as a wrong key does.
func (r *report) failAt(path string, line, column int, problem, advice string) {
	r.spoil(path)
	if len(r.errs) < maxErrors {
		r.errs = append(r.errs, Error{File: r.file, Line: line, Column: column, Problem: problem, Advice: advice})
	}
}

// spoil notes that path has a mistake, so that no second one is told because
// of the first.
func (r *report) spoil(path string) {
	r.own(path).wrong = true
	for up, ok := path, true; ok; up, ok = parent(up) {
		if m := r.marks[up]; m != nil {
			m.inside = true
		}
	}
}

// own returns the mark of path itself, making one at the place of what holds it.
func (r *report) own(path string) *mark {
	m := r.marks[path]
	if m == nil {
		near := r.nearest(path)
		m = &mark{line: near.line, column: near.column, hidden: near.hidden}
		r.marks[path] = m
	}
	return m
}

// failed reports whether a mistake was found at path or inside it.
func (r *report) failed(path string) bool {
	m := r.marks[path]
	return m != nil && (m.wrong || m.inside)
}

// skip reports whether there is no use in judging the block at path as a whole:
// it could not be read, or asks for what is not there in this version.
func (r *report) skip(path string) bool {
	m := r.marks[path]
	return m != nil && (m.wrong || m.unsupported)
}

// written reports whether the key at path has a value in the file.
func (r *report) written(path string) bool {
	m := r.marks[path]
	return m != nil && m.written
}

// show returns a value of path as a message may show it.
func (r *report) show(path, value string) string {
	if r.nearest(path).hidden {
		return "[redacted]"
	}
	return quote(value)
}

// showURL is show without what a URL may hold of secrets.
func (r *report) showURL(path, value string) string {
	if strings.Contains(value, "@") {
		return "[redacted]"
	}
	value, _, _ = strings.Cut(value, "?")
	return r.show(path, value)
}

// because names the variables whose emptiness left path out, as in
// " (JWT_JWKS_URL is empty)"; nothing if that is not why.
func (r *report) because(path string) string {
	m := r.marks[path]
	if m == nil || len(m.emptied) == 0 {
		return ""
	}
	return " (" + emptyText(m.emptied) + ")"
}

func emptyText(names []string) string {
	if len(names) == 1 {
		return names[0] + " is empty"
	}
	return strings.Join(names, " and ") + " are empty"
}
