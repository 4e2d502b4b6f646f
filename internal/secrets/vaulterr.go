package secrets

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/vault/api"
)

// vaultRedirect tells where a redirect led that is not followed.
type vaultRedirect struct{ reason string }

func (r *vaultRedirect) Error() string { return r.reason }

// vaultThrottled is Vault's wish not to be asked for a while.
type vaultThrottled struct{ wait time.Duration }

func (t *vaultThrottled) Error() string {
	return fmt.Sprintf("asked to wait %v", t.wait.Round(100*time.Millisecond))
}

// clientCertificate is what is wrong with the files of our own.
type clientCertificate struct{ err error }

func (c *clientCertificate) Error() string { return c.err.Error() }

var errVaultTooLarge = errors.New("answer too large")

// explainVault gives an error of the Vault library its kind and says what to do.
// The library's own texts quote bodies and URLs: nothing of them is kept.
func explainVault(ctx context.Context, err error) error {
	var (
		response  *api.ResponseError
		redirect  *vaultRedirect
		throttled *vaultThrottled
		own       *clientCertificate
	)
	switch {
	case err == nil || explained(err):
		return err
	case errors.As(err, &response):
		return explainStatus(response)
	case errors.As(err, &throttled):
		return fmt.Errorf("%w: %w: Vault limits the rate (429): %s", ErrThrottled, ErrUnavailable, throttled)
	case errors.As(err, &redirect):
		return fmt.Errorf("%w: this Vault stands by and %s: let it forward requests, or set address to the active one", ErrUnavailable, redirect.reason)
	case errors.Is(err, errVaultTooLarge):
		return fmt.Errorf("%w: the answer is larger than %d bytes", ErrInvalid, maxVaultAnswer)
	case errors.As(err, &own):
		return fmt.Errorf("%w: the client certificate cannot be used: %w", ErrUnavailable, own.err)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, explainNetwork(ctx, err))
}

// explainState is explainVault, but asks whether a Vault that calls itself
// sealed was ever initialised, which is another thing to do.
func explainState(ctx context.Context, c *api.Client, err error) error {
	if err = explainVault(ctx, err); !errors.Is(err, ErrSealed) {
		return err
	}
	if status, statusErr := c.Sys().SealStatusWithContext(ctx); statusErr == nil && !status.Initialized {
		return explainStatus(&api.ResponseError{StatusCode: http.StatusNotImplemented})
	}
	return err
}

// explained reports whether err has its kind already.
func explained(err error) bool {
	for _, kind := range []error{ErrNotFound, ErrUnavailable, ErrEmpty, ErrDenied, ErrInvalid, ErrConflict} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// explainStatus tells the answers apart that are none. Those to a login, and
// what depends on the path, are told by the caller.
func explainStatus(response *api.ResponseError) error {
	status := response.StatusCode
	switch status {
	case http.StatusBadRequest, http.StatusMethodNotAllowed:
		return fmt.Errorf("%w: Vault does not take the request (%d): check mount, kv_version and namespace", ErrInvalid, status)
	case http.StatusForbidden:
		return fmt.Errorf("%w (403)", ErrDenied)
	case http.StatusNotFound:
		return fmt.Errorf("%w: Vault has nothing mounted there (404): check the mounts and namespace", ErrInvalid)
	case http.StatusTooManyRequests:
		return fmt.Errorf("%w: %w: Vault limits the rate (429)", ErrThrottled, ErrUnavailable)
	case 472:
		return fmt.Errorf("%w: this Vault is a standby for disaster recovery (472): set address to the primary", ErrUnavailable)
	case 473:
		return fmt.Errorf("%w: this Vault is a performance standby (473): set address to the active one", ErrUnavailable)
	case http.StatusNotImplemented:
		return fmt.Errorf("%w: Vault is not initialised: run vault operator init", ErrUnavailable)
	case http.StatusServiceUnavailable:
		if slices.ContainsFunc(response.Errors, func(text string) bool { return strings.Contains(text, "Vault is sealed") }) {
			return fmt.Errorf("%w: %w: unseal it with vault operator unseal (503)", ErrSealed, ErrUnavailable)
		}
	}
	return fmt.Errorf("%w: Vault, or a proxy before it, answered status %d", ErrUnavailable, status)
}

// explainNetwork tells why there was no answer.
func explainNetwork(ctx context.Context, err error) error {
	var (
		timeout     net.Error
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		name        *net.DNSError
		operation   *net.OpError
		number      syscall.Errno
	)
	late := fmt.Errorf("no answer within %v", vaultTimeout)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return context.Canceled
	case ctx.Err() != nil:
		return late
	case errors.As(err, &certificate):
		return fmt.Errorf("TLS: Vault's certificate is not trusted: %s: check ca_file and the host in address", explainCertificate(certificate))
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return errors.New("TLS: what answers speaks no TLS: check the scheme and port in address")
	case errors.As(err, &name):
		return fmt.Errorf("the host in address cannot be resolved: %s", name.Err)
	case errors.As(err, &timeout) && timeout.Timeout():
		return late
	case errors.As(err, &number):
		return fmt.Errorf("the connection failed: %s", number)
	case errors.As(err, &operation) && operation.Op == "remote error": // one of the alerts of crypto/tls
		return fmt.Errorf("TLS: Vault ended the handshake: %w: check cert_file and key_file", operation.Err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return errors.New("Vault ended the connection before its answer")
	}
	return errors.New("what answers is not Vault, or its answer was garbled")
}

func explainCertificate(err *tls.CertificateVerificationError) string {
	var (
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &authority):
		return "an authority that is not known signed it"
	case errors.As(err, &host):
		return "it is for another host"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "it has expired or is not valid yet"
	}
	return "it is not valid"
}

// vaultStatus returns the status in err, zero if there was no answer.
func vaultStatus(err error) int {
	var response *api.ResponseError
	if errors.As(err, &response) {
		return response.StatusCode
	}
	return 0
}

// reasonOf returns what an error of package os says, without the path.
func reasonOf(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
