package proxy

import (
	"crypto/rand"
	"encoding/hex"
)

// requestID returns a fresh id of 32 hex characters, or the one a trusted proxy
// gave the request.
func requestID(x *exchange) string {
	if x.trusted {
		if ids := x.fields.Values("X-Request-Id"); len(ids) == 1 && validID(ids[0]) {
			return ids[0]
		}
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	return hex.EncodeToString(id[:])
}

// validID reports whether an id is 1 to 64 letters, digits and hyphens, which
// no log or header can read as anything else.
func validID(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for i := 0; i < len(id); i++ {
		c := id[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-') {
			return false
		}
	}
	return true
}
