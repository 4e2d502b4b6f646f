package secrets

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"
)

// newVaultConfig returns how to reach Vault: no retries (who asks knows when to
// ask again), no redirects but those that vaultTransport judges, no proxy.
func newVaultConfig(o VaultOptions, now func() time.Time) (*api.Config, error) {
	address, err := parseVaultAddress(o.Address, o.AllowInsecureHTTP)
	if err != nil {
		return nil, err
	}
	secure, err := vaultTLS(o)
	if err != nil {
		return nil, err
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	transport := &vaultTransport{
		next: &http.Transport{
			DialContext:            (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext,
			TLSClientConfig:        secure,
			MaxIdleConnsPerHost:    atOnce,
			IdleConnTimeout:        60 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true,
			Protocols:              protocols,
		},
		written: address,
		now:     now,
	}
	return &api.Config{
		Address: address.String(),
		HttpClient: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		MinRetryWait:     time.Second, // zero would mean the library's own
		MaxRetryWait:     time.Second,
		CheckRetry:       func(context.Context, *http.Response, error) (bool, error) { return false, nil },
		DisableRedirects: true,
	}, nil
}

// parseVaultAddress reads the URL of a Vault. It quotes nothing that may be a
// password.
func parseVaultAddress(address string, insecure bool) (*url.URL, error) {
	u, err := url.Parse(strings.TrimRight(address, "/"))
	switch {
	case address == "":
		return nil, fmt.Errorf("address: %w: there is none: set address or VAULT_ADDR", ErrInvalid)
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return nil, fmt.Errorf("address: %w: must be a URL such as https://vault.example.com:8200", ErrInvalid)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("address: %w: must have no user, query or fragment", ErrInvalid)
	case u.Scheme == "http" && !insecure && !onLoopback(u.Hostname()):
		return nil, fmt.Errorf("address: %w: http is for loopback only, since the token would stand in the clear: use https, or set allow_insecure_http", ErrInvalid)
	}
	return u, nil
}

func onLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback() || strings.EqualFold(strings.TrimSuffix(host, "."), "localhost")
}

// vaultTLS reads the files once, so that a wrong one is told at start; those of
// the client's certificate, which may be short-lived, again for each connection.
func vaultTLS(o VaultOptions) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file %s: %w: %w", o.CAFile, ErrInvalid, reasonOf(err))
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file %s: %w: holds no PEM certificate", o.CAFile, ErrInvalid)
		}
	}
	if o.CertFile == "" && o.KeyFile == "" {
		return config, nil
	}
	if _, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile); err != nil {
		return nil, fmt.Errorf("cert_file and key_file: %w: %w", ErrInvalid, err)
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		if err != nil {
			return nil, &clientCertificate{err}
		}
		return &pair, nil
	}
	return config, nil
}

// vaultTransport bounds the answers, judges redirects, and keeps still for a
// while after an answer 429.
type vaultTransport struct {
	next    *http.Transport
	written *url.URL // what the operator wrote
	now     func() time.Time

	mu    sync.Mutex
	quiet time.Time // nothing is asked before
}

// RoundTrip follows one redirect at most. The token goes along, so it must lead
// to the host that the operator wrote.
func (t *vaultTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		body, err = io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			return nil, err
		}
	}
	for followed := false; ; followed = true {
		res, err := t.ask(r, body)
		if err != nil || res.StatusCode < 300 || res.StatusCode > 399 {
			return res, err
		}
		res.Body.Close()
		to, err := t.follow(res, followed)
		if err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.URL, r.Host = to, to.Host
	}
}

func (t *vaultTransport) ask(r *http.Request, body []byte) (*http.Response, error) {
	if wait := t.still(); wait > 0 {
		return nil, &vaultThrottled{wait}
	}
	if body != nil {
		r = r.Clone(r.Context())
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil } // for a kept connection that had died
		r.Body, _ = r.GetBody()
		r.ContentLength = int64(len(body))
	}
	res, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	t.note(res)
	res.Body = &vaultBody{res.Body, maxVaultAnswer}
	return res, nil
}

// follow judges where a redirect leads. An address learned from a peer must be
// https, on the host the operator wrote; http only where the operator wrote
// http. So it is never one that clouds keep their metadata at.
func (t *vaultTransport) follow(res *http.Response, followed bool) (*url.URL, error) {
	if res.StatusCode != http.StatusTemporaryRedirect && res.StatusCode != http.StatusPermanentRedirect {
		return nil, &vaultRedirect{fmt.Sprintf("redirects with status %d", res.StatusCode)}
	}
	to, err := res.Location()
	switch {
	case err != nil || to.User != nil:
		return nil, &vaultRedirect{"redirects to what is no address"}
	case followed:
		return nil, &vaultRedirect{"redirects more than once"}
	case to.Scheme != "https" && (to.Scheme != "http" || t.written.Scheme != "http"):
		return nil, &vaultRedirect{"redirects to what is not https"}
	case !strings.EqualFold(to.Hostname(), t.written.Hostname()):
		return nil, &vaultRedirect{"redirects to another host"}
	}
	return to, nil
}

// still tells how long nothing is to be asked.
func (t *vaultTransport) still() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.quiet.Sub(t.now())
}

// note takes in whether Vault wants to be asked less: nobody asks for as long
// as it says, at most a minute, or for a second. Those who ask again do so ever
// more rarely by themselves.
func (t *vaultTransport) note(res *http.Response) {
	if res.StatusCode != http.StatusTooManyRequests {
		return
	}
	wait := firstRetry
	if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && seconds > 0 {
		wait = time.Duration(min(seconds, 60)) * time.Second
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.quiet = t.now().Add(wait)
}

// CloseIdleConnections is called by the library after a failure.
func (t *vaultTransport) CloseIdleConnections() { t.next.CloseIdleConnections() }

// vaultBody fails, rather than ends, where a body is too large: a part of it
// must not pass for the whole.
type vaultBody struct {
	io.ReadCloser
	left int64
}

func (b *vaultBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, errVaultTooLarge
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left+1)])
	if b.left -= int64(n); b.left < 0 {
		return 0, errVaultTooLarge
	}
	return n, err
}
