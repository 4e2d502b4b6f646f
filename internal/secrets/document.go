package secrets

import (
	"bytes"
	"errors"
	"fmt"
	"io"

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
// there is no such field, [ErrEmpty] if nothing is in it. All of text must be
// good: jsontext refuses a name that occurs twice, of which each parser takes
// another (RFC 8259, section 4), and bad UTF-8. Its errors may quote text, so
// the ones here tell where and not what.
func JSONField(text []byte, field string) (Secret, error) {
	dec := jsontext.NewDecoder(bytes.NewReader(text))
	broken := func() error {
		return fmt.Errorf("%w: not one good JSON object (at byte %d)", ErrInvalid, dec.InputOffset())
	}
	if open, err := dec.ReadToken(); err != nil || open.Kind() != '{' {
		return Secret{}, broken()
	}
	value, found := "", false
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return Secret{}, broken()
		}
		if name.String() != field {
			if err := dec.SkipValue(); err != nil {
				return Secret{}, broken()
			}
			continue
		}
		token, err := dec.ReadToken()
		switch {
		case err != nil:
			return Secret{}, broken()
		case token.Kind() != '"':
			return Secret{}, fmt.Errorf("%w: the field is not a string", ErrInvalid)
		}
		value, found = token.String(), true
	}
	if _, err := dec.ReadToken(); err != nil {
		return Secret{}, broken()
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return Secret{}, broken()
	}
	switch {
	case !found:
		return Secret{}, fmt.Errorf("%w: there is no such field", ErrNotFound)
	case value == "":
		return Secret{}, ErrEmpty
	}
	return NewSecret(value), nil
}
