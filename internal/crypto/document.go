package crypto

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Type is how a keyring seals.
type Type string

// The types of keyrings.
const (
	Fernet    Type = "fernet"      // tokens of the Fernet spec
	AES256GCM Type = "aes256-gcm"  // 96-bit random nonces, NIST SP 800-38D
	XAES256   Type = "xaes256-gcm" // 192-bit random nonces, C2SP XAES-256-GCM
	HMAC      Type = "hmac"        // HMAC-SHA-256, RFC 2104: authenticates and seals nothing
)

// Bounds of a keyring document.
const (
	maxDocument = 256 << 10 // bytes
	maxVersions = 1000
	maxVersion  = 1<<31 - 1
	keySize     = 32   // bytes; of an hmac key at least
	maxHMACKey  = 1024 // bytes
)

// ErrDocument says that a secret is no keyring document.
var ErrDocument = errors.New("not a keyring document")

// Document is a keyring as the secret backend holds it. It has no String that
// shows a key.
type Document struct {
	Primary  int
	Versions map[int]DocumentVersion
}

// DocumentVersion is one key of a Document.
type DocumentVersion struct {
	Created time.Time // zero: not told
	Retired bool      // neither seals nor opens any more
	key     []byte
}

// document is the JSON of a Document.
type document struct {
	Primary  int                 `json:"primary"`
	Versions map[string]versions `json:"versions"`
}

type versions struct {
	Key     string    `json:"key"`
	Created time.Time `json:"created,omitzero"`
	Retired bool      `json:"retired"`
}

// ParseDocument reads a keyring document, or a bare key in base64, which is
// version 1. Unknown and repeated names are refused, and so is a document whose
// primary could not seal. Errors wrap [ErrDocument] and quote no key.
func ParseDocument(t Type, text []byte) (Document, error) {
	d, err := parseDocument(t, text)
	if err != nil {
		return Document{}, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	return d, nil
}

func parseDocument(t Type, text []byte) (Document, error) {
	if len(text) > maxDocument {
		return Document{}, fmt.Errorf("over %d bytes", maxDocument)
	}
	trimmed := strings.TrimSpace(string(text))
	if !strings.HasPrefix(trimmed, "{") {
		key, err := parseKey(t, trimmed)
		return Document{Primary: 1, Versions: map[int]DocumentVersion{1: {key: key}}}, err
	}
	var read document
	if err := json.Unmarshal([]byte(trimmed), &read, json.RejectUnknownMembers(true)); err != nil {
		return Document{}, explain(err)
	}
	if len(read.Versions) > maxVersions {
		return Document{}, fmt.Errorf("over %d versions", maxVersions)
	}
	d := Document{Primary: read.Primary, Versions: make(map[int]DocumentVersion, len(read.Versions))}
	for name, v := range read.Versions {
		number, err := strconv.Atoi(name)
		if err != nil || number < 1 || number > maxVersion || strconv.Itoa(number) != name {
			return Document{}, fmt.Errorf("a version is not a number from 1 to %d", maxVersion)
		}
		key, err := parseKey(t, v.Key)
		if err != nil {
			return Document{}, fmt.Errorf("version %d: %w", number, err)
		}
		d.Versions[number] = DocumentVersion{Created: v.Created, Retired: v.Retired, key: key}
	}
	switch primary, ok := d.Versions[d.Primary]; {
	case !ok:
		return Document{}, errors.New("primary is none of its versions")
	case primary.Retired:
		return Document{}, errors.New("its primary is retired")
	}
	return d, nil
}

// explain says what is wrong with the JSON without quoting it.
func explain(err error) error {
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return fmt.Errorf("JSON is broken, or a name is repeated, at byte %d", syntax.ByteOffset)
	}
	if semantic, ok := errors.AsType[*json.SemanticError](err); ok {
		return fmt.Errorf("a member is unknown, or of another type, at byte %d", semantic.ByteOffset)
	}
	return errors.New("it cannot be read as JSON")
}

// parseKey reads a key in canonical base64, either alphabet, with its padding.
func parseKey(t Type, text string) ([]byte, error) {
	key, ok := decode(standardBase64, text)
	if !ok {
		key, ok = decode(urlBase64, text)
	}
	switch {
	case !ok:
		return nil, errors.New("the key is not base64")
	case t == HMAC && (len(key) < keySize || len(key) > maxHMACKey):
		return nil, fmt.Errorf("an hmac key has %d to %d bytes", keySize, maxHMACKey)
	case t != HMAC && len(key) != keySize:
		return nil, fmt.Errorf("a key has %d bytes", keySize)
	}
	return key, nil
}

// The base64 of keys and ciphertexts, which takes no stray bits.
var (
	standardBase64 = base64.StdEncoding.Strict()
	urlBase64      = base64.URLEncoding.Strict()
)

// decode decodes text if it is exactly what its bytes encode to: no stray bits,
// no missing padding, and none of the line breaks that base64 skips.
func decode(strict *base64.Encoding, text string) ([]byte, bool) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, false
	}
	decoded, err := strict.DecodeString(text)
	return decoded, err == nil
}

// Rotate returns d with a fresh key as its new primary, one version above the
// highest.
func (d Document) Rotate(t Type, now time.Time) (Document, error) {
	newest := slices.Max(slices.Collect(maps.Keys(d.Versions)))
	if newest == maxVersion || len(d.Versions) >= maxVersions {
		return Document{}, fmt.Errorf("%w: it has as many versions as it can", ErrDocument)
	}
	next := Document{Primary: newest + 1, Versions: maps.Clone(d.Versions)}
	next.Versions[next.Primary] = DocumentVersion{Created: now.UTC().Truncate(time.Second), key: random(keySize)}
	return next, nil
}

// NewDocument returns a document of one fresh key.
func NewDocument(now time.Time) Document {
	return Document{Primary: 1, Versions: map[int]DocumentVersion{1: {Created: now.UTC().Truncate(time.Second), key: random(keySize)}}}
}

// Encode returns the JSON to store in the secret backend. It holds the keys.
func (d Document) Encode(t Type) ([]byte, error) {
	written := document{Primary: d.Primary, Versions: make(map[string]versions, len(d.Versions))}
	encoding := base64.StdEncoding
	if t == Fernet {
		encoding = base64.URLEncoding
	}
	for number, v := range d.Versions {
		written.Versions[strconv.Itoa(number)] = versions{encoding.EncodeToString(v.key), v.Created, v.Retired}
	}
	return json.Marshal(written, json.Deterministic(true))
}
