package secrets

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// Text returns the Document of a backend that keeps text: the text itself, and
// as fields the strings of the JSON object that it may be. The errors name the
// backend and the path.
func Text(backend, path string, content Secret) Document {
	return text{backend, path, content}
}

type text struct {
	backend, path string
	content       Secret
}

// Field implements [Document].
func (t text) Field(name string) (Secret, error) {
	secret, err := t.content, error(nil)
	if name != "" {
		secret, err = JSONField([]byte(t.content.Reveal()), name)
	} else if secret.Empty() {
		err = ErrEmpty
	}
	if err != nil {
		return Secret{}, fmt.Errorf("%s: read %s: %w", t.backend, Reference{Path: t.path, Field: name}, err)
	}
	return secret, nil
}

// JSONField returns the string in a field of a JSON object: [ErrNotFound] if
// there is no such field, [ErrEmpty] if nothing is in it, [ErrInvalid] if it is
// no string or text as a whole is not good. The errors quote nothing of text.
func JSONField(text []byte, field string) (Secret, error) {
	m, err := findMember(text, field)
	switch {
	case err != nil:
		return Secret{}, err
	case !m.found:
		return Secret{}, fmt.Errorf("%w: there is no such field", ErrNotFound)
	case m.value.Kind() != '"':
		return Secret{}, fmt.Errorf("%w: the field is not a string", ErrInvalid)
	}
	value, err := jsontext.AppendUnquote(nil, m.value)
	switch {
	case err != nil: // not after a good look
		return Secret{}, fmt.Errorf("%w: the field is not a string", ErrInvalid)
	case len(value) == 0:
		return Secret{}, ErrEmpty
	}
	return NewSecret(string(value)), nil
}

// withField returns a JSON object in which field is value, and all else stands
// as in text.
func withField(text []byte, field string, value Secret) ([]byte, error) {
	quotedName, nameErr := jsontext.AppendQuote(nil, field)
	quoted, err := jsontext.AppendQuote(nil, value.Reveal())
	if err != nil || nameErr != nil {
		return nil, fmt.Errorf("%w: what goes into a field must be UTF-8", ErrInvalid)
	}
	m, err := findMember(text, field)
	switch {
	case err != nil:
		return nil, err
	case m.found:
		return slices.Concat(text[:m.from], quoted, text[m.to:]), nil
	}
	comma := ""
	if m.others {
		comma = ", "
	}
	return slices.Concat(text[:m.end], []byte(comma), quotedName, []byte(": "), quoted, text[m.end:]), nil
}

// member is where a field stands in the text of a JSON object.
type member struct {
	found    bool
	value    jsontext.Value
	from, to int64 // the value's place

	others bool  // there are members
	end    int64 // of the last one, or of the brace: the place for one more
}

// findMember looks for a field. All of text must be good: jsontext refuses a
// name that occurs twice, of which each parser takes another (RFC 8259, section
// 4), and bad UTF-8. Its errors may quote text, so the ones here tell where and
// not what.
func findMember(text []byte, field string) (m member, err error) {
	dec := jsontext.NewDecoder(bytes.NewReader(text))
	broken := func() (member, error) {
		return member{}, fmt.Errorf("%w: not one good JSON object (at byte %d)", ErrInvalid, dec.InputOffset())
	}
	if open, err := dec.ReadToken(); err != nil || open.Kind() != '{' {
		return broken()
	}
	m.end = dec.InputOffset()
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return broken()
		}
		wanted := name.String() == field // name is gone with the next read
		value, err := dec.ReadValue()
		if err != nil {
			return broken()
		}
		m.others, m.end = true, dec.InputOffset()
		if wanted {
			m.found, m.value = true, value.Clone()
			m.from, m.to = m.end-int64(len(value)), m.end
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return broken()
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return broken()
	}
	return m, nil
}
