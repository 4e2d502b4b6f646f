package credentials

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	maxAnswer       = 1 << 20 // bytes
	defaultLifetime = 5 * time.Minute
	// maxLifetime is the longest time a token is used for, whatever its issuer
	// says; then it is renewed. It also keeps 10^18 seconds from overflowing.
	maxLifetime = 24 * time.Hour
)

// An endpointError is what went wrong at the token endpoint: the kind of failure
// alone, nothing the endpoint said, which may hold a token or a secret.
type endpointError struct {
	status int    // of the answer; zero if there was none
	code   string // of RFC 6749, section 5.2
	word   string // the reason, as one of the words of event.go
	reason string
}

func (e *endpointError) Error() string {
	var b strings.Builder
	b.WriteString("token endpoint: ")
	if e.status != 0 {
		fmt.Fprintf(&b, "status %d: ", e.status)
	}
	b.WriteString(e.reason)
	if e.code != "" {
		b.WriteString(": " + e.code)
	}
	return b.String()
}

// strict stands between x/oauth2 and a token endpoint, and reads the answers
// itself. x/oauth2 is too lenient a reader: it takes form-encoded answers, any
// token type, a negative expires_in and any byte in a token, asks for no content
// type, cuts an answer that is too long instead of refusing it, and quotes bodies
// in its errors. So a good answer is handed on in one plain form, of which there
// is only one reading; a bad one ends here, as an endpointError.
type strict struct{ next http.RoundTripper }

