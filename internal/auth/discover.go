package auth

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/token"
)

// located is where an issuer's metadata says its keys are.
type located struct {
	url    *url.URL
	at     time.Time
	failed bool // the keys could not be had there
}

// locate returns where the keys are: as the issuer's metadata says, which is
// read again with each refresh. While that cannot be had, what it last said
// counts, up to max_stale. Only the one fetch under way calls this.
func (k *KeySet) locate(ctx context.Context) (*url.URL, error) {
	now := k.now()
	if k.located != nil && !k.located.failed && now.Sub(k.located.at) < k.refresh/2 {
		return k.located.url, nil // a kid that was not known asks for keys, not for metadata
	}
	found, err := k.metadata(ctx)
	switch {
	case err == nil:
		if k.located == nil || k.located.url.String() != found.String() {
			k.log.Info("keys are located", "jwks_uri", withoutQuery(found))
		}
		k.located = &located{url: found, at: now}
		return found, nil
	case k.located == nil, k.maxStale >= 0 && now.Sub(k.located.at) > k.maxStale:
		return nil, fmt.Errorf("its metadata: %w", err)
	}
	k.log.Debug("metadata cannot be fetched: keys are read where it last said", "error", err)
	return k.located.url, nil
}

// metadata asks for the issuer's documents in turn, and returns the jwks_uri of
// the first there is. A network that fails for one would fail for the other.
func (k *KeySet) metadata(ctx context.Context) (*url.URL, error) {
	var failed error
	for _, at := range wellKnown(k.url) {
		doc, kind, err := k.document(ctx, at, "application/json")
		if _, other := errors.AsType[statusError](err); other || err == nil && kind == "text/html" { // as of a page for all paths
			if failed == nil {
				failed = fmt.Errorf("%s: no such document", withoutQuery(at))
			}
			continue
		}
		if err == nil {
			var found *url.URL
			if found, err = k.readMetadata(doc); err == nil {
				return found, nil
			}
		}
		return nil, fmt.Errorf("%s: %w", withoutQuery(at), err)
	}
	return nil, failed
}

// wellKnown returns where an issuer's metadata may be: OpenID Connect Discovery
// 1.0, section 4, and RFC 8414, section 3.
func wellKnown(issuer *url.URL) []*url.URL {
	path := strings.TrimSuffix(issuer.EscapedPath(), "/")
	at := func(path string) *url.URL {
		u := *issuer
		u.RawPath = path
		u.Path, _ = url.PathUnescape(path) // it was unescaped before
		return &u
	}
	return []*url.URL{
		at(path + "/.well-known/openid-configuration"),
		at("/.well-known/oauth-authorization-server" + path),
	}
}

// readMetadata returns jwks_uri of a document that says it is of this issuer, to
// the letter (RFC 8414, section 3.3): another one's would bring another one's keys.
func (k *KeySet) readMetadata(doc []byte) (*url.URL, error) {
	object, err := token.ReadObject(doc)
	if err != nil {
		return nil, fmt.Errorf("document %w", err)
	}
	if issuer, ok := object["issuer"].(string); !ok || issuer != k.identifier {
		return nil, errors.New("document is of another issuer")
	}
	text, ok := object["jwks_uri"].(string)
	if !ok || text == "" {
		return nil, errors.New("document has no jwks_uri")
	}
	found, err := url.Parse(text)
	if err != nil || found.Opaque != "" {
		return nil, errors.New("jwks_uri is no URL")
	}
	if err := k.reach.judge(found); err != nil {
		return nil, fmt.Errorf("jwks_uri is %w", err)
	}
	found.Fragment, found.RawFragment = "", ""
	return found, nil
}

// withoutQuery shows a URL without user, password and query.
func withoutQuery(u *url.URL) string {
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	return shown.String()
}
