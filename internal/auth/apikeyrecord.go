package auth

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sallyport/sallyport/internal/crypto"
)

// APIKeyRecord is what is stored of an API key: enough to know it again, and not
// to be it.
type APIKeyRecord struct {
	ID       string         `json:"id"`
	Prefix   string         `json:"prefix"`            // the key's first 16 characters
	Hash     string         `json:"hash"`              // sha256:HEX of the whole key, or a password hash
	Subject  string         `json:"subject,omitempty"` // empty: the id
	Scopes   []string       `json:"scopes"`
	Claims   map[string]any `json:"claims,omitempty"` // numbers are json.Number
	Expires  *time.Time     `json:"expires,omitempty"`
	Disabled bool           `json:"disabled"`
}

// NewAPIKeyOptions say what a fresh key is called, and what it may do.
type NewAPIKeyOptions struct {
	ID      string // empty: a random one
	Prefix  string // of the key; empty: none
	Subject string // empty: the id
	Scopes  []string
	Expires time.Time // zero: never
}

// Bounds of a key and of its record, in bytes.
const (
	apiKeyPrefix = 16 // as found in a record
	maxAPIKey    = 512
	maxName      = 256 // id, subject, scope
	randomAPIKey = 32  // random bytes of a fresh key
)

// ErrAPIKey is for a record or a wish that cannot be one.
var ErrAPIKey = errors.New("no API key")

// NewAPIKey returns a fresh key, the prefix and 64 hex characters, and the
// record to store of it. The key is in no record: show it once.
func NewAPIKey(o NewAPIKeyOptions) (key string, r APIKeyRecord, err error) {
	if len(o.Prefix) > 64 || !isVisible(o.Prefix) {
		return "", r, fmt.Errorf("%w: a prefix has at most 64 characters, letters, digits and punctuation", ErrAPIKey)
	}
	var secret [randomAPIKey]byte
	_, _ = rand.Read(secret[:]) // never fails
	key = o.Prefix + hex.EncodeToString(secret[:])
	id := o.ID
	if id == "" {
		id = "key-" + strings.ToLower(rand.Text()[:12])
	}
	digest := sha256.Sum256([]byte(key))
	r = APIKeyRecord{
		ID: id, Prefix: key[:apiKeyPrefix], Hash: sha256Name + hex.EncodeToString(digest[:]),
		Subject: cmp.Or(o.Subject, id), Scopes: append([]string{}, o.Scopes...), // [], never null
	}
	if !o.Expires.IsZero() {
		expires := o.Expires.UTC()
		r.Expires = &expires
	}
	if _, err := r.ready(); err != nil {
		return "", r, fmt.Errorf("%w: %w", ErrAPIKey, err)
	}
	return key, r, nil
}

// sha256Name begins the hash of a key that is found by it.
const sha256Name = "sha256:"

// apiKey is a record made ready to serve.
type apiKey struct {
	record  APIKeyRecord
	subject string
	scopes  []string
	claims  map[string]any
	digest  [sha256.Size]byte    // with no slow hash
	slow    *crypto.PasswordHash // nil: the key is found by its digest

	accepted atomic.Bool // has been, since the list was read
}

