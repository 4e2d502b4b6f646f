package config

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

const (
	maxFile       = 4 << 20 // bytes
	maxNodes      = 100_000 // values and keys, counted again wherever an alias repeats them
	maxDepth      = 64      // blocks and lists in one another
	maxSeparators = 60_000  // what parts one value from the next, in the text
)

// parseYAML returns the root of text, one block of keys. What costs memory out
// of proportion to its length is refused before it is parsed.
func parseYAML(text []byte) (*yaml.Node, *Error) {
	if err := checkText(text); err != nil {
		return nil, err
	}
	loader, err := yaml.NewLoader(strings.NewReader(string(text)), yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthFunc(checkDepth))))
	if err != nil {
		return nil, &Error{Line: 1, Column: 1, Problem: "not valid YAML"}
	}
	var document, second yaml.Node
	switch err := loader.Load(&document); {
	case errors.Is(err, io.EOF):
		return nil, emptyError()
	case err != nil:
		return nil, syntaxError(err, text)
	}
	switch err := loader.Load(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		return nil, syntaxError(err, text)
	default:
		return nil, &Error{Line: second.Line, Column: second.Column, Problem: "a second YAML document begins here", Advice: "write one document; remove the ---"}
	}
	if len(document.Content) == 0 {
		return nil, emptyError()
	}
	root := document.Content[0]
	switch {
	case isNull(root):
		return nil, emptyError()
	case root.Kind != yaml.MappingNode:
		return nil, &Error{Line: root.Line, Column: root.Column, Problem: "expected a block of keys, got " + kindOf(root), Advice: "write keys such as routes:"}
	}
	return root, nil
}

func emptyError() *Error {
	return &Error{Line: 1, Column: 1, Problem: "the configuration is empty", Advice: "write at least one route"}
}

// checkText refuses what is too big or no text at all, and says where.
func checkText(text []byte) *Error {
	if len(text) > maxFile {
		return &Error{Line: 1, Column: 1, Problem: fmt.Sprintf("the configuration is larger than %d MiB", maxFile>>20), Advice: "make it smaller"}
	}
	line, column, separators := 1, 1, 0
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return &Error{Line: line, Column: column, Problem: "the file is not UTF-8 text", Advice: "save it as UTF-8"}
		case r < ' ' && r != '\t' && r != '\n' && r != '\r', r == 0x7f, 0x80 <= r && r < 0xa0 && r != 0x85, r == 0xfffe, r == 0xffff:
			return &Error{Line: line, Column: column, Problem: fmt.Sprintf("the file holds a control character (%U)", r), Advice: "remove it"}
		case separates(r, text[i+size:]):
			if separators++; separators > maxSeparators {
				return &Error{Line: line, Column: column, Problem: fmt.Sprintf("the configuration has more than %d lines and list items", maxSeparators), Advice: "make it smaller"}
			}
		}
		if column++; r == '\n' {
			line, column = line+1, 1
		}
		i += size
	}
	return nil
}

// separates reports whether r may part two values. There are at most two nodes
// for each such character, so that counting them bounds the tree.
func separates(r rune, rest []byte) bool {
	switch r {
	case '\n', '\r', ',', '[', '{':
		return true
	case '-', '?', ':':
		return len(rest) == 0 || strings.IndexByte(" \t\r\n,[]{}\"'&*!|>", rest[0]) >= 0
	}
	return false
}

var errDepth = errors.New("nested too deeply")

func checkDepth(depth int, _ *yaml.DepthContext) error {
	if depth > maxDepth {
		return errDepth
	}
	return nil
}

// syntaxError says where text is not YAML, and what is likely meant. The
// parser's own words are kept where they hold nothing of the text.
func syntaxError(err error, text []byte) *Error {
	var at *yaml.LoadError
	if !errors.As(err, &at) {
		return &Error{Line: 1, Column: 1, Problem: "not valid YAML"}
	}
	e := &Error{Line: max(at.Mark.Line, 1), Column: max(at.Mark.Column, 1), Problem: "not valid YAML: " + at.Message}
	source := lineOf(text, e.Line)
	switch message := at.Message; {
	case strings.HasPrefix(message, errDepth.Error()):
		e.Problem, e.Advice = "blocks and lists are nested too deeply", fmt.Sprintf("at most %d levels", maxDepth)
	case strings.HasPrefix(message, "unknown anchor"):
		e.Problem, e.Advice = "not valid YAML: an alias to an anchor that is not there", "put a text that begins with * in quotes"
	case strings.Contains(message, "tab character"), strings.HasPrefix(message, "found character that cannot start") && runeAt(source, e.Column) == '\t':
		e.Problem, e.Advice = "not valid YAML: a tab in the indentation", "indent with spaces"
	case strings.HasPrefix(message, "found unexpected end of stream") && at.ContextMark.Line > 0:
		e.Line, e.Column = at.ContextMark.Line, at.ContextMark.Column
		e.Problem, e.Advice = "not valid YAML: a quoted text that does not end", "close its quotes"
	case strings.HasPrefix(message, "did not find expected ',' or") && strings.Contains(source, "${"):
		e.Advice = "inside { } and [ ] put a text with ${…} in quotes"
	case strings.HasPrefix(message, "did not find expected ',' or"):
		e.Advice = "inside { } and [ ] put a text with any of {}[], in quotes, and end each { and ["
	case strings.HasPrefix(message, "mapping values are not allowed"):
		e.Problem, e.Advice = "not valid YAML: a key in the middle of a text", "check the indentation, or put a text with a colon in quotes"
	case strings.HasPrefix(message, "found character that cannot start"):
		e.Advice = "put the text in quotes"
	case strings.HasPrefix(message, "did not find expected key"), strings.HasPrefix(message, "did not find expected '-'"), strings.HasPrefix(message, "could not find expected ':'"):
		e.Advice = "check the indentation, and that each key ends with a colon"
	}
	return e
}

// lineOf returns a line of text, counted from 1.
func lineOf(text []byte, number int) string {
	for line := range strings.Lines(string(text)) {
		if number--; number == 0 {
			return line
		}
	}
	return ""
}

// runeAt returns the character at a column counted from 1, or 0.
func runeAt(line string, column int) rune {
	for _, r := range line {
		if column--; column == 0 {
			return r
		}
	}
	return 0
}

// isNull reports whether n says nothing: an empty value, ~ or null.
func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null" && n.Style&yaml.TaggedStyle == 0
}

// kindOf names what n is, without what it holds.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a block of keys"
	case yaml.SequenceNode:
		return "a list"
	}
	return "a text"
}
