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
	if k.discover {
		var err error
		if from, err = k.locate(ctx); err != nil {
			return nil, nil, err
		}
	}
	doc, kind, err := k.document(ctx, from, "application/jwk-set+json, application/json")
	if err != nil {
		if k.located != nil {
			k.located.failed = true
		}
		return nil, nil, err
	}
	keys, skipped, err := token.ParseJWKS(doc)
	if err != nil && kind != "" && !strings.HasSuffix(kind, "json") {
		return nil, nil, fmt.Errorf("answers %.40s, not a JWKS", kind)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("answers no JWKS: %w", err)
	}
	return keys, skipped, nil
}

// statusError is an answer of another status than 200.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("answers status %d", int(e)) }

// document fetches what is at from, or where that redirects to, and returns it
// with its media type.
func (k *KeySet) document(ctx context.Context, from *url.URL, accept string) (doc []byte, kind string, err error) {
	for range maxRedirects + 1 {
		res, err := k.ask(ctx, from, accept)
		if err != nil {
			return nil, "", err
		}
		location := res.Header.Get("Location")
		if res.StatusCode < 300 || res.StatusCode > 399 || location == "" {
			defer res.Body.Close()
			return readDocument(res)
		}
		res.Body.Close()
		if from, err = k.follow(from, location); err != nil {
			return nil, "", err
		}
	}
	return nil, "", fmt.Errorf("redirects more than %d times", maxRedirects)
}

func (k *KeySet) follow(from *url.URL, location string) (*url.URL, error) {
	to, err := from.Parse(location)
	if err != nil {
		return nil, errors.New("redirects to what is no URL")
	}
	if err := k.reach.judge(to); err != nil {
		return nil, fmt.Errorf("redirects to %w", err)
	}
	return to, nil
}

func (k *KeySet) ask(ctx context.Context, u *url.URL, accept string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, errors.New("its URL cannot be asked")
	}
	req.Header.Set("Accept", accept)
	res, err := k.client.Do(req)
	if err != nil {
		return nil, explain(err)
	}
	return res, nil
}

func readDocument(res *http.Response) (doc []byte, kind string, err error) {
	if res.StatusCode != http.StatusOK {
		return nil, "", statusError(res.StatusCode)
	}
	if doc, err = io.ReadAll(io.LimitReader(res.Body, maxSetSize+1)); err != nil {
		return nil, "", explain(err)
	}
	if len(doc) > maxSetSize {
		return nil, "", fmt.Errorf("answers more than %d bytes", maxSetSize)
	}
	kind, _, _ = mime.ParseMediaType(res.Header.Get("Content-Type"))
	return doc, kind, nil
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