// ready checks a record. Its errors quote nothing of it.
func (r APIKeyRecord) ready() (*apiKey, error) {
	k := &apiKey{record: r, subject: cmp.Or(r.Subject, r.ID), scopes: slices.Compact(slices.Sorted(slices.Values(r.Scopes)))}
	if err := k.claim(); err != nil {
		return nil, err
	}
	switch {
	case r.ID == "" || len(r.ID) > maxName || !isPrintable(r.ID):
		return nil, fmt.Errorf("id must have 1 to %d bytes that can be printed", maxName)
	case len(r.Subject) > maxName || !isPrintable(r.Subject):
		return nil, fmt.Errorf("subject must have at most %d bytes that can be printed", maxName)
	case slices.ContainsFunc(r.Scopes, func(s string) bool {
		return s == "" || len(s) > maxName || !isVisible(s) || strings.ContainsAny(s, `"\`)
	}):
		return nil, errors.New("scopes must be words without spaces")
	case r.Hash == "":
		return nil, errors.New("hash is missing: write sha256:HEX of the key, or a password hash")
	case len(r.Prefix) > apiKeyPrefix || !isVisible(r.Prefix):
		return nil, fmt.Errorf("prefix must be the key's first %d characters", apiKeyPrefix)
	}
	if digits, ok := strings.CutPrefix(r.Hash, sha256Name); ok {
		digest, err := hex.DecodeString(digits)
		if err != nil || len(digest) != sha256.Size {
			return nil, errors.New("hash must be sha256: and 64 hex digits")
		}
		k.digest = [sha256.Size]byte(digest)
		if k.digest == sha256.Sum256(nil) {
			return nil, errors.New("hash is that of an empty key")
		}
		return k, nil
	}
	slow, err := crypto.ParsePasswordHash(r.Hash)
	if err != nil {
		return nil, fmt.Errorf("hash is neither sha256:HEX nor a password hash: %w", err)
	}
	if len(r.Prefix) != apiKeyPrefix {
		return nil, fmt.Errorf("with a password hash, prefix must be the key's first %d characters", apiKeyPrefix)
	}
	k.slow = slow
	return k, nil
}

// claim says in claims what a token would: who it is and, unless the record has
// a claim for it, what it may do.
func (k *apiKey) claim() error {
	if sub, ok := k.record.Claims["sub"]; ok && sub != k.subject {
		return errors.New("claims has a sub that is not the subject")
	}
	k.claims = make(map[string]any, len(k.record.Claims)+2)
	if len(k.scopes) > 0 {
		k.claims["scope"] = strings.Join(k.scopes, " ")
	}
	maps.Copy(k.claims, k.record.Claims)
	k.claims["sub"] = k.subject
	return nil
}

// isVisible reports whether s has ASCII letters, digits and punctuation only.
func isVisible(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// isPrintable reports whether s has no control characters.
func isPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || 0x7F <= r && r <= 0x9F })
}

// Bounds of a list of records.
const (
	maxAPIKeyList = 1 << 20 // bytes
	maxSamePrefix = 3       // records with a slow hash that one key can make the gateway compute
)

// apiKeyList is one version of a list, ready to be looked up in.
type apiKeyList struct {
	byDigest map[[sha256.Size]byte]*apiKey
	byPrefix map[string][]*apiKey // those with a slow hash
}

// parseAPIKeys reads a JSON list of records. A member that is not known, or
// there twice, is an error: whoever misspells "expires" wants a key that does.
// Errors tell where, and nothing of what stands there.
func parseAPIKeys(doc []byte) (*apiKeyList, error) {
	if len(doc) > maxAPIKeyList {
		return nil, fmt.Errorf("the list of API keys is longer than %d bytes", maxAPIKeyList)
	}
	if kind := jsontext.Value(bytes.TrimLeft(doc, " \t\r\n")).Kind(); kind != '[' {
		return nil, errors.New("the API keys must be a JSON list of records")
	}
	var records []APIKeyRecord
	if err := json.Unmarshal(doc, &records, json.RejectUnknownMembers(true), json.WithUnmarshalers(exactNumbers)); err != nil {
		return nil, explainRecords(err)
	}
	list := &apiKeyList{byDigest: make(map[[sha256.Size]byte]*apiKey, len(records)), byPrefix: make(map[string][]*apiKey)}
	ids := make(map[string]bool, len(records))
	for n, record := range records {
		k, err := record.ready()
		if err == nil && ids[record.ID] {
			err = errors.New("id is another record's too")
		}
		if err == nil {
			err = list.add(k)
		}
		if err != nil {
			return nil, fmt.Errorf("API key [%d]: %w", n, err)
		}
		ids[record.ID] = true
	}
	return list, nil
}

// exact returns the record with the SHA-256 of key, or nil. How long the look-up
// takes tells of the digest, from which nothing leads back to a key; the whole of
// it is then compared in constant time.
func (l *apiKeyList) exact(key string) *apiKey {
	digest := sha256.Sum256([]byte(key))
	k := l.byDigest[digest]
	if k == nil || subtle.ConstantTimeCompare(digest[:], k.digest[:]) != 1 {
		return nil
	}
	return k
}

// candidates returns the records with a slow hash that may be of key, at most
// maxSamePrefix.
func (l *apiKeyList) candidates(key string) []*apiKey {
	return l.byPrefix[key[:min(len(key), apiKeyPrefix)]]
}

func (l *apiKeyList) add(k *apiKey) error {
	if k.slow == nil {
		if l.byDigest[k.digest] != nil {
			return errors.New("hash is another record's too")
		}
		l.byDigest[k.digest] = k
		return nil
	}
	same := append(l.byPrefix[k.record.Prefix], k)
	if len(same) > maxSamePrefix {
		return fmt.Errorf("more than %d records with a password hash have its prefix", maxSamePrefix)
	}
	l.byPrefix[k.record.Prefix] = same
	return nil
}

// exactNumbers keeps the numbers of claims as the text they were.
var exactNumbers = json.UnmarshalFromFunc(func(dec *jsontext.Decoder, value *any) error {
	if dec.PeekKind() != '0' {
		return errors.ErrUnsupported
	}
	number, err := dec.ReadValue()
	*value = stdjson.Number(number)
	return err
})

// explainRecords tells what is wrong with JSON by its place alone.
func explainRecords(err error) error {
	var meaning *json.SemanticError
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, json.ErrUnknownName) && errors.As(err, &meaning):
		return fmt.Errorf("API keys: %.80s is no member of a record", meaning.JSONPointer)
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
		return fmt.Errorf("API keys: %.80s is there twice", syntax.JSONPointer)
	case errors.As(err, &syntax):
		return fmt.Errorf("API keys: not JSON at byte %d", syntax.ByteOffset)
	case errors.As(err, &meaning):
		return fmt.Errorf("API keys: %.80s is not of the right type", meaning.JSONPointer)
	}
	return errors.New("API keys: not a JSON list of records")
}
