// Package telemetry is what an operator can see: the log, the access log and
// trace context.
//
// # Security
//
// Secrets redact themselves by type; the handlers made here also redact by the
// name of an attribute, so that a plain string under a telling name does not
// get out.
package telemetry

import (
	"io"
	"log/slog"
	"net/url"
	"os"
	"strings"

	"golang.org/x/term"
)

// Redacted stands where a value must not be shown.
const Redacted = "[redacted]"

// NewLog returns a logger that writes to w at the level (debug, info, warn,
// error) and in the format (text, json, or auto: text on a terminal) given.
func NewLog(w io.Writer, level, format string) *slog.Logger {
	return NewLeveled(w, Level(level), format)
}

// NewLeveled is NewLog with a level that may change, as a [slog.LevelVar] does.
func NewLeveled(w io.Writer, level slog.Leveler, format string) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: redact}
	if format == "json" || format != "text" && !isTerminal(w) {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// Level is the level of that name, info if there is none.
func Level(name string) slog.Level {
	var level slog.Level
	if err := level.UnmarshalText([]byte(name)); err != nil {
		return slog.LevelInfo
	}
	return level
}

// Discard returns log, or one that drops everything if log is nil.
func Discard(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}

func isTerminal(w io.Writer) bool {
	if lines, ok := w.(*Lines); ok {
		w = lines.out
	}
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// redact hides attributes that by their name hold a credential, and the
// userinfo and query of URLs.
func redact(_ []string, a slog.Attr) slog.Attr {
	if telling(a.Key) {
		return slog.String(a.Key, Redacted)
	}
	if a.Value.Kind() == slog.KindDuration { // JSON would tell nanoseconds
		return slog.String(a.Key, a.Value.Duration().String())
	}
	if a.Value.Kind() == slog.KindString {
		a.Value = slog.StringValue(RedactURL(a.Value.String()))
	}
	return a
}

func telling(key string) bool {
	switch strings.ToLower(key) {
	case "authorization", "proxy-authorization", "cookie", "set-cookie", "token", "access_token",
		"secret", "client_secret", "password", "passphrase", "private_key", "signing_key", "api_key":
		return true
	}
	return false
}

// RedactURL returns s without userinfo, query and fragment if it is an absolute
// URL, else s as it stands.
func RedactURL(s string) string {
	if !strings.Contains(s, "://") || strings.ContainsAny(s, " \t\r\n") {
		return s
	}
	u, err := url.Parse(s)
	if err != nil {
		return Redacted
	}
	if u.User == nil && u.RawQuery == "" && u.Fragment == "" {
		return s
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// WithoutQuery returns a request target up to its query or fragment.
func WithoutQuery(target string) string {
	if end := strings.IndexAny(target, "?#"); end >= 0 {
		return target[:end]
	}
	return target
}