// RoundTrip sends r once. It answers 200 with JSON that x/oauth2 can only read
// one way, or an error.
func (s strict) RoundTrip(r *http.Request) (*http.Response, error) {
	out := r.Clone(r.Context())
	out.Header.Set("Accept", "application/json")
	out.Header.Set("Accept-Encoding", "identity") // so that the bound below is on what is held
	res, err := s.next.RoundTrip(out)
	if err != nil {
		return nil, networkError(0, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, networkError(res.StatusCode, err)
	}
	a, err := readAnswer(res.StatusCode, res.Header, body)
	if err != nil {
		return nil, err
	}
	plain := a.plain()
	return &http.Response{
		StatusCode: http.StatusOK, Status: "200 OK", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        http.Header{"Content-Type": {"application/json"}},
		Body:          io.NopCloser(bytes.NewReader(plain)),
		ContentLength: int64(len(plain)),
		Request:       r,
	}, nil
}

// An answer is a token endpoint's, understood.
type answer struct {
	token   string
	seconds int64 // that it lives, from 1 to maxLifetime
}

// plain is a as JSON.
func (a answer) plain() []byte {
	b := []byte(`{"token_type":"Bearer","expires_in":` + strconv.FormatInt(a.seconds, 10) + `,"access_token":`)
	b, _ = jsontext.AppendQuote(b, a.token) // fails on invalid UTF-8 only, and this is ASCII
	return append(b, '}')
}

// readAnswer reads a token endpoint's answer (RFC 6749, sections 5.1 and 5.2).
// Names are exact and occur once; null is as good as absent, for many issuers
// write out the members they did not set.
func readAnswer(status int, header http.Header, body []byte) (answer, error) {
	refuse := func(word, reason string) (answer, error) {
		return answer{}, &endpointError{status: status, word: word, reason: reason}
	}
	switch {
	case len(body) > maxAnswer:
		return refuse(reasonTooLarge, "the answer is over 1 MiB")
	case status >= 300 && status <= 399:
		return refuse(reasonRedirect, "a redirect, which is not followed with credentials")
	}
	var said struct {
		AccessToken string         `json:"access_token"`
		TokenType   *string        `json:"token_type"`
		IssuedType  *string        `json:"issued_token_type"` // RFC 8693, section 2.2.1
		ExpiresIn   jsontext.Value `json:"expires_in"`
		Error       string         `json:"error"`
	}
	unreadable := json.Unmarshal(body, &said)
	switch {
	case status < 200 || status > 299 || (unreadable == nil && said.Error != ""):
		return answer{}, &endpointError{status: status, word: reasonRefused, reason: "refused", code: registered(said.Error)}
	case !isJSON(header):
		return refuse(reasonFormat, "the answer is not of a JSON type")
	case unreadable != nil:
		return refuse(reasonFormat, "the answer is not the JSON object of RFC 6749, section 5.1")
	case said.TokenType != nil && !strings.EqualFold(*said.TokenType, "bearer"):
		return refuse(reasonType, "the token is not of the type bearer")
	case said.IssuedType != nil && *said.IssuedType != typeAccessToken && *said.IssuedType != typeJWT:
		return refuse(reasonType, "the token issued is not an access token")
	case said.AccessToken == "":
		return refuse(reasonToken, "the answer has no access token")
	case len(said.AccessToken) > maxValue:
		return refuse(reasonToken, fmt.Sprintf("the access token is over %d bytes", maxValue))
	case strings.Contains(said.AccessToken, " ") || !isFieldText(said.AccessToken):
		return refuse(reasonToken, "the access token has a space, a control character or a byte beyond ASCII")
	}
	seconds, err := lifetime(said.ExpiresIn)
	if err != nil {
		return refuse(reasonLifetime, err.Error())
	}
	return answer{said.AccessToken, seconds}, nil
}

// isJSON tells application/json and its kin, sent as they stand.
func isJSON(h http.Header) bool {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	encoded := cmp.Or(h.Get("Content-Encoding"), "identity") != "identity"
	return err == nil && !encoded && (kind == "application/json" || strings.HasSuffix(kind, "+json"))
}

// lifetime reads expires_in: a positive number of seconds, or a string of digits,
// as some issuers write it. What is less than a second could not be used.
func lifetime(v jsontext.Value) (seconds int64, err error) {
	if len(v) == 0 || v.Kind() == 'n' {
		return int64(defaultLifetime / time.Second), nil
	}
	text := strings.Trim(string(v), `"`)
	digits := text != "" && strings.Trim(text, "0123456789") == ""
	if v.Kind() != '0' && (v.Kind() != '"' || !digits) {
		return 0, errors.New("expires_in is not a number")
	}
	n, _ := strconv.ParseFloat(text, 64) // what is out of range becomes 0 or infinity, and is judged as that
	if !(n >= 1) {
		return 0, errors.New("expires_in is not positive, or less than a second")
	}
	return int64(min(n, maxLifetime.Seconds())), nil
}

// registered returns an error code of OAuth as it is, and says of any other that
// it is one: an endpoint must not choose what stands in the log.
func registered(code string) string {
	switch code {
	case "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client",
		"unsupported_grant_type", "invalid_scope", // RFC 6749, section 5.2
		"access_denied", "server_error", "temporarily_unavailable", // section 4.1.2.1, used here by many
		"invalid_target",                       // RFC 8707
		"invalid_dpop_proof", "use_dpop_nonce", // RFC 9449
		"unsupported_token_type", "slow_down", "expired_token",
		"interaction_required", "login_required", "consent_required":
		return code
	case "":
		return "no error code"
	}
	return "an error code that is not OAuth's"
}

// networkError tells the kind of a transport's error. Its text may quote what
// the peer sent in place of HTTP, or the names in its certificate.
func networkError(status int, err error) *endpointError {
	told := func(word, reason string) *endpointError {
		return &endpointError{status: status, word: word, reason: reason}
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return told(reasonTimeout, "no answer in time")
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return told(reasonNetwork, "its name is not known")
	}
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		return told(reasonNetwork, e.Error())
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return told(reasonTLS, "its certificate is for another name")
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok && e.Reason == x509.Expired {
		return told(reasonTLS, "its certificate has expired or is not valid yet")
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return told(reasonTLS, "its certificate is not trusted")
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "remote error" { // how crypto/tls tells of an alert
		return told(reasonTLS, "it refused our side of TLS")
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return told(reasonTLS, "it does not speak TLS")
	}
	switch {
	case errors.Is(err, context.Canceled):
		return told(reasonNetwork, "given up")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return told(reasonNetwork, "the connection ended before the answer")
	}
	return told(reasonProtocol, "no usable HTTP answer")
}
