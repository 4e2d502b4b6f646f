package audit

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// minKey is the shortest HMAC key, in bytes.
const minKey = 32

// ErrWeakKey says that a key is too short to be trusted.
var ErrWeakKey = errors.New("the audit key must have at least 32 bytes")

// CheckKey says what is wrong with a key.
func CheckKey(key []byte) error {
	if len(key) < minKey {
		return ErrWeakKey
	}
	return nil
}

// Labels of what is derived of a key (RFC 5869): what one key has signed is
// worth nothing under the other.
const (
	recordLabel = "sallyport audit log: record"
	headLabel   = "sallyport audit log: head"
	idLabel     = "sallyport audit log: key id"
)

// keys are what is derived of one key.
type keys struct {
	record, head []byte
	id           string // tells keys apart and gives nothing away
}

func deriveKeys(key []byte) (*keys, error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	k := new(keys)
	var id []byte
	for _, d := range []struct {
		into  *[]byte
		label string
		size  int
	}{{&k.record, recordLabel, 32}, {&k.head, headLabel, 32}, {&id, idLabel, 8}} {
		derived, err := hkdf.Key(sha256.New, key, nil, d.label, d.size)
		if err != nil {
			return nil, fmt.Errorf("audit: derive key: %w", err)
		}
		*d.into = derived
	}
	k.id = hex.EncodeToString(id)
	return k, nil
}

// digestSize is the length of a digest in hex.
const digestSize = 2 * sha256.Size

// genesis is the digest that the first record follows.
var genesis = strings.Repeat("0", digestSize)

func mac(key, text []byte) string {
	h := hmac.New(sha256.New, key)
	h.Write(text)
	return hex.EncodeToString(h.Sum(nil))
}

// seal puts the HMAC of object, a JSON object, into it as the last member, and
// ends the line. What is signed is the text before that member, as it stands.
func seal(key, object []byte) (sealed []byte, digest string) {
	body := object[:len(object)-1]
	digest = mac(key, body)
	return append(body, `,"hmac":"`+digest+"\"}\n"...), digest
}

// suffix begins what seal puts at the end of an object.
const suffix = `,"hmac":"`

// unseal takes a sealed line, without its end, apart. It reports false where it
// is none.
func unseal(text []byte) (body []byte, digest string, ok bool) {
	cut := len(text) - len(suffix) - digestSize - len(`"}`)
	if cut < 1 || !bytes.HasPrefix(text[cut:], []byte(suffix)) || !bytes.HasSuffix(text, []byte(`"}`)) {
		return nil, "", false
	}
	return text[:cut], string(text[cut+len(suffix) : len(text)-len(`"}`)]), true
}

// signed reports whether digest is the HMAC of body.
func signed(key, body []byte, digest string) bool {
	return hmac.Equal([]byte(mac(key, body)), []byte(digest))
}

// point is a place in the chain: a record's number and digest.
type point struct {
	seq    uint64
	digest string
}

// head is what PATH.head holds: the newest record that is on the disk, the number
// up to which more may be, and under which key. It is written before a batch and
// after it, so that a log which has more than Until was not left with this head:
// an old head, put back to hide a cut tail, shows.
type head struct {
	Seq    uint64 `json:"seq"`
	Digest string `json:"digest"`
	Until  uint64 `json:"until"`
	Key    string `json:"key"`
}

func encodeHead(k *keys, newest point, until uint64) ([]byte, error) {
	object, err := json.Marshal(head{newest.seq, newest.digest, until, k.id})
	if err != nil {
		return nil, fmt.Errorf("audit: head: %w", err)
	}
	text, _ := seal(k.head, object)
	return text, nil
}

// standing is how far a head, or a record at a log's end, can be believed.
type standing int

const (
	missing  standing = iota
	wrong             // no such text, or not signed by the key it names
	foreign           // under a key that is not at hand
	verified          //
)

// readHead reads what encodeHead has written.
func readHead(text []byte, known ...*keys) (head, standing) {
	body, digest, ok := unseal(bytes.TrimSuffix(text, []byte("\n")))
	var h head
	if !ok || json.Unmarshal(append(bytes.Clone(body), '}'), &h) != nil || len(h.Digest) != digestSize {
		return head{}, wrong
	}
	for _, k := range known {
		if k.id == h.Key {
			if signed(k.head, body, digest) {
				return h, verified
			}
			return h, wrong
		}
	}
	return h, foreign
}

// stub is what the chain needs to know of a record.
type stub struct {
	Seq    uint64 `json:"seq"`
	Event  string `json:"event"`
	Action string `json:"action"`
	Reason string `json:"reason"`
	Key    string `json:"key"`
	Prev   string `json:"prev"`
	digest string
}

func (s stub) point() point { return point{s.Seq, s.digest} }

// readRecord reads one line, without its end.
func readRecord(text []byte, known ...*keys) (stub, standing) {
	body, digest, ok := unseal(text)
	s := stub{digest: digest}
	if !ok || json.Unmarshal(append(bytes.Clone(body), '}'), &s) != nil {
		return stub{}, wrong
	}
	for _, k := range known {
		if k.id == s.Key {
			if signed(k.record, body, digest) {
				return s, verified
			}
			return s, wrong
		}
	}
	return s, foreign
}
