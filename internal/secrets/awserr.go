package secrets

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// awsCall is what AWS was asked, for its errors.
type awsCall struct {
	verb   string // read, set, list
	path   string // "" for a list
	action string // the name of the API's and IAM's action
}

// awsError tells how a call has failed in words of this package alone, for the
// texts of AWS and of its SDK may quote a request, an answer or a URL.
type awsError struct {
	call awsCall
	awsMeaning
	code string // out of awsCodes; "" where AWS told none
}

func (e *awsError) Error() string {
	s := "aws: " + e.call.verb
	if e.call.path != "" {
		s += " " + e.call.path
	}
	s += ": " + e.kind.Error() + ": " + strings.ReplaceAll(e.text, "%", e.call.action)
	if e.code != "" {
		s += " (" + e.code + ")"
	}
	return s
}

// Unwrap returns the kind. Being throttled is an outage too.
func (e *awsError) Unwrap() []error {
	if e.kind == ErrThrottled {
		return []error{ErrThrottled, ErrUnavailable}
	}
	return []error{e.kind}
}

// awsMeaning is what a failure means here.
type awsMeaning struct {
	kind  error
	text  string // in which % is the action
	login bool   // the credentials are at fault: others may be there by now
}

// fails returns an error of the call for which there is none of the SDK.
func (c awsCall) fails(kind error, text string) *awsError {
	return &awsError{call: c, awsMeaning: awsMeaning{kind: kind, text: text}}
}

// failed says what err, which the SDK returned, means.
func (c awsCall) failed(err error) *awsError {
	e := &awsError{call: c}
	if no := (*noCredentials)(nil); errors.As(err, &no) {
		e.awsMeaning, e.code = no.meaning()
		return e
	}
	e.awsMeaning, e.code = awsMeaningOf(err)
	return e
}

// awsMeaningOf looks for a code of AWS, then for an HTTP status, then for what
// happened to the connection. Only a code that is known is an answer.
func awsMeaningOf(err error) (m awsMeaning, code string) {
	var fault smithy.APIError
	if errors.As(err, &fault) {
		if m, known := awsCodes[fault.ErrorCode()]; known {
			return refine(m, fault), fault.ErrorCode()
		}
	}
	var answer *smithyhttp.ResponseError
	if errors.As(err, &answer) && answer.Response != nil {
		if m, told := awsStatus(answer.HTTPStatusCode()); told {
			return m, ""
		}
	}
	return awsMeaning{kind: ErrUnavailable, text: awsTrouble(err)}, ""
}

// refine tells apart what AWS has one code for. The text of the fault is looked
// at and not handed on.
func refine(m awsMeaning, fault smithy.APIError) awsMeaning {
	said := fault.ErrorMessage()
	switch code := fault.ErrorCode(); {
	case code == "InvalidRequestException" && strings.Contains(said, "delet"):
		return awsMeaning{kind: ErrNotFound, text: "it is marked for deletion; aws secretsmanager restore-secret brings it back"}
	case m.kind == ErrDenied && !m.login && strings.Contains(said, "KMS"):
		return awsMeaning{kind: ErrDenied, text: "KMS denies the key of the secret: the policy must allow kms:Decrypt on it, and kms:GenerateDataKey to write"}
	}
	return m
}

func awsStatus(status int) (m awsMeaning, told bool) {
	switch text := "it answered with status " + strconv.Itoa(status); {
	case status == http.StatusTooManyRequests:
		return awsMeaning{kind: ErrThrottled, text: text}, true
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return awsMeaning{kind: ErrDenied, text: text}, true
	case status > 299:
		return awsMeaning{kind: ErrUnavailable, text: text}, true
	}
	return awsMeaning{}, false
}

// awsTrouble says what happened to a call without an answer.
func awsTrouble(err error) string {
	var (
		refusal   *awsRefusal
		timeout   interface{ Timeout() bool }
		name      *net.DNSError
		untrusted *tls.CertificateVerificationError
		garbled   *smithy.DeserializationError
		unsent    *smithyhttp.RequestSendError
	)
	switch {
	case errors.As(err, &refusal):
		return refusal.text
	case errors.Is(err, context.Canceled):
		return "the call was given up"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time"
	case errors.As(err, &name):
		return "the host name of the endpoint cannot be resolved"
	case errors.As(err, &untrusted):
		return "the certificate of the endpoint is not trusted"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the endpoint refuses connections"
	case errors.As(err, &garbled):
		return "the answer cannot be read"
	case errors.As(err, &unsent):
		return "the connection failed"
	}
	return "the call failed"
}

// noCredentials is why there is nothing to sign a call with.
type noCredentials struct {
	err    error
	probed bool // the instance metadata was asked too
}

func (n *noCredentials) Error() string { return "no AWS credentials" }

func (n *noCredentials) Unwrap() error { return n.err }

