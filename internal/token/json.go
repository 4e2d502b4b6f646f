package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of the JSON that is read here. A token's are far above what issuers
// send, and a key set's allow for a hundred keys with certificate chains.
const (
	maxDepth     = 32    // objects and arrays inside each other
	maxValues    = 1000  // values in a token's header or payload
	maxSetValues = 20000 // values in a key set
	maxNumber    = 64    // characters of a number
)

// readObject reads doc as exactly one JSON object of at most limit values:
// names unique after their escapes are undone, valid UTF-8, no unpaired
// surrogate, nothing but white space around it (RFC 7493, section 2). Numbers
// stay the text they were, as json.Number.
//
// Its errors do not quote doc, which may be a key.
func readObject(doc []byte, limit int) (map[string]any, error) {
	r := reader{dec: jsontext.NewDecoder(bytes.NewBuffer(doc)), left: limit}
	value, err := r.value(0)
	if err != nil {
		return nil, r.explain(err)
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("is not a JSON object")
	}
	if _, err := r.dec.ReadToken(); err != io.EOF {
		return nil, errors.New("has data after the JSON object")
	}
	return object, nil
}

// ReadObject reads a document that an issuer answers with, as strictly as tokens
// are read: one JSON object, no name twice, valid UTF-8, at most 20,000 values.
// Numbers are json.Number. Its errors do not quote doc.
func ReadObject(doc []byte) (map[string]any, error) { return readObject(doc, maxSetValues) }

type reader struct {
	dec  *jsontext.Decoder
	left int // values that may still come
}

func (r *reader) value(depth int) (any, error) {
	if r.left--; r.left < 0 {
		return nil, errors.New("has too many values")
	}
	t, err := r.dec.ReadToken()
	if err != nil {
		return nil, err
	}
	switch t.Kind() {
	case 'n':
		return nil, nil
	case 't', 'f':
		return t.Bool(), nil
	case '"':
		return t.String(), nil
	case '0':
		n := t.String()
		if len(n) > maxNumber {
			return nil, errors.New("has a number that is too long")
		}
		return json.Number(n), nil
	}
	if depth == maxDepth {
		return nil, errors.New("is nested too deeply")
	}
	if t.Kind() == '[' {
		return r.array(depth + 1)
	}
	return r.object(depth + 1)
}

func (r *reader) object(depth int) (any, error) {
	object := make(map[string]any)
	for r.dec.PeekKind() != '}' {
		t, err := r.dec.ReadToken()
		if err != nil {
			return nil, err
		}
		name := t.String()
		if object[name], err = r.value(depth); err != nil {
			return nil, err
		}
	}
	_, err := r.dec.ReadToken()
	return object, err
}

func (r *reader) array(depth int) (any, error) {
	array := []any{}
	for r.dec.PeekKind() != ']' {
		element, err := r.value(depth)
		if err != nil {
			return nil, err
		}
		array = append(array, element)
	}
	_, err := r.dec.ReadToken()
	return array, err
}

// explain tells a syntax error in words that hold nothing of the text.
func (r *reader) explain(err error) error {
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return errors.New("has a name twice in one object")
	case errors.As(err, &syntax):
		return fmt.Errorf("is not JSON at byte %d", syntax.ByteOffset)
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return errors.New("is not JSON: it ends too soon")
	}
	return err
}

// refuseTwins refuses an object with a name that equals one of the known names
// but for case: one parser would take it for that name, and the next would not.
func refuseTwins(object map[string]any, known []string) error {
	for name := range object {
		for _, k := range known {
			if name != k && strings.EqualFold(name, k) {
				return fmt.Errorf("has a name that is %q in another case", k)
			}
		}
	}
	return nil
}

// optionalString returns the member as a string, and "" where it is absent.
func optionalString(object map[string]any, name string) (string, error) {
	value, present := object[name]
	if !present {
		return "", nil
	}
	s, ok := value.(string)
	if !ok {
		return "", fmt.Errorf("has a %q that is not a string", name)
	}
	return s, nil
}
