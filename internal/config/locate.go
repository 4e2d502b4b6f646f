package config

import (
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// located is a text of the file, and where each of its characters stands there.
type located struct {
	text  []rune
	where []place
}

type place struct{ line, column int }

// at returns where the character stands that is in this line and column of the
// text, both from 1, or where the text ends.
func (l *located) at(line, column int) place {
	i := 0
	for ; i < len(l.text) && line > 1; i++ {
		if l.text[i] == '\n' {
			line--
		}
	}
	if i += column - 1; i < len(l.text) {
		return l.where[i]
	}
	end := l.where[len(l.where)-1]
	return place{end.line, end.column + 1}
}

// linesOf returns the lines of a file.
func linesOf(source []byte) (lines [][]rune) {
	for line := range strings.Lines(string(source)) {
		lines = append(lines, []rune(strings.TrimRight(line, "\r\n")))
	}
	return lines
}

// locate finds the characters of n, a scalar, in the lines of the file. It
// returns nil where it cannot: it reads the file by rules of its own, and says
// nothing unless they lead to the very text that the parser found.
func locate(lines [][]rune, n *yaml.Node) *located {
	s := &scanner{lines: lines, line: n.Line, column: n.Column}
	s.want = len([]rune(n.Value))
	switch {
	case s.want == 0 || n.Line < 1 || n.Line > len(s.lines):
		return nil
	case n.Style&yaml.LiteralStyle != 0:
		s.block(false)
	case n.Style&yaml.FoldedStyle != 0:
		s.block(true)
	case n.Style&yaml.SingleQuotedStyle != 0:
		s.column++
		s.flow('\'')
	case n.Style&yaml.DoubleQuotedStyle != 0:
		s.column++
		s.flow('"')
	default:
		s.flow(0)
	}
	if len(s.found.text) < s.want || string(s.found.text[:s.want]) != n.Value {
		return nil
	}
	return &located{s.found.text[:s.want], s.found.where[:s.want]}
}

// scanner reads a scalar's characters from the lines of a file.
type scanner struct {
	lines        [][]rune
	line, column int // of the next character, from 1
	want         int // characters
	found        located
}

func (s *scanner) emit(r rune, at place) {
	s.found.text = append(s.found.text, r)
	s.found.where = append(s.found.where, at)
}

// flow reads a plain scalar, or one in quotes, over one line or several (YAML
// 1.2, sections 7.3 and 6.5).
func (s *scanner) flow(quote rune) {
	for len(s.found.text) < s.want {
		text := s.lines[s.line-1]
		if s.column > len(text) {
			if !s.fold() {
				return
			}
			continue
		}
		at, r := place{s.line, s.column}, text[s.column-1]
		next := rune(0)
		if s.column < len(text) {
			next = text[s.column]
		}
		switch {
		case quote == '"' && r == '\\':
			escaped, ok := map[rune]rune{'n': '\n', 't': '\t', '"': '"', '\\': '\\', '/': '/'}[next]
			if !ok {
				return
			}
			s.column++
			r = escaped
		case quote == '\'' && r == quote && next == quote:
			s.column++
		case quote != 0 && r == quote:
			return
		}
		s.column++
		s.emit(r, at)
	}
}

// fold goes to the next line: a break between two lines is a space, an empty line
// a break. It reports false at the file's end.
func (s *scanner) fold() bool {
	at := place{s.line, s.column}
	for i := len(s.found.text); i > 0 && (s.found.text[i-1] == ' ' || s.found.text[i-1] == '\t') && s.found.where[i-1].line == s.line; i-- {
		s.found.text, s.found.where = s.found.text[:i-1], s.found.where[:i-1]
	}
	for empty := 0; s.line < len(s.lines); empty++ {
		s.line++
		text := s.lines[s.line-1]
		for s.column = 1; s.column <= len(text) && (text[s.column-1] == ' ' || text[s.column-1] == '\t'); s.column++ {
		}
		if s.column > len(text) {
			s.emit('\n', at)
			continue
		}
		if empty == 0 {
			s.emit(' ', at)
		}
		return true
	}
	return false
}

// block reads a literal or a folded scalar (YAML 1.2, section 8.1), of which each
// line begins where the first one does.
func (s *scanner) block(folded bool) {
	indent := -1
	for s.line < len(s.lines) && len(s.found.text) < s.want {
		s.line++
		text := s.lines[s.line-1]
		blanks := 0
		for blanks < len(text) && text[blanks] == ' ' {
			blanks++
		}
		if indent < 0 && blanks < len(text) {
			indent = blanks
		}
		from := min(max(indent, 0), len(text))
		for i := from; i < len(text); i++ {
			s.emit(text[i], place{s.line, i + 1})
		}
		end := '\n'
		if folded && s.line < len(s.lines) && blanks == indent && s.continues(indent) {
			end = ' '
		}
		s.emit(end, place{s.line, len(text) + 1})
	}
}

// continues reports whether the next line goes on with the one before it in a
// folded scalar: it is neither empty nor set in further.
func (s *scanner) continues(indent int) bool {
	next := s.lines[s.line]
	return len(next) > indent && next[indent] != ' ' && strings.TrimSpace(string(next[:indent])) == ""
}

// PositionIn returns where a line and column, both from 1, of the text at key
// stands in the file. It reports false where that cannot be told: then it returns
// where the text begins.
func (c *Config) PositionIn(key string, line, column int) (inLine, inColumn int, exact bool) {
	if m := c.marks[key]; m != nil && m.located != nil {
		at := m.located.at(line, column)
		return at.line, at.column, true
	}
	inLine, inColumn = c.Position(key)
	return inLine, inColumn, false
}
