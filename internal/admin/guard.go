package admin

import (
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/sallyport/sallyport/internal/secrets"
)

// maxBody bounds a call's body, in bytes.
const maxBody = 64 << 10

// api is what is behind the guard.
type api struct {
	o      Options
	log    *slog.Logger
	now    func() time.Time
	routes *chi.Mux
}

// ServeHTTP asks the guards in their order; the first refusal ends the call.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := Call{RequestID: requestID(), Method: r.Method, Path: r.URL.Path, IP: address(r.RemoteAddr)}
	w.Header().Set("X-Request-Id", call.RequestID)
	for _, guard := range []func(*http.Request) *refusal{a.served, a.browser, a.token, a.body} {
		if refused := guard(r); refused != nil {
			a.refuse(w, r, call, refused)
			return
		}
	}
	if a.o.Record != nil {
		if err := a.o.Record(r.Context(), call); err != nil {
			a.log.Warn("admin call refused: the audit log cannot be written", "request_id", call.RequestID, "method", r.Method, "path", call.Path, "error", err)
			answer(w, call.RequestID, unavailable("the call cannot be written to the audit log"))
			return
		}
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	a.routes.ServeHTTP(w, withID(r, call.RequestID))
}

// refuse answers, and tells the audit log; that it may not be able to take it
// changes nothing about a refusal.
func (a *api) refuse(w http.ResponseWriter, r *http.Request, call Call, refused *refusal) {
	call.Refused, call.Reason = refused.status, refused.reason
	if a.o.Record != nil && refused.status != http.StatusNotFound { // where nothing is served, nothing was called
		_ = a.o.Record(r.Context(), call)
	}
	a.log.Debug("admin call refused", "request_id", call.RequestID, "reason", refused.reason)
	answer(w, call.RequestID, refused)
}

// served refuses all where there is neither a token nor a listener that only
// this machine reaches. A connection may be older than the listener: one that
// came in from elsewhere, before the listener was moved, stays what it was.
func (a *api) served(r *http.Request) *refusal {
	if a.o.Token == nil && !(a.o.Local && cameLocally(r)) {
		return notFound()
	}
	return nil
}

// cameLocally reports whether the connection is to a loopback address.
func cameLocally(r *http.Request) bool {
	at, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ok && at.IP.IsLoopback()
}

// browser refuses what a page of another origin caused, reads too: a profile
// costs time. Programs send neither Origin nor Sec-Fetch-Site. Without a token
// the name in Host must be this machine's, or a page could call itself so (DNS
// rebinding); with one it may be any, since no browser adds the token by itself.
func (a *api) browser(r *http.Request) *refusal {
	asWrite := *r
	asWrite.Method = http.MethodPost // Check looks at no others
	if err := http.NewCrossOriginProtection().Check(&asWrite); err != nil {
		return forbidden("origin", "the call comes from a page of another origin")
	}
	if a.o.Token == nil && !local(r.Host) {
		return forbidden("host", "without an admin token the listener answers to localhost and loopback addresses only")
	}
	return nil
}

// local reports whether a Host names this machine.
func local(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	addr, err := netip.ParseAddr(name)
	return strings.EqualFold(name, "localhost") || err == nil && addr.Unmap().IsLoopback()
}

// token compares the caller's with the one in the secret backend now.
func (a *api) token(r *http.Request) *refusal {
	if a.o.Token == nil {
		return nil
	}
	want, err := a.o.Token.Get()
	if err != nil || want.Empty() {
		return unavailable("the admin token cannot be read from the secret backend at the moment")
	}
	lines := r.Header.Values("Authorization")
	if len(lines) == 0 {
		return unauthenticated("no_token", "the admin token is needed")
	}
	scheme, sent, _ := strings.Cut(lines[0], " ")
	if len(lines) > 1 || !strings.EqualFold(scheme, "Bearer") || !want.Equal(secrets.NewSecret(sent)) {
		return unauthenticated("token", "the admin token is not right")
	}
	return nil
}

// body refuses one that is too large, before it is read, or that does not say it
// is JSON: a form can be sent across origins without asking. Beside a token in
// Authorization, which no page can add without asking, it may be called a form or
// nothing, as curl -d does.
func (a *api) body(r *http.Request) *refusal {
	if r.ContentLength > maxBody {
		return tooLarge()
	}
	kind := r.Header.Get("Content-Type")
	if kind == "" && r.ContentLength == 0 {
		return nil
	}
	media, _, err := mime.ParseMediaType(kind)
	byToken := a.o.Token != nil && r.Header.Get("Authorization") != ""
	switch {
	case err == nil && media == "application/json":
		return nil
	case byToken && (kind == "" || media == "application/x-www-form-urlencoded"):
		return nil
	}
	return unsupported()
}

// address is the host of a remote address.
func address(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	return host
}

// requestID is 128 random bits in hex.
func requestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}
