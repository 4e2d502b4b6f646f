package config

import (
	"errors"
	"slices"
	"strings"
)

// kind is what a part of a text is.
type kind int

const (
	plain     kind = iota // text as it stands
	variable              // ${env:NAME}, ${env:NAME:-word}, ${env:NAME:+word}
	reference             // ${secret:word}
)

// part is a piece of a value's text.
type part struct {
	kind kind
	text string // plain text, or the variable's name
	op   string // of a variable: "", ":-" or ":+"
	word []part // what stands after op, or the path in a reference
}

// formError tells of a ${…} that is none of ours. What it quotes is from the file, so
// that it must not be shown where a secret may stand.
type formError struct{ quoted, problem, advice string }

const (
	maxNesting = 16 // of ${…} in ${…}
	forms      = "write ${env:NAME} or ${secret:PATH}, and $${ for a ${ that is meant as text"
)

// parser takes a value's text apart.
type parser struct {
	text   string
	at     int
	depth  int
	secret bool // inside a reference
}

// parseText takes text apart. $${ is a ${ that means nothing.
func parseText(text string) ([]part, *formError) {
	if !strings.Contains(text, "${") {
		return []part{{text: text}}, nil
	}
	p := &parser{text: text}
	return p.parts()
}

// parts reads to the end of the text, or inside ${…} to its closing brace.
func (p *parser) parts() ([]part, *formError) {
	var list []part
	var b strings.Builder
	flush := func() {
		if b.Len() > 0 {
			list = append(list, part{text: b.String()})
			b.Reset()
		}
	}
	for p.at < len(p.text) {
		switch rest := p.text[p.at:]; {
		case strings.HasPrefix(rest, "$${"):
			b.WriteString("${")
			p.at += 3
		case strings.HasPrefix(rest, "${"):
			flush()
			one, err := p.braced()
			if err != nil {
				return nil, err
			}
			list = append(list, one)
		case rest[0] == '}' && p.depth > 0:
			flush()
			return list, nil
		default:
			b.WriteByte(rest[0])
			p.at++
		}
	}
	flush()
	return list, nil
}

// braced reads one ${…}.
func (p *parser) braced() (part, *formError) {
	start := p.at
	if p.depth++; p.depth > maxNesting {
		return part{}, p.wrong(start, "${…} is nested too deeply", "write it with fewer levels")
	}
	defer func() { p.depth-- }()
	p.at += 2
	rest := p.text[p.at:]
	var one part
	switch {
	case strings.HasPrefix(rest, "env:"):
		p.at += len("env:")
		one.kind, one.text = variable, p.name()
		if one.text == "" {
			return part{}, p.wrong(start, "a ${env:…} has no variable's name", "a name has letters, digits and _ only, as in ${env:UPSTREAM_URL}")
		}
		if rest = p.text[p.at:]; strings.HasPrefix(rest, "}") {
			p.at++
			return one, nil
		}
		if !strings.HasPrefix(rest, ":-") && !strings.HasPrefix(rest, ":+") {
			return part{}, p.wrong(start, "a ${…} is not understood", "write ${env:NAME}, ${env:NAME:-default} or ${env:NAME:+value if set}")
		}
		one.op = rest[:2]
		p.at += 2
	case strings.HasPrefix(rest, "secret:"):
		if p.secret {
			return part{}, p.wrong(start, "a reference inside a reference", "write one ${secret:PATH}")
		}
		p.secret = true
		defer func() { p.secret = false }()
		p.at += len("secret:")
		one.kind = reference
	default:
		return part{}, p.wrong(start, "a ${…} is not understood", forms)
	}
	word, err := p.parts()
	if err != nil {
		return part{}, err
	}
	if p.at == len(p.text) {
		return part{}, p.wrong(start, "a ${ is not closed", "end it with }, or write $${ for a ${ that is meant as text")
	}
	p.at++
	one.word = word
	return one, nil
}

// wrong is the error for what begins at start.
func (p *parser) wrong(start int, problem, advice string) *formError {
	quoted := p.text[start:]
	if end := strings.IndexByte(quoted, '}'); end >= 0 {
		quoted = quoted[:end+1]
	}
	return &formError{quote(quoted), problem, advice}
}

// name reads a variable's name; empty if there is none.
func (p *parser) name() string {
	start := p.at
	for p.at < len(p.text) {
		c := p.text[p.at]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_'
		if !letter && (c < '0' || c > '9' || p.at == start) {
			break
		}
		p.at++
	}
	return p.text[start:p.at]
}

// holds reports whether there is a reference anywhere in parts, taken or not.
func holds(parts []part) bool {
	return slices.ContainsFunc(parts, func(p part) bool { return p.kind == reference || holds(p.word) })
}

// variables appends the names of all variables in parts, taken or not.
func variables(parts []part, names []string) []string {
	for _, p := range parts {
		if p.kind == variable {
			names = append(names, p.text)
		}
		names = variables(p.word, names)
	}
	return names
}

// expansion is a text whose variables have their values.
type expansion struct {
	text   string
	secret bool     // text is the path of a reference, which is the whole value
	mixed  bool     // a reference stands beside other text
	names  []string // the variables that were asked, each once
}

// unsetError names a variable that is not set and has no default.
type unsetError struct{ name string }

func (e unsetError) Error() string { return "environment variable " + e.name + " is not set" }

var errTooLong = errors.New("the value is too long once its variables are filled in")

// expander fills in variables, up to a number of bytes in all.
type expander struct {
	lookup func(string) (string, bool)
	left   int
	names  []string
}

// expand fills in the variables of parts. What a variable holds is text: it is
// not looked at for further ${…}.
func (e *expander) expand(parts []part) (expansion, error) {
	e.names = nil
	pieces, err := e.pieces(parts)
	x := expansion{names: e.names}
	if err != nil {
		return x, err
	}
	references := 0
	for _, p := range pieces {
		if p.kind == reference {
			references++
		}
	}
	x.text = concat(pieces)
	x.secret = references == 1 && len(pieces) == 1
	x.mixed = references > 0 && !x.secret
	return x, nil
}

// pieces reduces parts to plain texts that are not empty, and references.
func (e *expander) pieces(parts []part) ([]part, error) {
	var list []part
	for _, p := range parts {
		var taken []part
		var err error
		switch p.kind {
		case plain:
			taken = []part{p}
		case variable:
			taken, err = e.variable(p)
		case reference:
			var word []part
			word, err = e.pieces(p.word)
			taken = []part{{kind: reference, text: concat(word)}}
		}
		if err != nil {
			return nil, err
		}
		for _, t := range taken {
			if e.left -= len(t.text); e.left < 0 {
				return nil, errTooLong
			}
			if t.kind == reference || t.text != "" {
				list = append(list, t)
			}
		}
	}
	return list, nil
}

func concat(parts []part) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.text)
	}
	return b.String()
}

// variable returns what stands in the place of p.
func (e *expander) variable(p part) ([]part, error) {
	if !slices.Contains(e.names, p.text) {
		e.names = append(e.names, p.text)
	}
	value, set := e.lookup(p.text)
	switch {
	case p.op == ":-" && value == "", p.op == ":+" && value != "":
		return e.pieces(p.word)
	case p.op == ":+":
		return nil, nil
	case !set:
		return nil, unsetError{p.text}
	}
	return []part{{text: value}}, nil
}
