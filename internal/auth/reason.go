package auth

import (
	"errors"
	"fmt"

	"github.com/sallyport/sallyport/internal/token"
)

// The kinds of error of [Authenticator.Authenticate]. Their texts, and what they
// wrap, are for the log: a caller may learn no more than the kind.
var (
	ErrNoCredential = errors.New("no credential")                            // 401, without error=
	ErrMultiple     = errors.New("more than one credential")                 // 400
	ErrCrossOrigin  = errors.New("a cookie that another site may have sent") // 403
	ErrMalformed    = errors.New("not one credential of the right form")     // 401
	ErrInvalidToken = errors.New("invalid token")                            // 401
	ErrUnavailable  = errors.New("what decides is not to be had now")        // 503
)

// reason is why a token was refused: a label of metrics, so one of these only.
type reason string

const (
	reasonNone        reason = "no_token"
	reasonMultiple    reason = "multiple_credentials"
	reasonCrossOrigin reason = "cross_origin"
	reasonMalformed   reason = "malformed"
	reasonCritical    reason = "critical"
	reasonIssuer      reason = "issuer"
	reasonAlgorithm   reason = "algorithm"
	reasonType        reason = "type"
	reasonUnknownKey  reason = "unknown_key"
	reasonAmbiguous   reason = "ambiguous_key"
	reasonSignature   reason = "signature"
	reasonDisabled    reason = "disabled"
	reasonExpired     reason = "expired"
	reasonNotYet      reason = "not_yet_valid"
	reasonLifetime    reason = "lifetime"
	reasonAudience    reason = "audience"
	reasonClaims      reason = "claims"
	reasonInactive    reason = "inactive"
	reasonUnavailable reason = "keys_unavailable"
	reasonOther       reason = "error"
)

// Reason returns the word for err that stands in metrics and log lines, one of a
// fixed set; "" for nil.
func Reason(err error) string {
	var refused *refusal
	switch {
	case err == nil:
		return ""
	case errors.As(err, &refused):
		return string(refused.reason)
	case errors.Is(err, ErrNoCredential):
		return string(reasonNone)
	case errors.Is(err, ErrMultiple):
		return string(reasonMultiple)
	case errors.Is(err, ErrCrossOrigin):
		return string(reasonCrossOrigin)
	case errors.Is(err, ErrMalformed):
		return string(reasonMalformed)
	case errors.Is(err, ErrUnavailable):
		return string(reasonUnavailable)
	}
	return string(reasonOther)
}

// refusal is an ErrInvalidToken with its reason.
type refusal struct {
	reason reason
	cause  error
}

func (r *refusal) Error() string {
	return fmt.Sprintf("%v: %s: %v", ErrInvalidToken, r.reason, r.cause)
}

func (r *refusal) Unwrap() []error { return []error{ErrInvalidToken, r.cause} }

func refuse(why reason, format string, args ...any) error {
	return &refusal{why, fmt.Errorf(format, args...)}
}

// refuseParse is for what token.Parse and token.Parsed.Verify say.
func refuseParse(err error) error {
	why := reasonMalformed
	switch {
	case errors.Is(err, token.ErrCritical):
		why = reasonCritical
	case errors.Is(err, token.ErrAlgorithm):
		why = reasonAlgorithm
	case errors.Is(err, token.ErrSignature):
		why = reasonSignature
	}
	return &refusal{why, err}
}
