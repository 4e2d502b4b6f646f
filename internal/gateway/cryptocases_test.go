package gateway_test

import (
	"strings"
	"testing"
)

// Cases may ask for the crypto API, without any key of a keyring.
func TestCasesOfTheCryptoAPI(t *testing.T) {
	t.Parallel()
	text := strings.Replace(cryptoHead(t.TempDir()), "routes:", "routes:\n  - {name: other, path: /other, auth: {issuers: [test]}, upstream: \"http://127.0.0.1:1\"}", 1)
	wantCases(t, tryCases(t, text, `cases:
  - request: {method: POST, url: "http://a/crypto/v1/keyrings/pii/encrypt"}
    token: {issuer: test, subject: ann, scopes: ["crypto:encrypt:pii"]}
    expect: {decision: allow, route: "(crypto)"}
  - request: {method: POST, url: "http://a/crypto/v1/keyrings/pii/decrypt"}
    token: {issuer: test, subject: ann, scopes: ["crypto:encrypt:pii"]}
    expect: {decision: deny, status: 403, check: authorise, route: "(crypto)"}
  - request: {method: POST, url: "http://a/crypto/v1/keyrings/pi/decrypt"}
    token: {issuer: test, subject: ann, scopes: ["crypto:decrypt"]}
    expect: {decision: deny, status: 404, check: service}
  - request: {url: "http://a/crypto/v1/keyrings"}
    expect: {decision: deny, status: 401, check: authenticate}
`, environment{"JWT_KEY": hmacKey}))
}
