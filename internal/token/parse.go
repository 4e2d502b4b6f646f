package token

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// MaxSize bounds a token, in bytes. It is checked before anything is read.
const MaxSize = 16 << 10

const (
	maxHeader = 4 << 10 // bytes of the decoded header
	maxKeyID  = 128     // bytes of a kid
)

// Parsed is a token that was read; nothing of it is verified yet.
type Parsed struct {
	Header Header
	Claims Claims

	signed    string // what the signature is over (RFC 7515, section 5.2)
	signature []byte
}

// Header holds what the gateway uses of the JOSE header.
type Header struct {
	Algorithm string
	KeyID     string // empty: none
	Type      string // typ as it stands; empty: none
}

// Claims are the payload. A time that is zero stands for a claim not present.
type Claims struct {
	Issuer, Subject             string
	Audience                    []string
	Expiry, NotBefore, IssuedAt time.Time
	All                         map[string]any // every claim; numbers are json.Number
}

// Parse reads a compact JWS with a claims set in it, strictly: see the package
// comment. Its errors wrap ErrMalformed, or ErrCritical for a token that asks
// for an extension (RFC 7515, section 4.1.11). They quote nothing of raw.
func Parse(raw string) (*Parsed, error) {
	if len(raw) > MaxSize {
		return nil, fmt.Errorf("%w: is over %d bytes", ErrMalformed, MaxSize)
	}
	header, rest, _ := strings.Cut(raw, ".")
	payload, signature, three := strings.Cut(rest, ".")
	if !three || strings.Contains(signature, ".") {
		return nil, fmt.Errorf("%w: is not three segments", ErrMalformed)
	}
	p := &Parsed{signed: raw[:len(header)+1+len(payload)]}
	var err error
	if p.Header, err = parseHeader(header); err != nil {
		return nil, err
	}
	if p.Claims, err = parseClaims(payload); err != nil {
		return nil, fmt.Errorf("%w: payload %w", ErrMalformed, err)
	}
	if p.signature, err = decodeSegment(signature); err != nil {
		return nil, fmt.Errorf("%w: signature %w", ErrMalformed, err)
	}
	return p, nil
}

// decodeSegment undoes base64url without padding in its one form: no other
// alphabet, no bits that are dropped, and no line breaks, which encoding/base64
// would skip.
func decodeSegment(segment string) ([]byte, error) {
	if strings.ContainsAny(segment, "\r\n") {
		return nil, errors.New("has a line break in its base64url")
	}
	decoded, err := base64.RawURLEncoding.Strict().DecodeString(segment)
	if err != nil {
		return nil, errors.New("is not strict base64url")
	}
	return decoded, nil
}

// headerNames are the registered header parameters: those of JWS (RFC 7515,
// 7797) and JWE (RFC 7516, 7518). None may stand in another case.
var headerNames = []string{
	"alg", "kid", "typ", "cty", "crit", "b64", "jku", "jwk", "x5u", "x5c", "x5t", "x5t#S256",
	"enc", "zip", "epk", "apu", "apv", "iv", "tag", "p2s", "p2c",
}

func parseHeader(segment string) (h Header, err error) {
	if len(segment) > base64.RawURLEncoding.EncodedLen(maxHeader) {
		return h, fmt.Errorf("%w: header is over %d bytes", ErrMalformed, maxHeader)
	}
	doc, err := decodeSegment(segment)
	if err != nil {
		return h, fmt.Errorf("%w: header %w", ErrMalformed, err)
	}
	object, err := readObject(doc, maxValues)
	if err != nil {
		return h, fmt.Errorf("%w: header %w", ErrMalformed, err)
	}
	// A header that names an extension is refused even where the value makes no
	// sense; b64 means nothing without crit (RFC 7797, section 6).
	for _, name := range []string{"crit", "b64"} {
		if _, present := object[name]; present {
			return h, fmt.Errorf("%w: %s", ErrCritical, name)
		}
	}
	if h, err = readHeader(object); err != nil {
		return h, fmt.Errorf("%w: header %w", ErrMalformed, err)
	}
	return h, nil
}

// readHeader takes what is used. jku, x5u, jwk and x5c are left where they are:
// a token cannot bring its own key (RFC 8725, section 3.10).
func readHeader(object map[string]any) (h Header, err error) {
	if err := refuseTwins(object, headerNames); err != nil {
		return h, err
	}
	for _, name := range []string{"enc", "zip"} { // a JWE's
		if _, present := object[name]; present {
			return h, fmt.Errorf("has %q, which no signed token has", name)
		}
	}
	if h.Algorithm, err = optionalString(object, "alg"); err != nil {
		return h, err
	}
	if h.Algorithm == "" {
		return h, errors.New("has no alg")
	}
	if h.Type, err = optionalString(object, "typ"); err != nil {
		return h, err
	}
	h.KeyID, err = keyID(object)
	return h, err
}

// keyID reads a kid: an opaque string, of bounded length and printable.
func keyID(object map[string]any) (string, error) {
	kid, err := optionalString(object, "kid")
	if err != nil {
		return "", err
	}
	return kid, checkKeyID(kid)
}

func checkKeyID(kid string) error {
	if len(kid) > maxKeyID {
		return fmt.Errorf("has a kid of over %d bytes", maxKeyID)
	}
	if strings.ContainsFunc(kid, unicode.IsControl) {
		return errors.New("has a kid with a control character")
	}
	return nil
}

// claimNames are the claims that decide something. None may stand in another
// case.
var claimNames = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "scope", "scp"}

func parseClaims(segment string) (c Claims, err error) {
	doc, err := decodeSegment(segment)
	if err != nil {
		return c, err
	}
	all, err := readObject(doc, maxValues)
	if err != nil {
		return c, err
	}
	return ReadClaims(all)
}

// ReadClaims reads claims that were not in a token but in what an issuer says of
// one (RFC 7662, section 2.2), as strictly: of the right types, and no name that
// equals a known one but for case.
func ReadClaims(all map[string]any) (c Claims, err error) {
	c.All = all
	if err := refuseTwins(c.All, claimNames); err != nil {
		return c, err
	}
	if c.Issuer, err = optionalString(c.All, "iss"); err != nil {
		return c, err
	}
	if c.Subject, err = optionalString(c.All, "sub"); err != nil {
		return c, err
	}
	if _, err = optionalString(c.All, "jti"); err != nil {
		return c, err
	}
	if c.Audience, err = audience(c.All); err != nil {
		return c, err
	}
	if c.Expiry, err = numericDate(c.All, "exp"); err != nil {
		return c, err
	}
	if c.NotBefore, err = numericDate(c.All, "nbf"); err != nil {
		return c, err
	}
	c.IssuedAt, err = numericDate(c.All, "iat")
	return c, err
}

// audience reads aud: a string, or an array of strings (RFC 7519, section 4.1.3).
func audience(claims map[string]any) ([]string, error) {
	value, present := claims["aud"]
	if !present {
		return nil, nil
	}
	if one, ok := value.(string); ok {
		return []string{one}, nil
	}
	array, ok := value.([]any)
	if !ok {
		return nil, errors.New(`has an "aud" that is neither a string nor an array`)
	}
	all := make([]string, len(array))
	for i, element := range array {
		if all[i], ok = element.(string); !ok {
			return nil, errors.New(`has an "aud" with an element that is not a string`)
		}
	}
	return all, nil
}
