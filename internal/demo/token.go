package demo

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// maxForm bounds the body of a token request, in bytes.
const maxForm = 16 << 10

// An oauthError is an answer of RFC 6749, section 5.2 (invalid_target: RFC 8707).
type oauthError struct {
	status            int
	code, description string
}

func badRequest(description string) *oauthError {
	return &oauthError{http.StatusBadRequest, "invalid_request", description}
}

// token is the token endpoint (RFC 6749, section 4.4).
func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	i.calls.Add(1)
	client, scopes, refusal := i.grant(w, r)
	if refusal != nil {
		i.log.LogAttrs(r.Context(), slog.LevelWarn, "token refused",
			slog.String("client", client.ID), slog.String("error", refusal.code), slog.String("reason", refusal.description))
		refuse(w, refusal)
		return
	}
	signed, err := i.Mint(MintOptions{Subject: client.ID, Audience: client.Audience, Scopes: scopes, Lifetime: client.Lifetime})
	if err != nil {
		i.log.LogAttrs(r.Context(), slog.LevelError, "token not signed", slog.String("client", client.ID), slog.Any("error", err))
		refuse(w, &oauthError{http.StatusInternalServerError, "server_error", "no token could be signed"})
		return
	}
	i.log.LogAttrs(r.Context(), slog.LevelInfo, "token issued", slog.String("client", client.ID),
		slog.Any("scopes", scopes), slog.Duration("lifetime", client.Lifetime))
	noStore(w)
	writeJSON(w, http.StatusOK, map[string]any{
		"access_token": signed, "token_type": "Bearer", "expires_in": int64(client.Lifetime / time.Second), "scope": strings.Join(scopes, " "),
	})
}

// grant decides on a request: which client gets a token with which scopes. On
// a refusal the client is named only if it is one we know.
func (i *Issuer) grant(w http.ResponseWriter, r *http.Request) (Client, []string, *oauthError) {
	form, refusal := readForm(w, r)
	if refusal != nil {
		return Client{}, nil, refusal
	}
	client, refusal := i.authenticate(r, form)
	if refusal != nil {
		return client, nil, refusal
	}
	switch form.Get("grant_type") {
	case "client_credentials":
	case "":
		return client, nil, badRequest("grant_type is missing")
	default:
		return client, nil, &oauthError{http.StatusBadRequest, "unsupported_grant_type", "only client_credentials is granted"}
	}
	for _, name := range []string{"audience", "resource"} {
		if v := form.Get(name); v != "" && v != client.Audience {
			return client, nil, &oauthError{http.StatusBadRequest, "invalid_target", "this " + name + " is not the client's"}
		}
	}
	var scopes []string
	for _, scope := range strings.Fields(form.Get("scope")) {
		if !slices.Contains(client.Scopes, scope) {
			return client, nil, &oauthError{http.StatusBadRequest, "invalid_scope", "a scope asked for is not the client's"}
		}
		if !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	if len(scopes) == 0 { // the default of RFC 6749, section 3.3
		scopes = client.Scopes
	}
	return client, scopes, nil
}

// readForm returns the parameters of the body; those of the URL do not count,
// and none may stand there twice (RFC 6749, section 3.2).
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, *oauthError) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, badRequest("the body must be application/x-www-form-urlencoded")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		if errors.As(err, new(*http.MaxBytesError)) {
			return nil, &oauthError{http.StatusRequestEntityTooLarge, "invalid_request", "the body is too large"}
		}
		return nil, badRequest("the request cannot be read as a form")
	}
	for _, values := range r.PostForm {
		if len(values) > 1 {
			return nil, badRequest("a parameter stands there twice")
		}
	}
	return r.PostForm, nil
}

// authenticate finds the client by HTTP Basic or by the body, not by both (RFC
// 6749, section 2.3).
func (i *Issuer) authenticate(r *http.Request, form url.Values) (Client, *oauthError) {
	id, secret := form.Get("client_id"), form.Get("client_secret")
	if r.Header.Get("Authorization") != "" {
		user, password, ok := r.BasicAuth()
		name, err1 := url.QueryUnescape(user) // section 2.3.1
		plain, err2 := url.QueryUnescape(password)
		switch {
		case !ok || err1 != nil || err2 != nil:
			return Client{}, invalidClient()
		case secret != "" || id != "" && id != name:
			return Client{}, badRequest("the client authenticates in two ways")
		}
		id, secret = name, plain
	}
	client, known := i.clients[id]
	if !sameSecret(secret, client.Secret) || !known {
		return client, invalidClient()
	}
	return client, nil
}

// invalidClient is the same whether the id or the secret is wrong.
func invalidClient() *oauthError {
	return &oauthError{http.StatusUnauthorized, "invalid_client", "client authentication failed"}
}

// sameSecret takes the same time wherever the two differ, in length too.
func sameSecret(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

func refuse(w http.ResponseWriter, e *oauthError) {
	if e.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="demo issuer"`)
	}
	noStore(w)
	writeJSON(w, e.status, map[string]string{"error": e.code, "error_description": e.description})
}

// noStore is what RFC 6749, section 5.1, asks of every answer with a token.
func noStore(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Pragma", "no-cache")
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, `{"error":"server_error"}`, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the caller is gone if this fails
}

// document serves bytes that never change.
func document(body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	}
}
