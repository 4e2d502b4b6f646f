package api

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// WellKnown is where an issuer's metadata is, before its path (RFC 8414, section
// 3.1).
const WellKnown = "/.well-known/oauth-authorization-server"

// MetadataPaths are where the metadata of an issuer is asked for: with the
// issuer's own path put behind the well-known one, and without.
func MetadataPaths(issuer string) []string {
	u, ok := issuerURL(issuer)
	if !ok {
		return nil
	}
	if path := strings.TrimSuffix(u.EscapedPath(), "/"); path != "" {
		return []string{WellKnown, WellKnown + path}
	}
	return []string{WellKnown}
}

// issuerURL reports whether an issuer is a URL, as it must be to have metadata
// (RFC 8414, section 2).
func issuerURL(issuer string) (*url.URL, bool) {
	u, err := url.Parse(issuer)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(issuer, "#") {
		return nil, false
	}
	return u, true
}

// metadataOf makes the document of an issuer that is served at path of its host;
// nil if it can have none.
func metadataOf(issuer, path string) []byte {
	u, ok := issuerURL(issuer)
	if !ok {
		return nil
	}
	base := u.Scheme + "://" + u.Host + path
	methods := []string{"client_secret_basic", "client_secret_post"}
	doc, _ := json.Marshal(map[string]any{ // texts and lists of them always encode
		"issuer":                                issuer,
		"token_endpoint":                        base + "/token",
		"jwks_uri":                              base + "/jwks.json",
		"introspection_endpoint":                base + "/introspect",
		"revocation_endpoint":                   base + "/revoke",
		"grant_types_supported":                 []string{"client_credentials"},
		"response_types_supported":              []string{},
		"token_endpoint_auth_methods_supported": methods,
		"introspection_endpoint_auth_methods_supported": methods,
		"revocation_endpoint_auth_methods_supported":    methods,
	})
	return doc
}

func (s *TokenService) tellMetadata(w http.ResponseWriter, _ *http.Request, _ TokenCaller) {
	writeDocument(w, s.metadata)
}
