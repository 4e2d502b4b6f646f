package audit

import (
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"
)

// Event is what is to be recorded: who asked for what, what became of it, and
// why. Fields that do not apply stay empty and are left out. No field is for a
// value of a secret, a token or a query.
type Event struct {
	Time time.Time // when it happened; zero means when it was told
	Kind string    // one of the Kind words

	Action    string // of a kind with several
	Decision  string // allow or deny
	Result    string // success, or the failure in a word
	RequestID string
	IP        string // the caller's address
	Method    string
	Path      string // without query
	Route     string
	Status    int // that was answered
	Check     string
	Reason    string // one word
	Subject   string
	Issuer    string
	Name      string // of the credential, secret, keyring or file it is about
	Backend   string
	Detail    string
	Count     uint64
	Changed   bool
}

// The kinds of events (CONTRACT 10).
const (
	KindDeny       = "deny"
	KindCredential = "credential"
	KindSecret     = "secret"
	KindKey        = "key"
	KindReload     = "reload"
	KindAdmin      = "admin"
	KindLog        = "log" // about the log itself
)

// Bounds of a field's text, in bytes. Escaped, a line stays under [maxLine].
const (
	maxPath = 2048
	maxText = 256
	maxLine = 64 << 10
)

// line is a record as JSON, but for its HMAC. The order of the fields is that
// of the text.
type line struct {
	Seq       uint64 `json:"seq"`
	Time      any    `json:"time"`
	Event     string `json:"event"`
	Action    string `json:"action,omitempty"`
	Decision  string `json:"decision,omitempty"`
	Result    string `json:"result,omitempty"`
	RequestID string `json:"request_id,omitempty"`
	IP        string `json:"ip,omitempty"`
	Method    string `json:"method,omitempty"`
	Path      string `json:"path,omitempty"`
	Route     string `json:"route,omitempty"`
	Status    int    `json:"status,omitempty"`
	Check     string `json:"check,omitempty"`
	Reason    string `json:"reason,omitempty"`
	Subject   string `json:"subject,omitempty"`
	Issuer    string `json:"issuer,omitempty"`
	Name      string `json:"name,omitempty"`
	Backend   string `json:"backend,omitempty"`
	Detail    string `json:"detail,omitempty"`
	Count     uint64 `json:"count,omitempty"`
	Changed   bool   `json:"changed,omitempty"`
	Key       string `json:"key"`
	Prev      string `json:"prev"`
}

// encode writes e as the JSON object of record seq, without a line's end. The
// text is printable ASCII whatever e holds: control characters, marks that turn
// the direction of writing and all else are escaped.
func encode(e Event, seq uint64, key, prev string) ([]byte, error) {
	text, err := json.Marshal(line{
		Seq: seq, Time: moment(e.Time), Event: capped(e.Kind, maxText), Action: capped(e.Action, maxText),
		Decision: capped(e.Decision, maxText), Result: capped(e.Result, maxText), RequestID: capped(e.RequestID, maxText),
		IP: capped(e.IP, maxText), Method: capped(e.Method, maxText), Path: capped(e.Path, maxPath), Route: capped(e.Route, maxText),
		Status: e.Status, Check: capped(e.Check, maxText), Reason: capped(e.Reason, maxText), Subject: capped(e.Subject, maxText),
		Issuer: capped(e.Issuer, maxText), Name: capped(e.Name, maxPath), Backend: capped(e.Backend, maxText),
		Detail: capped(e.Detail, maxText), Count: e.Count, Changed: e.Changed, Key: key, Prev: prev,
	})
	if err != nil {
		return nil, fmt.Errorf("audit: record %d: %w", seq, err)
	}
	return printable(text), nil
}

// moment is t as RFC 3339 in UTC, or as seconds since 1970 where that has no
// form for it: years before 0 and after 9999.
func moment(t time.Time) any {
	t = t.UTC()
	if year := t.Year(); year < 0 || year > 9999 {
		return t.Unix()
	}
	return t.Format(time.RFC3339Nano)
}

// printable escapes what is not printable ASCII in a JSON text of package json,
// where such stands in strings only.
func printable(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r >= ' ' && r <= '~':
			out = append(out, text[0])
		case r > 0xffff: // a surrogate pair
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		text = text[size:]
	}
	return out
}

// capped cuts s to n bytes, at a rune's boundary.
func capped(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
