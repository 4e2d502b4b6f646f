package api

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxItems bounds a batch.
const maxItems = 1000

// read reads the body as exactly one JSON object of the shape of into: no
// unknown name, none twice, no null, nothing after it, valid UTF-8. Its depth is
// bounded by that shape.
func (c *call) read(into any) error { return c.readUpTo(c.crypto.MaxBody, into) }

// readSealed is read for ciphertexts: a body is as large as what could become of
// the plaintexts of one, a third more by base64, and what each item grows by.
// What was taken to encrypt could not be sent to decrypt otherwise.
func (c *call) readSealed(into any) error {
	return c.readUpTo(c.crypto.MaxBody+c.crypto.MaxBody/3+maxItems*itemGrowth, into)
}

// itemGrowth is more than a ciphertext is longer than base64 of its plaintext, in
// bytes: by version, nonce, padding and tag, and its name.
const itemGrowth = 128

func (c *call) readUpTo(size int64, into any) error {
	body, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, size))
	if err != nil {
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			return errTooLarge
		}
		return badBody("the body cannot be read")
	}
	if err := json.Unmarshal(body, into, json.RejectUnknownMembers(true)); err != nil {
		if _, syntax := errors.AsType[*jsontext.SyntacticError](err); syntax {
			return badBody("the body is not one JSON object, or a name in it is repeated")
		}
		return badBody("the body has a name that is unknown, or a value of another type")
	}
	if bytes.Contains(body, []byte("null")) && hasNull(body) {
		return badBody("the body has a null; leave out what has no value")
	}
	return nil
}

// hasNull reports whether a value in the JSON is null, which is read as if it
// were left out.
func hasNull(body []byte) bool {
	for d := jsontext.NewDecoder(bytes.NewReader(body)); ; {
		switch token, err := d.ReadToken(); {
		case err != nil:
			return false // the end
		case token.Kind() == 'n':
			return true
		}
	}
}

// encoding is how the text of a body stands for bytes. Left out it is empty.
type encoding string

// The encodings of text in bodies.
const (
	utf8Text   encoding = "utf8"
	base64Text encoding = "base64"
)

var errNoEncoding = errors.New("an encoding has a name")

// UnmarshalText implements [encoding.TextUnmarshaler]: what is written is not
// empty.
func (e *encoding) UnmarshalText(text []byte) error {
	if *e = encoding(text); *e == "" {
		return errNoEncoding
	}
	return nil
}

// bytesOf decodes a text of a body. Base64 is standard, padded and canonical.
func bytesOf(name string, text *string, in encoding) ([]byte, error) {
	if text == nil {
		return nil, badBody("%s is missing", name)
	}
	switch in {
	case "", utf8Text:
		return []byte(*text), nil
	case base64Text:
		decoded, err := base64.StdEncoding.DecodeString(*text)
		if err != nil || base64.StdEncoding.EncodeToString(decoded) != *text {
			return nil, badBody("%s is not base64: standard alphabet, padded", name)
		}
		return decoded, nil
	}
	return nil, errEncoding()
}

func errEncoding() error { return badBody("encoding is utf8 or base64") }

// textOf writes bytes for a body: in base64 if that is asked, or if nothing was
// asked and they are no text.
func textOf(plaintext []byte, asked encoding) (text string, written encoding, err error) {
	isText := utf8.Valid(plaintext)
	switch {
	case asked == base64Text, asked == "" && !isText:
		return base64.StdEncoding.EncodeToString(plaintext), base64Text, nil
	case asked != "" && asked != utf8Text:
		return "", "", errEncoding()
	case !isText:
		return "", "", badBody("the plaintext is not UTF-8; ask for encoding base64")
	}
	return string(plaintext), utf8Text, nil
}

// batch is a body of one question, or of many.
type batch[Q comparable] struct {
	One   Q    `json:",embed"`
	Items *[]Q `json:"items,omitzero"`
}

// failed stands in an answer's items for one that could not be had.
type failed struct {
	Error struct {
		Status int    `json:"status"`
		Title  string `json:"title"`
		Detail string `json:"detail"`
	} `json:"error"`
}

// answers answers the one question, or all of them in their order.
func answers[Q comparable, A any](b batch[Q], answer func(Q) (A, error)) (any, error) {
	if b.Items == nil {
		return answer(b.One)
	}
	var none Q
	switch {
	case b.One != none:
		return nil, badBody("items stand alone: no other name beside them")
	case len(*b.Items) > maxItems:
		return nil, badBody("items has more than %d", maxItems)
	}
	list := make([]any, len(*b.Items))
	for i, q := range *b.Items {
		a, err := answer(q)
		if err == nil {
			list[i] = a
			continue
		}
		t, f := told(err), failed{}
		f.Error.Status, f.Error.Title, f.Error.Detail = t.status, http.StatusText(t.status), t.detail
		list[i] = f
	}
	return struct {
		Items []any `json:"items"`
	}{list}, nil
}

// answer writes a result.
func answer(w http.ResponseWriter, result any) {
	body, isText := result.(jsontext.Value)
	if !isText {
		var err error
		if body, err = json.Marshal(result); err != nil { // what is answered here always encodes
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(append(body, '\n'))
}