// RetryableError tells the SDK's retryer that where they come from was asked
// often enough.
func (n *noCredentials) RetryableError() bool { return false }

// meaning tells whether there are none, or whether where they come from (STS,
// a container's or an identity center's service) has failed.
func (n *noCredentials) meaning() (awsMeaning, string) {
	var asked *smithy.OperationError
	if late := errors.Is(n.err, context.DeadlineExceeded); !late && errors.As(n.err, &asked) && asked.ServiceID == "ec2imds" {
		text := "there are no AWS credentials: none in the environment, the profile, a web identity or a container" // which come first
		if n.probed {
			text += ", and none from the instance metadata"
		}
		return awsMeaning{kind: ErrUnavailable, text: text, login: true}, ""
	}
	m, code := awsMeaningOf(n.err)
	switch {
	case m == awsDenies:
		m.text = "AWS denies the role"
	case m.kind != ErrDenied: // whatever it is, it is no word on the secret
		m.kind = ErrUnavailable
	}
	m.text = "the AWS credentials cannot be had: " + m.text
	return m, code
}

var (
	awsDenies    = awsMeaning{kind: ErrDenied, text: "the policy must allow secretsmanager:%"}
	awsRejects   = awsMeaning{kind: ErrInvalid, text: "AWS does not take the name or the value"}
	awsThrottles = awsMeaning{kind: ErrThrottled, text: "AWS throttles the calls"}
	awsIsDown    = awsMeaning{kind: ErrUnavailable, text: "AWS has a fault of its own"}
	awsExpired   = awsMeaning{kind: ErrUnavailable, text: "the session token of the AWS credentials has expired", login: true}
	awsUnknown   = awsMeaning{kind: ErrDenied, text: "AWS does not accept the access key or its signature", login: true}
	awsIdentity  = awsMeaning{kind: ErrDenied, text: "AWS does not accept the identity token"}
	awsRegion    = awsMeaning{kind: ErrDenied, text: "the AWS account has not opted in to the region"}
)

// awsCodes are the codes that count as answers and may be told.
var awsCodes = map[string]awsMeaning{
	"ResourceNotFoundException": {kind: ErrNotFound, text: "there is none of that name in the account and region, or no value in it"},
	"ResourceExistsException":   {kind: ErrConflict, text: "it was written by another just now"},
	"InvalidRequestException":   {kind: ErrInvalid, text: "AWS does not allow that in the state the secret is in"},
	"LimitExceededException":    {kind: ErrDenied, text: "a quota of the AWS account is used up"},
	"DecryptionFailure":         {kind: ErrDenied, text: "KMS cannot decrypt it: the key is disabled or gone, or the policy does not allow kms:Decrypt on it"},
	"EncryptionFailure":         {kind: ErrDenied, text: "KMS cannot encrypt it: the key is disabled or gone, or the policy does not allow kms:GenerateDataKey on it"},
	"RequestTimeTooSkewed":      {kind: ErrDenied, text: "the clock of this machine is wrong"},

	"AccessDeniedException": awsDenies, "AccessDenied": awsDenies, "UnauthorizedOperation": awsDenies,

	"InvalidParameterException": awsRejects, "InvalidParameterValue": awsRejects,
	"ValidationException": awsRejects, "ValidationError": awsRejects,

	"Throttling": awsThrottles, "ThrottlingException": awsThrottles, "ThrottledException": awsThrottles,
	"TooManyRequestsException": awsThrottles, "RequestLimitExceeded": awsThrottles, "SlowDown": awsThrottles,
	"RequestThrottled": awsThrottles, "RequestThrottledException": awsThrottles,

	"InternalServiceError": awsIsDown, "InternalServerError": awsIsDown, "InternalFailure": awsIsDown,
	"ServiceUnavailable": awsIsDown, "ServiceUnavailableException": awsIsDown, "InvalidNextTokenException": awsIsDown,
	"RequestTimeout": awsIsDown, "RequestTimeoutException": awsIsDown, "IDPCommunicationError": awsIsDown,

	"ExpiredToken": awsExpired, "ExpiredTokenException": awsExpired, "RequestExpired": awsExpired,

	"UnrecognizedClientException": awsUnknown, "InvalidClientTokenId": awsUnknown, "InvalidAccessKeyId": awsUnknown,
	"InvalidSignatureException": awsUnknown, "SignatureDoesNotMatch": awsUnknown,
	"IncompleteSignature": awsUnknown, "IncompleteSignatureException": awsUnknown,
	"MissingAuthenticationToken": awsUnknown, "MissingAuthenticationTokenException": awsUnknown,

	"InvalidIdentityToken": awsIdentity, "IDPRejectedClaim": awsIdentity, "UnauthorizedException": awsIdentity,

	"OptInRequired": awsRegion, "RegionDisabledException": awsRegion,
}
