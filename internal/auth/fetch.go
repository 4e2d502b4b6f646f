package auth

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/token"
)

// Bounds of one fetch of a key set.
const (
	fetchTimeout = 5 * time.Second // all in all, redirects too
	maxSetSize   = 512 << 10       // bytes
	maxRedirects = 3
)

// get fetches the set once. Its errors quote nothing the peer sent.
func (k *KeySet) get(ctx context.Context) ([]token.Key, []token.Skipped, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	from := k.url
	for range maxRedirects + 1 {
		res, err := k.ask(ctx, from)
		if err != nil {
			return nil, nil, err
		}
		location := res.Header.Get("Location")
		if res.StatusCode < 300 || res.StatusCode > 399 || location == "" {
			defer res.Body.Close()
			return readSet(res)
		}
		res.Body.Close()
		if from, err = k.follow(from, location); err != nil {
			return nil, nil, err
		}
	}
	return nil, nil, fmt.Errorf("redirects more than %d times", maxRedirects)
}

func (k *KeySet) ask(ctx context.Context, u *url.URL) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, errors.New("its URL cannot be asked")
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	res, err := k.client.Do(req)
	if err != nil {
		return nil, explain(err)
	}
	return res, nil
}

// follow judges where a redirect leads. An address learned from a peer must be
// https, on the host the operator wrote, and never link-local, where clouds keep
// their metadata; http only where the operator wrote http.
func (k *KeySet) follow(from *url.URL, location string) (*url.URL, error) {
	to, err := from.Parse(location)
	if err != nil {
		return nil, errors.New("redirects to what is no URL")
	}
	switch {
	case to.Scheme != "https" && (to.Scheme != "http" || k.url.Scheme != "http"):
		return nil, errors.New("redirects to a URL that is not https")
	case linkLocal(to.Hostname()):
		return nil, errors.New("redirects to a link-local address")
	case !strings.EqualFold(to.Hostname(), k.url.Hostname()) || !samePort(to, k.url):
		return nil, errors.New("redirects to another host")
	}
	return to, nil
}

func linkLocal(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && (addr.Unmap().IsLinkLocalUnicast() || addr.Unmap().IsLinkLocalMulticast())
}

// samePort also lets http go up to https, from the one usual port to the other.
func samePort(to, written *url.URL) bool {
	port := func(u *url.URL) string {
		if u.Port() == "" {
			return map[string]string{"http": "80", "https": "443"}[u.Scheme]
		}
		return u.Port()
	}
	return port(to) == port(written) || to.Scheme == "https" && port(to) == "443" && port(written) == "80"
}

func readSet(res *http.Response) ([]token.Key, []token.Skipped, error) {
	if res.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("answers status %d", res.StatusCode)
	}
	doc, err := io.ReadAll(io.LimitReader(res.Body, maxSetSize+1))
	if err != nil {
		return nil, nil, explain(err)
	}
	if len(doc) > maxSetSize {
		return nil, nil, fmt.Errorf("answers more than %d bytes", maxSetSize)
	}
	keys, skipped, err := token.ParseJWKS(doc)
	if err != nil {
		if kind, _, mimeErr := mime.ParseMediaType(res.Header.Get("Content-Type")); mimeErr == nil && !strings.HasSuffix(kind, "json") {
			return nil, nil, fmt.Errorf("answers %.40s, not a JWKS", kind)
		}
		return nil, nil, fmt.Errorf("answers no JWKS: %w", err)
	}
	return keys, skipped, nil
}

// explain tells what went wrong on the network. The errors of net/http quote
// URLs, with their query, and what a peer sent in HTTP's stead.
func explain(err error) error {
	var (
		timeout     net.Error
		certificate *tls.CertificateVerificationError
		name        *net.DNSError
		operation   *net.OpError
	)
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("does not answer in time")
	case errors.As(err, &certificate):
		return fmt.Errorf("has a certificate that is not trusted: %.200s", certificate.Err.Error())
	case errors.As(err, &name):
		return fmt.Errorf("cannot be resolved: %s", name.Err)
	case errors.As(err, &operation):
		return fmt.Errorf("cannot be reached: %s: %w", operation.Op, operation.Err)
	case errors.Is(err, http.ErrSchemeMismatch):
		return errors.New("speaks HTTP where HTTPS was asked")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("ends the connection too soon")
	}
	return errors.New("gives no valid HTTP answer")
}
