package telemetry

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
)

// Traceparent returns the W3C Trace Context header to send on: parent if it is
// a valid one of version 00, with this hop's own span id, else a fresh and
// unsampled one.
func Traceparent(parent string) string {
	var span [8]byte
	_, _ = rand.Read(span[:]) // never fails (crypto/rand)
	if validTraceparent(parent) {
		return parent[:36] + hex.EncodeToString(span[:]) + parent[52:]
	}
	var trace [16]byte
	_, _ = rand.Read(trace[:])
	return "00-" + hex.EncodeToString(trace[:]) + "-" + hex.EncodeToString(span[:]) + "-00"
}

const zeros = "00000000000000000000000000000000"

// validTraceparent reports whether s is 00-TRACE-SPAN-FLAGS in lower-case hex,
// neither id all zero (W3C Trace Context, section 3.2.2).
func validTraceparent(s string) bool {
	if len(s) != 55 || s[:3] != "00-" || s[35] != '-' || s[52] != '-' {
		return false
	}
	trace, span, flags := s[3:35], s[36:52], s[53:]
	return trace != zeros && span != zeros[:16] && lowerHex(trace) && lowerHex(span) && lowerHex(flags)
}

func lowerHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }
